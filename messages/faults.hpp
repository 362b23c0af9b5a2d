// A fault crosses between actors as a caf::error of category `rdev`; this is the one place that translates.
#pragma once

#include "messages/values/result.hpp"

#include <caf/atom.hpp>
#include <caf/error.hpp>
#include <caf/message.hpp>

namespace rdev {

inline constexpr caf::atom_value fault_category = caf::atom("rdev");

inline caf::error to_error(failure why) {
  return {static_cast<std::uint8_t>(why.code), fault_category, caf::make_message(std::move(why.message))};
}

// Errors of CAF itself (receiver down, time-out) mean that a part of rdev is away for the moment.
inline failure to_failure(const caf::error& e) {
  if (e.category() != fault_category)
    return {fault::unavailable, "an actor is away"};
  const auto& context = e.context();
  return {static_cast<fault>(e.code()),
          context.match_elements<std::string>() ? context.get_as<std::string>(0) : std::string{}};
}

} // namespace rdev
