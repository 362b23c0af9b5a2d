// A refusal: rdev understood the request and says no. Which HTTP status it becomes is decided in one place,
// adapters/http/routes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rdev {

enum class refusal_code : std::uint8_t {
  bad_request,
  unauthorized,
  key_revoked,
  key_expired,
  ip_not_allowed,
  forbidden,
  not_found,
  method_not_allowed,
  request_timeout,
  conflict,
  gone,
  length_required,
  payload_too_large,
  uri_too_long,
  unsupported_media_type,
  too_many_requests,
  headers_too_large,
  internal_error,
  service_unavailable,
  range_not_satisfiable,
};

// The contract's word for it: `KEY_REVOKED`, …
std::string_view name_of(refusal_code code);

struct field_problem {
  std::string field;
  std::string problem;
};

struct refusal {
  refusal_code code = refusal_code::internal_error;
  std::string message; // shown to the client: says what is wrong and what to do
  std::vector<field_problem> details;
  std::chrono::milliseconds retry_after{0}; // 0 = no Retry-After header
  std::string key_prefix{};                 // of a key that is known and was refused all the same
};

// What the outside gets: what it asked for, or why not.
template <class T>
class [[nodiscard]] answer {
public:
  answer(T value) : state_(std::in_place_index<0>, std::move(value)) {
  }
  answer(refusal why) : state_(std::in_place_index<1>, std::move(why)) {
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
  [[nodiscard]] const refusal& why() const {
    return std::get<1>(state_);
  }
  [[nodiscard]] refusal& why() {
    return std::get<1>(state_);
  }

private:
  std::variant<T, refusal> state_;
};

} // namespace rdev
