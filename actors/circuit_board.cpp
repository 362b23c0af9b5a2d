#include "actors/circuit_board.hpp"

namespace rdev {

const char* to_string(circuit_state s) {
  switch (s) {
  case circuit_state::closed:
    return "closed";
  case circuit_state::half_open:
    return "half-open";
  case circuit_state::open:
    break;
  }
  return "open";
}

circuit_board::circuit_board(clock now, rdev::log& log, rdev::metrics& metrics,
                             std::map<std::string, circuit_limits, std::less<>> special)
    : now_(std::move(now)), log_(log), metrics_(metrics), special_(std::move(special)) {
}

circuit& circuit_board::of(std::string_view name) {
  const auto found = all_.find(name);
  if (found != all_.end())
    return found->second;
  metrics_.circuit(name, 0);
  const auto limits = special_.find(name);
  return all_.emplace(name, circuit(limits == special_.end() ? circuit_limits() : limits->second)).first->second;
}

void circuit_board::tell(std::string_view name, circuit_state before, circuit_state after) const {
  if (before == after)
    return;
  metrics_.circuit(name, static_cast<int>(after));
  if (after == circuit_state::open)
    log_.warn("a circuit opened: the dependency is left alone", {{"circuit", std::string(name)}});
  else if (after == circuit_state::closed)
    log_.info("a circuit closed: the dependency is well again", {{"circuit", std::string(name)}});
}

result<std::uint64_t> circuit_board::admit(std::string_view name) {
  std::lock_guard guard(mutex_);
  auto& one = of(name);
  const auto before = one.state();
  const auto now = now_();
  const auto pass = one.admit(now);
  tell(name, before, one.state());
  if (pass)
    return *pass;
  return failure{fault::unavailable, "the circuit of " + std::string(name) + " is " + to_string(one.state()) +
                                         ": it is tried again in " + std::to_string(one.remaining(now).count()) +
                                         " ms"};
}

void circuit_board::ended(std::string_view name, std::uint64_t pass, bool well, std::chrono::milliseconds took) {
  std::lock_guard guard(mutex_);
  const auto found = all_.find(name);
  if (found == all_.end())
    return;
  const auto before = found->second.state();
  found->second.ended(now_(), pass, well, took);
  tell(name, before, found->second.state());
}

bool circuit_board::admits(std::string_view name) {
  std::lock_guard guard(mutex_);
  const auto found = all_.find(name);
  return found == all_.end() || found->second.admits(now_());
}

void circuit_board::recovered(std::string_view name) {
  std::lock_guard guard(mutex_);
  auto& one = of(name);
  const auto before = one.state();
  one.recovered();
  tell(name, before, one.state());
}

void circuit_board::forget(std::string_view name) {
  std::lock_guard guard(mutex_);
  const auto found = all_.find(name);
  if (found == all_.end())
    return;
  all_.erase(found);
  metrics_.circuit(name, std::nullopt);
}

std::map<std::string, circuit_state> circuit_board::broken() const {
  std::lock_guard guard(mutex_);
  std::map<std::string, circuit_state> out;
  for (const auto& [name, one] : all_)
    if (one.state() != circuit_state::closed)
      out.emplace(name, one.state());
  return out;
}

} // namespace rdev
