// Who has keys in memory hears of their changes.
#include "adapters/postgres/stores.hpp"
#include "tests/support/test_database.hpp"
#include "tests/support/watched.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace rdev::test {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class KeyNews : public ::testing::Test {
protected:
  KeyNews() {
    db.run("INSERT INTO api_keys (id, name, key_prefix, key_hash, scopes, family) VALUES ('" + key.uuid() +
           "', 'one', 'rdev_aaaaaaaa', '\\x00', '{}', '" + key.uuid() + "')");
    feed = postgres::follow_keys(
        db.stores(),
        [this](const key_news& news) {
          const std::lock_guard guard(mutex);
          heard.push_back(news.key ? news.key->text() : "any");
          if (news.epoch)
            heard.back() += " " + std::to_string(*news.epoch) + (news.revoked ? " revoked" : "");
          came.notify_all();
        },
        log);
    EXPECT_THAT(next(1), ElementsAre("any")) << "what was changed before nobody has heard";
  }
  // What came, as soon as it is so many.
  std::vector<std::string> next(std::size_t n) {
    std::unique_lock lock(mutex);
    came.wait_for(lock, 30s, [&] { return heard.size() >= n; });
    return std::exchange(heard, {});
  }
  void change(const std::string& what) const {
    db.run("UPDATE api_keys SET " + what + " WHERE id = '" + key.uuid() + "'");
  }

  test_database db;
  key_id key = key_id::make();
  watched_log log;
  std::mutex mutex;
  std::condition_variable came;
  std::vector<std::string> heard;
  std::unique_ptr<key_feed> feed;
};

TEST_F(KeyNews, TellsOfEachKindOfChangeAndOfNoUse) {
  for (const auto* what :
       {"revoked_at = clock_timestamp()", "expires_at = clock_timestamp()", "scopes = '{admin}'", "project_ids = '{a}'",
        "allowed_ips = '{10.0.0.0/8}'", "rate_limit = 5", "key_hash = '\\x01'"}) {
    change("last_used_at = clock_timestamp(), last_used_ip = '127.0.0.1'");
    change(what);
    EXPECT_THAT(next(1), ElementsAre(key.text())) << what;
  }
}

TEST_F(KeyNews, TellsOfARevocationWithItsEpoch) {
  const auto keys = postgres::make_key_store(db.stores());
  ASSERT_TRUE(keys->revoke(key, {}));
  EXPECT_THAT(next(2), UnorderedElementsAre(key.text(), key.text() + " 1 revoked"));
}

TEST_F(KeyNews, ATransactionThatIsRolledBackIsNoNews) {
  db.run("BEGIN; UPDATE api_keys SET rate_limit = 5; ROLLBACK");
  change("rate_limit = 6");
  EXPECT_THAT(next(1), ElementsAre(key.text()));
}

TEST_F(KeyNews, AConnectionThatBrokeIsMadeAnewAndAnyKeyMayHaveChanged) {
  db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE "
         "'listen%'");
  EXPECT_THAT(next(1), ElementsAre("any"));
  EXPECT_TRUE(log.says("changes of keys are not heard"));
  change("rate_limit = 7");
  EXPECT_THAT(next(1), ElementsAre(key.text()));
}

TEST_F(KeyNews, EndsAtOnce) {
  feed.reset();
  change("rate_limit = 8");
  const std::lock_guard guard(mutex);
  EXPECT_THAT(heard, IsEmpty());
}

} // namespace rdev::test
