// Many attempts: connections are kept, endpoints do not delay each other, and it can end at any time.
#include "endpoint.hpp"
#include "names.hpp"
#include "rig.hpp"
#include "tests/support/eventually.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <set>

namespace rdev::test {
namespace {

using std::chrono::seconds;
using webhook_sending::make_webhook_sender;

TEST(WebhookSender, SendsAHundredMessagesOverOneConnection) {
  endpoint to(always(answer("200 OK", "taken")));
  const auto sender = make_webhook_sender(open_to_loopback());
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(send(*sender, to.url()).error, "");
  EXPECT_EQ(to.requests().size(), 100U);
  EXPECT_EQ(to.connections(), 1);
}

// How many messages came, however often.
std::size_t messages_at(const endpoint& to) {
  std::set<std::string> ids;
  for (const auto& r : to.requests())
    ids.insert(r.fields.at("webhook-id"));
  return ids.size();
}

TEST(WebhookSender, LosesNoMessageWhenAKeptConnectionIsClosed) {
  endpoint to([](wire& w, const seen_request&) {
    w.write(answer("200 OK"));
    w.close();
  });
  const auto sender = make_webhook_sender(open_to_loopback());
  for (int i = 0; i < 50; ++i)
    ASSERT_EQ(send(*sender, to.url()).error, "") << i;
  EXPECT_EQ(messages_at(to), 50U);
}

TEST(WebhookSender, LosesNoMessageWhenAKeptConnectionIsClosedOnItsArrival) {
  endpoint to([&](wire& w, const seen_request&) {
    if (w.requests() == 2)
      w.close();
    else
      w.write(answer("200 OK"));
  });
  const auto sender = make_webhook_sender(open_to_loopback());
  for (int i = 0; i < 30; ++i) // far more often than curl tries again for one message
    ASSERT_EQ(send(*sender, to.url()).error, "") << i;
  EXPECT_EQ(messages_at(to), 30U);
  EXPECT_EQ(to.requests().size(), 59U) << "all but the first came twice";
  EXPECT_EQ(to.connections(), 30);
}

TEST(WebhookSender, LosesNoMessageWhenAKeptConnectionIsResetOnItsArrival) {
  endpoint to([&](wire& w, const seen_request&) {
    if (w.requests() == 2)
      w.reset();
    else
      w.write(answer("200 OK"));
  });
  const auto sender = make_webhook_sender(open_to_loopback());
  for (int i = 0; i < 30; ++i)
    ASSERT_EQ(send(*sender, to.url()).error, "") << i;
  EXPECT_EQ(messages_at(to), 30U);
}

TEST(WebhookSender, ClosesConnectionsThatAreNotUsed) {
  endpoint to(always(answer("200 OK")));
  auto config = open_to_loopback();
  config.idle_limit = seconds(1);
  const auto sender = make_webhook_sender(config);
  EXPECT_EQ(send(*sender, to.url()).error, "");
  EXPECT_TRUE(eventually([&] { return to.ended_connections() == 1; }));
  EXPECT_EQ(send(*sender, to.url()).error, "") << "and makes a new one when it must";
  EXPECT_EQ(to.connections(), 2);
}

TEST(WebhookSender, DoesNotLetOneEndpointWaitForAnother) {
  std::latch answer_now(1);
  endpoint slow([&](wire& w, const seen_request&) {
    answer_now.wait();
    w.write(answer("200 OK"));
  });
  endpoint fast(always(answer("200 OK")));
  const auto sender = make_webhook_sender(open_to_loopback());
  std::vector<std::future<sent_message>> waiting;
  for (int i = 0; i < 200; ++i)
    waiting.push_back(begin(*sender, message_to(slow.url())));
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(send(*sender, fast.url()).error, "");
  EXPECT_TRUE(eventually([&] { return slow.requests().size() == 200; })) << "they are all under way at once";
  answer_now.count_down();
  for (auto& one : waiting)
    EXPECT_EQ(outcome_of(one).error, "");
}

TEST(WebhookSender, DoesNotLetOneEndpointWaitForTheNameOfAnother) {
  endpoint to(always(answer("200 OK")));
  auto config = open_to_loopback();
  config.connect_limit = std::chrono::milliseconds(200);
  const auto sender = make_webhook_sender(config);
  const name_without_answer silence("silent.example");
  EXPECT_EQ(send(*sender, "https://silent.example/").error, "no connection within 200 ms");
  EXPECT_EQ(questions_for("silent.example"), 1);
  EXPECT_EQ(send(*sender, to.url()).error, "");
}

TEST(WebhookSender, CallsBackOnceEachFromAThreadOfItsOwn) {
  endpoint to(always(answer("200 OK")));
  const auto sender = make_webhook_sender(open_to_loopback());
  std::atomic<int> calls{0};
  std::atomic<int> mine{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto me = std::this_thread::get_id();
        // Every other one fails before anything is sent.
        sender->send(message_to(i % 2 == 0 ? to.url() : "https://127.1/"), [&, me](const sent_message&) {
          ++calls;
          if (std::this_thread::get_id() == me)
            ++mine;
        });
      }
    });
  threads.clear();
  EXPECT_TRUE(eventually([&] { return calls == 200; }));
  EXPECT_EQ(mine, 0);
  EXPECT_EQ(to.requests().size(), 100U);
}

