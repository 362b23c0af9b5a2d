// The circuits of all dependencies, by name. Written and read by any thread; a change of one is counted and logged.
#pragma once

#include "actors/circuit.hpp"
#include "adapters/circuits.hpp"
#include "adapters/log.hpp"
#include "adapters/metrics.hpp"

#include <functional>
#include <map>
#include <mutex>

namespace rdev {

class circuit_board final : public circuits {
public:
  using clock = std::function<std::chrono::milliseconds()>; // goes on while the machine sleeps, never back

  circuit_board(clock now, rdev::log& log, rdev::metrics& metrics,
                std::map<std::string, circuit_limits, std::less<>> special = {});

  result<std::uint64_t> admit(std::string_view name) override;
  void ended(std::string_view name, std::uint64_t pass, bool well, std::chrono::milliseconds took) override;
  bool admits(std::string_view name) override;
  void recovered(std::string_view name) override;
  void forget(std::string_view name) override;

  // Those that are not closed.
  [[nodiscard]] std::map<std::string, circuit_state> broken() const;

private:
  circuit& of(std::string_view name);
  void tell(std::string_view name, circuit_state before, circuit_state after) const;

  clock now_;
  rdev::log& log_;
  rdev::metrics& metrics_;
  std::map<std::string, circuit_limits, std::less<>> special_; // of those that are not as the others
  mutable std::mutex mutex_;
  std::map<std::string, circuit, std::less<>> all_;
};

const char* to_string(circuit_state s);

} // namespace rdev
