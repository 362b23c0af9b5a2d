// One connection to PostgreSQL and what happens when it breaks. For this folder only.
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/postgres/watchdog.hpp"
#include "messages/values/result.hpp"
#include "messages/values/time.hpp"

#include <pqxx/pqxx>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rdev::postgres {

using statements = std::vector<std::pair<std::string, std::string>>; // name, SQL

enum class effect : std::uint8_t { reads, writes };

// For an answer of a server. Beyond its statement time-out, which a frozen one does not keep.
inline constexpr std::chrono::milliseconds answer_limit{7000};

// Not thread-safe: a lane has a session of its own. A connection that broke is thrown away; the next call builds a new
// one. After a failed attempt the following calls fail at once for a fifth of a second, so that a burst does not wait
// for one time-out after the other.
class session {
public:
  session(std::string conninfo, statements prepared, std::shared_ptr<circuits> breakers)
      : conninfo_(std::move(conninfo)), breakers_(std::move(breakers)), prepared_(std::move(prepared)) {
  }

  // Runs `work(tx)` as one statement that commits by itself.
  template <class Work>
  auto single(effect what, Work work) -> result<decltype(work(std::declval<pqxx::transaction_base&>()))> {
    return guarded(what == effect::writes, [&](pqxx::connection& c, bool&) {
      pqxx::nontransaction tx(c);
      return work(static_cast<pqxx::transaction_base&>(tx));
    });
  }

  // Runs `work(tx)` as one transaction.
  template <class Work>
  auto transact(Work work) -> result<decltype(work(std::declval<pqxx::transaction_base&>()))> {
    return guarded(false, [&](pqxx::connection& c, bool& committing) {
      pqxx::work tx(c);
      auto out = work(static_cast<pqxx::transaction_base&>(tx));
      committing = true;
      tx.commit();
      return out;
    });
  }

  // Runs `work(tx)` on one consistent picture of the database.
  template <class Work>
  auto snapshot(Work work) -> result<decltype(work(std::declval<pqxx::transaction_base&>()))> {
    return guarded(false, [&](pqxx::connection& c, bool&) {
      pqxx::transaction<pqxx::repeatable_read, pqxx::read_only> tx(c);
      auto out = work(static_cast<pqxx::transaction_base&>(tx));
      tx.commit();
      return out;
    });
  }

private:
  static constexpr std::string_view circuit_name = "database";

  template <class Work>
  auto guarded(bool commits_itself, Work work)
      -> result<decltype(work(std::declval<pqxx::connection&>(), std::declval<bool&>()))> {
    if (!breakers_)
      return attempt(commits_itself, std::move(work));
    // A conflict or a full disk is no fault of the connection.
    return through(
        *breakers_, circuit_name, [&] { return attempt(commits_itself, std::move(work)); },
        [&](const failure&) { return connection_ == nullptr; });
  }

  template <class Work>
  auto attempt(bool commits_itself, Work work)
      -> result<decltype(work(std::declval<pqxx::connection&>(), std::declval<bool&>()))> {
    bool committing = commits_itself;
    try {
      auto* c = connection();
      if (c == nullptr)
        return failure{fault::unavailable, last_error_};
      const watchdog::watch guard(*watchdog_, c->sock(), answer_limit);
      return work(*c, committing);
    } catch (...) {
      return translate(committing);
    }
  }

  pqxx::connection* connection();
  // The fault for the exception in flight; drops the connection if it is of no more use.
  failure translate(bool committing);

  std::string conninfo_;
  std::shared_ptr<circuits> breakers_; // or none
  std::shared_ptr<watchdog> watchdog_ = watchdog::shared();
  statements prepared_;
  std::unique_ptr<pqxx::connection> connection_;
  std::chrono::steady_clock::time_point failed_at_{};
  std::string last_error_;
};

// `conninfo` (libpq keywords or URL) with the time-outs of connecting added.
std::string with_timeouts(const std::string& conninfo);

// Columns.
timestamp time_of(const pqxx::field& f); // microseconds
std::optional<timestamp> maybe_time_of(const pqxx::field& f);
std::optional<std::string> maybe_text(const pqxx::field& f);
std::string text_of(timestamp t); // as a timestamptz literal
std::optional<std::string> text_of(const std::optional<timestamp>& t);
inline const char* or_null(const std::optional<std::string>& s) {
  return s ? s->c_str() : nullptr;
}

} // namespace rdev::postgres
