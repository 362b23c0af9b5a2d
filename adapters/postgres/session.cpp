#include "adapters/postgres/session.hpp"

#include <algorithm>
#include <array>

namespace rdev::postgres {

namespace {

constexpr auto quiet_after_failure = std::chrono::milliseconds(200);

// Nothing may hang: neither a statement, nor a lock, nor a transaction whose owner is frozen.
constexpr const char* session_settings =
    "SET statement_timeout = '5s'; SET lock_timeout = '1s'; SET idle_in_transaction_session_timeout = '2s'; "
    "SET bytea_output = 'hex'; SET timezone = 'UTC'; SET plan_cache_mode = 'force_generic_plan'; "
    "SET jit = off"; // generic plans over many partitions look dear enough to compile, which takes longer than they do

// Not a fault of a statement, but of what it has met: a database that only reads, a table that is gone or locked away
// from us, a partition, check or trigger that somebody has put there or taken away. It may be mended while we wait.
bool was_changed_by_others(std::string_view state) {
  constexpr std::array<std::string_view, 6> states{"25006", "42501", "42P01", "23514", "P0001", "55000"};
  return std::find(states.begin(), states.end(), state) != states.end();
}

} // namespace

std::string with_timeouts(const std::string& conninfo) {
  const bool url = conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://");
  std::string out = conninfo;
  if (url)
    out += conninfo.find('?') == std::string::npos ? "?" : "&";
  for (const auto* option : {"connect_timeout=3", "keepalives=1", "keepalives_idle=5", "keepalives_interval=2",
                             "keepalives_count=2", "tcp_user_timeout=5000"})
    out += std::string(url ? (out.ends_with("?") || out.ends_with("&") ? "" : "&") : " ") + option;
  return out;
}

pqxx::connection* session::connection() {
  if (connection_ && connection_->is_open())
    return connection_.get();
  connection_.reset();
  const auto now = std::chrono::steady_clock::now();
  if (!last_error_.empty() && now - failed_at_ < quiet_after_failure)
    return nullptr;
  try {
    auto fresh = std::make_unique<pqxx::connection>(with_timeouts(conninfo_));
    const watchdog::watch guard(*watchdog_, fresh->sock(), answer_limit);
    fresh->set_client_encoding("UTF8");
    fresh->set_verbosity(
        pqxx::connection_base::terse); // an error's detail may show a row, and in it what nobody may log
    {
      pqxx::nontransaction tx(*fresh);
      tx.exec(session_settings);
    }
    for (const auto& [name, sql] : prepared_)
      fresh->prepare(name, sql);
    connection_ = std::move(fresh);
    last_error_.clear();
    return connection_.get();
  } catch (const std::exception& e) {
    last_error_ = std::string("no connection to PostgreSQL: ") + e.what();
    failed_at_ = std::chrono::steady_clock::now();
    return nullptr;
  }
}

failure session::translate(bool committing) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error& e) {
    connection_.reset();
    return {fault::unknown_outcome, e.what()};
  } catch (const pqxx::broken_connection& e) {
    connection_.reset();
    return {committing ? fault::unknown_outcome : fault::unavailable, e.what()};
  } catch (const pqxx::insufficient_privilege& e) { // without its SQLSTATE
    return {fault::unavailable, std::string("SQLSTATE 42501: ") + e.what()};
  } catch (const pqxx::sql_error& e) {
    const std::string& state = e.sqlstate();
    const bool open = connection_ && connection_->is_open();
    if (!open)
      connection_.reset();
    if (state.starts_with("57P")) { // the server says that it has ended the session instead of doing the work
      connection_.reset();
      return {fault::unavailable, e.what()};
    }
    if (state.empty() || state.starts_with("08") || !open) { // cut: the server may have done it all the same
      connection_.reset();
      return {committing ? fault::unknown_outcome : fault::unavailable, e.what()};
    }
    if (state ==
        "23505") // an id that we made is there: an earlier attempt, whose answer was lost, got through after all
      return {fault::unknown_outcome, e.what()};
    if (state == "53100")
      return {fault::no_space, e.what()};
    if (state.starts_with("40") || state == "55P03" || state == "57014" || state.starts_with("53") || state == "25P03")
      return {fault::unavailable, e.what()}; // conflict, lock or statement time-out, out of resources
    if (was_changed_by_others(state))
      return {fault::unavailable, "SQLSTATE " + state + ": " + e.what()};
    return {fault::internal, "SQLSTATE " + state + ": " + e.what()};
  } catch (const std::exception& e) {
    connection_.reset();
    return {committing ? fault::unknown_outcome : fault::unavailable, e.what()};
  }
}

timestamp time_of(const pqxx::field& f) {
  return timestamp(std::chrono::microseconds(f.as<std::int64_t>()));
}

std::optional<timestamp> maybe_time_of(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : std::optional(time_of(f));
}

std::optional<std::string> maybe_text(const pqxx::field& f) {
  return f.is_null() ? std::nullopt : std::optional<std::string>(f.c_str());
}

std::string text_of(timestamp t) {
  const auto us = t.time_since_epoch().count() % 1000;
  auto out = to_rfc3339(t); // milliseconds; the rest is put in before the Z
  out.pop_back();
  return out + static_cast<char>('0' + us / 100) + static_cast<char>('0' + us / 10 % 10) +
         static_cast<char>('0' + us % 10) + "Z";
}

std::optional<std::string> text_of(const std::optional<timestamp>& t) {
  return t ? std::optional(text_of(*t)) : std::nullopt;
}

} // namespace rdev::postgres
