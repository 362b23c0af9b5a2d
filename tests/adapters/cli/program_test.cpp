// The program against a server that cuts, refuses and restarts.
#include "adapters/crypto.hpp"
#include "fake_server.hpp"
#include "spawn.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <csignal>

namespace rdev::cli {
namespace {

const std::string accepted = R"({"data":{"id":"cmd_1","status":"queued"},"meta":{}})";

std::string frame(const std::string& event, const std::string& data, const std::string& id = {}) {
  return (id.empty() ? "" : "id: " + id + "\n") + "event: " + event + "\ndata: " + data + "\n\n";
}
std::string output(const std::string& stream, const std::string& bytes, std::size_t offset, const std::string& id) {
  return frame("output",
               R"({"stream":")" + stream + R"(","data":")" + to_base64(bytes) + R"(","encoding":"base64","offset":)" +
                   std::to_string(offset) + "}",
               id);
}
std::string receipt(const std::string& bytes, std::size_t more = 0) {
  return R"({"bytes":)" + std::to_string(bytes.size()) + R"(,"sha256":")" + to_hex(sha256(bytes)) +
         R"(","total_bytes":)" + std::to_string(bytes.size() + more) + "}";
}
std::string complete(const std::string& status, const std::string& code, const std::string& out,
                     const std::string& err = {}, std::size_t more = 0) {
  return frame("complete",
               R"({"status":")" + status + R"(","exit_code":)" + code + R"(,"reason":"because","stdout":)" +
                   receipt(out, more) + R"(,"stderr":)" + receipt(err) + R"(,"complete":)" +
                   (more == 0 ? "true}" : "false}"),
               "end");
}

class Program : public testing::Test {
protected:
  ended_program rdev(const fake_server& at, const std::vector<std::string>& arguments, spawn_options options = {}) {
    options.env["RDEV_URL"] = at.url();
    options.env["RDEV_API_KEY"] = "secret-key";
    return run_program(arguments, options);
  }
  // Answers the POST with 202 and the stream with these frames.
  static fake_server::handler streaming(const std::string& frames) {
    return [frames](const seen_request& r) {
      return r.method == "POST" ? json_answer(202, accepted) : event_stream(frames);
    };
  }
  const std::vector<std::string> run_true{"run", "demo", "--", "true"};
};

TEST_F(Program, GivesBothStreamsByteByByteAndTheExitCode) {
  const std::string bytes("a\0\xff\n\r\n", 6);
  fake_server server(streaming(output("stdout", bytes, 0, "1") + output("stderr", "err", 0, "2") +
                               complete("failed", "7", bytes, "err")));
  const auto ended = rdev(server, {"run", "demo", "--timeout", "2m", "--", "sh", "-c", "x y"});
  EXPECT_EQ(ended.out, bytes);
  EXPECT_EQ(ended.err, "err");
  EXPECT_EQ(ended.code, 7);
  const auto asked = server.requests();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].target, "/projects/demo/shell");
  EXPECT_EQ(asked[0].body, R"({"command":["sh","-c","x y"],"timeout_seconds":120})");
  EXPECT_EQ(asked[0].fields.at("x-api-key"), "secret-key");
  EXPECT_FALSE(asked[0].fields.at("idempotency-key").empty());
  EXPECT_EQ(asked[1].target, "/projects/demo/events?stream_id=cmd_1&framing=chunk");
  EXPECT_FALSE(asked[1].fields.contains("last-event-id"));
}

TEST_F(Program, ResumesAfterCutsInTheMiddleOfAFrameWithoutLossOrRepeat) {
  const auto first = output("stdout", "one ", 0, "1");
  const auto second = output("stdout", "two ", 4, "2");
  const auto rest = output("stdout", "three", 8, "3") + complete("completed", "0", "one two three");
  std::atomic<int> connections = 0;
  fake_server server([&](const seen_request& r) {
    if (r.method == "POST")
      return json_answer(202, accepted);
    switch (++connections) {
    case 1:
      return event_stream("retry: 10\n\n" + first + second.substr(0, second.size() / 2));
    case 2:
      return event_stream(second.substr(0, second.size() - 1)); // all but the empty line that ends it
    case 3:
      return std::string{}; // cut before any answer
    default:
      return event_stream(second + rest);
    }
  });
  const auto ended = rdev(server, run_true);
  EXPECT_EQ(ended.out, "one two three");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.code, 0);
  const auto asked = server.requests();
  ASSERT_EQ(asked.size(), 5U);
  for (std::size_t i = 2; i < 5; ++i)
    EXPECT_EQ(asked[i].fields.at("last-event-id"), "1");
}