TEST(WebhookSender, CanBeAskedAgainFromACall) {
  endpoint to(always(answer("200 OK")));
  const auto sender = make_webhook_sender(open_to_loopback());
  std::promise<sent_message> last;
  sender->send(message_to(to.url()), [&](const sent_message&) {
    sender->send(message_to("https://127.1/"), [&](const sent_message&) {
      sender->send(message_to(to.url()), [&](sent_message m) { last.set_value(std::move(m)); });
    });
  });
  auto f = last.get_future();
  EXPECT_EQ(outcome_of(f).error, "");
}

TEST(WebhookSender, EndsWithAttemptsUnderWayAndCallsNobodyBackAfterwards) {
  endpoint silent([](wire& w, const seen_request&) { w.closed_within(30'000); });
  const name_without_answer silence("silent.example");
  std::atomic<int> calls{0};
  const auto counted = std::make_shared<int>(0); // each callback holds it
  {
    const auto sender = make_webhook_sender(open_to_loopback());
    const auto count = [&calls, counted](const sent_message&) { ++calls; };
    for (int i = 0; i < 50; ++i)
      sender->send(message_to(silent.url()), count);
    sender->send(message_to("https://silent.example/"), count);
    EXPECT_TRUE(eventually([&] { return silent.requests().size() == 50 && questions_for("silent.example") == 1; }));
    for (int i = 0; i < 50; ++i)
      sender->send(message_to(silent.url()), count); // some of them not begun yet
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(counted.use_count(), 1) << "what they hold is let go of";
  EXPECT_TRUE(eventually([&] { return silent.ended_connections() == silent.connections(); }));
}

TEST(WebhookSender, SendsNothingAndCallsNobodyBackOnceItIsStopped) {
  endpoint silent([](wire& w, const seen_request&) { w.closed_within(30'000); });
  const auto sender = make_webhook_sender(open_to_loopback());
  std::atomic<int> calls{0};
  const auto counted = std::make_shared<int>(0);
  const auto count = [&calls, counted](const sent_message&) { ++calls; };
  sender->send(message_to(silent.url()), count);
  EXPECT_TRUE(eventually([&] { return silent.requests().size() == 1; }));
  sender->stop();
  EXPECT_TRUE(eventually([&] { return silent.ended_connections() == 1; })) << "the connection is closed";
  sender->send(message_to(silent.url()), count);
  sender->stop();
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(counted.use_count(), 2) << "only we hold it still";
  EXPECT_EQ(silent.connections(), 1);
}

TEST(WebhookSender, EndsWithoutHavingSentAnything) {
  for (int i = 0; i < 20; ++i)
    make_webhook_sender({});
}

} // namespace
} // namespace rdev::test
