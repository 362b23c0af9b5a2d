// Port: circuit breakers, one for each dependency by name. A dependency that fails is left alone for a while, so that
// nobody waits for it and it is not asked by everybody at once when it comes back. Thread-safe; never waits.
#pragma once

#include "messages/values/result.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rdev {

class circuits {
public:
  virtual ~circuits() = default;
  // A pass for one call, or the fault `unavailable`: it is open, and for how long.
  virtual result<std::uint64_t> admit(std::string_view name) = 0;
  virtual void ended(std::string_view name, std::uint64_t pass, bool well, std::chrono::milliseconds took) = 0;
  // Whether a call would be let through.
  virtual bool admits(std::string_view name) = 0;
  // It is known from elsewhere that the dependency is well: calls are let through again.
  virtual void recovered(std::string_view name) = 0;
  // The dependency is no more.
  virtual void forget(std::string_view name) = 0;
};

// Runs `call`, which answers a result, unless the circuit is open. Whether a failure is the dependency's is up to
// `its_fault`; it is told the failure.
template <class Call, class Blame>
auto through(circuits& all, std::string_view name, Call call, Blame its_fault) -> decltype(call()) {
  const auto pass = all.admit(name);
  if (!pass)
    return pass.error();
  const auto begin = std::chrono::steady_clock::now();
  auto out = call();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  all.ended(name, *pass, out || !its_fault(out.error()), took);
  return out;
}

template <class Call>
auto through(circuits& all, std::string_view name, Call call) -> decltype(call()) {
  return through(all, name, std::move(call), [](const failure& why) { return why.code == fault::unavailable; });
}

} // namespace rdev