TEST_F(Program, RepeatsAPostWithTheSameKeyAfter503AndACut) {
  std::atomic<int> posts = 0;
  fake_server server([&](const seen_request& r) {
    if (r.method != "POST")
      return event_stream(complete("completed", "0", ""));
    const int n = ++posts;
    return n == 1
               ? json_answer(503, R"({"error":{"code":"SERVICE_UNAVAILABLE","message":"later"}})", "Retry-After: 1\r\n")
           : n == 2 ? std::string{}
           : n == 3
               ? json_answer(429, R"({"error":{"code":"TOO_MANY_REQUESTS","message":"slow"}})", "Retry-After: 1\r\n")
               : json_answer(202, accepted);
  });
  EXPECT_EQ(rdev(server, run_true).code, 0);
  const auto asked = server.requests();
  ASSERT_EQ(asked.size(), 5U);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(asked[i].fields.at("idempotency-key"), asked[0].fields.at("idempotency-key"));
    EXPECT_EQ(asked[i].body, asked[0].body);
  }
}

TEST_F(Program, ExitsWith125AndOneLineWhenRefused) {
  fake_server server([](const seen_request&) {
    return json_answer(404, R"({"error":{"code":"NOT_FOUND","message":"no project demo"}})");
  });
  const auto ended = rdev(server, run_true);
  EXPECT_EQ(ended.code, 125);
  EXPECT_EQ(ended.err, "rdev: no project demo (NOT_FOUND)\n");
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Program, SaysThatOutputWasTruncatedAndKeepsTheCode) {
  fake_server server(streaming(output("stdout", "ab", 0, "1") + complete("completed", "0", "ab", "", 8)));
  const auto ended = rdev(server, run_true);
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.out, "ab");
  EXPECT_NE(ended.err.find("stdout was truncated by the server: 2 of 10"), std::string::npos) << ended.err;
}

TEST_F(Program, ExitsWith125WhenTheCommandIsLost) {
  fake_server server(streaming(complete("lost", "null", "")));
  const auto ended = rdev(server, run_true);
  EXPECT_EQ(ended.code, 125);
  EXPECT_NE(ended.err.find("lost"), std::string::npos);
  EXPECT_NE(ended.err.find("because"), std::string::npos);
}

TEST_F(Program, ExitsWith124WhenTheTimeWasUp) {
  fake_server server(streaming(complete("timed_out", "143", "")));
  EXPECT_EQ(rdev(server, run_true).code, 124);
}

TEST_F(Program, ExitsWith125WhenTheBytesDoNotFitTheReceipt) {
  fake_server server(streaming(output("stdout", "ab", 0, "1") + complete("completed", "0", "abc")));
  EXPECT_EQ(rdev(server, run_true).code, 125);
}

