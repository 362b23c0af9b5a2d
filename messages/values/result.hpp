// What a port answers: a value, or the fault that kept it from answering. A refusal (see refusal.hpp) is neither: it
// is a decision about the asker and travels as a value.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace rdev {

// Why a dependency or a part of rdev could not do its work. From 1, since 0 means "no error" to CAF.
enum class fault : std::uint8_t {
  unavailable = 1, // a dependency is away; nothing was done; repeat later
  unknown_outcome, // a write may or may not have happened; repeat with the same Idempotency-Key
  deadline,        // the time given has passed; the outcome is unknown
  stale_token,     // somebody else holds the lease by now: stop at once
  no_space,        // a disk is full
  invalid,         // stored data is not what it must be: a bug or damage
  internal,        // a bug of ours
  key_changed,     // the writer's key is not what it was when it was accepted; nothing was done
};

const char* to_string(fault x);

struct failure {
  fault code = fault::internal;
  std::string message; // for logs; never shown to a client
};

// `done` is the value of an operation that has none.
struct done {};

template <class T>
class [[nodiscard]] result {
public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {
  }
  result(failure why) : state_(std::in_place_index<1>, std::move(why)) {
  }

  explicit operator bool() const {
    return state_.index() == 0;
  }
  T& operator*() {
    return std::get<0>(state_);
  }
  const T& operator*() const {
    return std::get<0>(state_);
  }
  T* operator->() {
    return &std::get<0>(state_);
  }
  const T* operator->() const {
    return &std::get<0>(state_);
  }
  [[nodiscard]] const failure& error() const {
    return std::get<1>(state_);
  }
  [[nodiscard]] failure& error() {
    return std::get<1>(state_);
  }

private:
  std::variant<T, failure> state_;
};

} // namespace rdev