// A server whose stream goes on until the command is cancelled.
class cancellable {
public:
  std::string operator()(const seen_request& r) {
    std::unique_lock held(mutex_);
    if (r.target == "/commands/cmd_1/cancel") {
      cancelled_ = true;
      changed_.notify_all();
      return json_answer(202, R"({"data":{"id":"cmd_1","status":"running"},"meta":{}})");
    }
    if (r.method == "POST")
      return json_answer(202, accepted);
    if (!r.fields.contains("last-event-id"))
      return event_stream("retry: 10\n\n" + output("stdout", "up\n", 0, "1"));
    changed_.wait_for(held, std::chrono::seconds(25), [&] { return cancelled_; });
    return event_stream(output("stdout", "bye\n", 3, "2") + complete("cancelled", "143", "up\nbye\n"));
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

TEST_F(Program, CancelsOnAnInterruptAndShowsTheOutputToItsEnd) {
  for (const int signal : {SIGINT, SIGTERM}) {
    cancellable behaviour;
    fake_server server(std::ref(behaviour));
    const auto ended = rdev(server, run_true, {.env = {}, .on_first_output = [&](int pid) { ::kill(pid, signal); }});
    EXPECT_EQ(ended.code, 128 + signal) << ended.err;
    EXPECT_EQ(ended.out, "up\nbye\n");
    EXPECT_EQ(ended.err, "");
  }
}

TEST_F(Program, CancelsWhenTheReaderOfItsOutputHasGone) {
  std::mutex mutex;
  std::condition_variable changed;
  bool gone = false;
  fake_server server([&](const seen_request& r) {
    if (r.target == "/commands/cmd_1/cancel")
      return json_answer(202, accepted);
    if (r.method == "POST")
      return json_answer(202, accepted);
    if (!r.fields.contains("last-event-id"))
      return event_stream("retry: 10\n\n" + output("stdout", "up\n", 0, "1"));
    std::unique_lock held(mutex);
    changed.wait_for(held, std::chrono::seconds(25), [&] { return gone; });
    return event_stream(output("stdout", "more\n", 3, "2"));
  });
  spawn_options options;
  options.close_stdout_at_first_output = true;
  options.on_first_output = [&](int) {
    const std::lock_guard held(mutex);
    gone = true;
    changed.notify_all();
  };
  const auto ended = rdev(server, run_true, options);
  EXPECT_EQ(ended.signal, SIGPIPE);
  EXPECT_EQ(server.requests().back().target, "/commands/cmd_1/cancel");
}

TEST_F(Program, TailAsksWhoseCommandItIsAndGivesItsCode) {
  fake_server server([](const seen_request& r) {
    return r.target == "/commands/cmd_1" ? json_answer(200, R"({"data":{"id":"cmd_1","project":"p1"},"meta":{}})")
                                         : event_stream(output("stdout", "x", 0, "1") + complete("failed", "3", "x"));
  });
  const auto ended = rdev(server, {"tail", "cmd_1"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_EQ(ended.out, "x");
  EXPECT_EQ(server.requests().at(1).target, "/projects/p1/events?stream_id=cmd_1&framing=chunk");
}

TEST_F(Program, DetachedPrintsTheIdAndLeaves) {
  fake_server server(streaming(""));
  const auto ended = rdev(server, {"run", "demo", "--detach", "--", "true"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.out, "cmd_1\n");
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Program, ListsFollowTheCursorUpToTheLimit) {
  fake_server server([](const seen_request& r) {
    return r.target.find("cursor=") == std::string::npos
               ? json_answer(200, R"({"data":[{"id":"cmd_3"},{"id":"cmd_2"}],"meta":{"next_cursor":"n x"}})")
               : json_answer(200, R"({"data":[{"id":"cmd_1"},{"id":"cmd_0"}],"meta":{"next_cursor":"m"}})");
  });
  const auto ended = rdev(server, {"commands", "--limit", "3", "-o", "json"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, R"([{"id":"cmd_3"},{"id":"cmd_2"},{"id":"cmd_1"}])"
                       "\n");
  const auto asked = server.requests();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].target, "/commands?limit=3");
  EXPECT_EQ(asked[1].target, "/commands?limit=1&cursor=n%20x");
}

TEST_F(Program, ListsAreTablesForPeople) {
  fake_server server([](const seen_request&) {
    return json_answer(
        200,
        R"({"data":[{"id":"demo","status":"running","phase":"Running","ready":true,"restarts":0,"last_seen":null}],"meta":{"next_cursor":null}})");
  });
  const auto ended = rdev(server, {"projects"});
  EXPECT_EQ(ended.out, "ID    STATUS   PHASE    READY  RESTARTS  LAST SEEN  CREATED  REASON\n"
                       "demo  running  Running  yes    0         -          -        -\n");
}

TEST_F(Program, SaysThatASecretWasLostWithACut) {
  fake_server server([](const seen_request&) {
    return json_answer(201, R"({"data":{"key":{"id":"key_1"},"secret":null},"meta":{}})");
  });
  const auto ended = rdev(server, {"keys", "create", "ci", "--scope", "projects:read"});
  EXPECT_EQ(ended.code, 125);
  EXPECT_NE(ended.err.find("rdev keys revoke key_1"), std::string::npos) << ended.err;
}

TEST_F(Program, RegistersAWebhookAndShowsItsSecret) {
  fake_server server([](const seen_request&) {
    return json_answer(
        201,
        R"({"data":{"webhook":{"id":"wh_1","status":"active","events":["command.*"],"projects":null,"ordered":false,"url":"https://a.b","reason":null},"secret":"whsec_x"},"meta":{}})");
  });
  const auto ended = rdev(server, {"webhooks", "create", "https://a.b", "--event", "command.*", "--project", "p"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "ID    STATUS  EVENTS     PROJECTS  ORDERED  URL          REASON\n"
                       "wh_1  active  command.*  all       no       https://a.b  -\n"
                       "\n"
                       "secret (shown this once):  whsec_x\n");
  const auto asked = server.requests();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].target, "/webhooks");
  EXPECT_EQ(asked[0].body, R"({"url":"https://a.b","events":["command.*"],"projects":["p"]})");
}

TEST_F(Program, ShowsTheLastAttemptOfADelivery) {
  fake_server server([](const seen_request&) {
    return json_answer(
        200,
        R"({"data":[{"id":"dlv_1","event":"key.created","status":"pending","created_at":"then","next_attempt_at":"soon","attempts":[{"status":null,"latency_ms":5,"error":"refused","body":""},{"status":500,"latency_ms":350,"error":"it answered 500","body":"x"}]}],"meta":{"next_cursor":null}})");
  });
  const auto ended = rdev(server, {"webhooks", "deliveries", "wh_1", "--status", "pending", "--event", "key.*"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out,
            "ID     EVENT        STATUS   ATTEMPTS  ANSWER  TOOK   CREATED  NEXT ATTEMPT  ERROR\n"
            "dlv_1  key.created  pending  2         500     350ms  then     soon          it answered 500\n");
  EXPECT_EQ(server.requests().at(0).target, "/webhooks/wh_1/deliveries?status=pending&event=key.%2A&limit=50");
}

TEST_F(Program, NeedsAKeyAndAnAddress) {
  EXPECT_EQ(run_program({"queue"}, {}).code, 125);
  EXPECT_EQ(run_program({"queue"}, {.env = {{"RDEV_API_KEY", "k"}, {"RDEV_URL", "nowhere"}}}).code, 125);
  EXPECT_EQ(run_program({"queue"}, {.env = {{"RDEV_API_KEY", "k\r\nX: y"}}}).code, 125);
  EXPECT_EQ(run_program({"version"}, {}).code, 0);
}

} // namespace
} // namespace rdev::cli
