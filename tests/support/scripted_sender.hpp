// A sender that keeps what it is given to send; the test answers by hand, when and how it likes.
#pragma once

#include "adapters/webhook_sender.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::test {

inline sent_message delivered_well() {
  sent_message out;
  out.status = 204;
  out.latency = std::chrono::milliseconds(3);
  return out;
}
inline sent_message answered_with(int status, std::optional<std::chrono::seconds> retry_after = {}) {
  sent_message out;
  out.status = status;
  out.error = "status " + std::to_string(status);
  out.body = "no";
  out.latency = std::chrono::milliseconds(3);
  out.retry_after = retry_after;
  return out;
}
inline sent_message not_answered() {
  sent_message out;
  out.error = "connection reset";
  return out;
}

class scripted_sender final : public webhook_sender {
public:
  struct request {
    outgoing_message what;
    std::function<void(sent_message)> done; // none: answered
  };

  [[nodiscard]] std::optional<std::string> problem_of(std::string_view url) const override {
    return url.starts_with("https://") ? std::nullopt : std::optional<std::string>("must begin with https://");
  }
  void send(outgoing_message message, std::function<void(sent_message)> done) override {
    if (on_send)
      on_send(message);
    all.push_back({std::move(message), std::move(done)});
  }
  void stop() override {
    for (auto& one : all)
      one.done = {};
  }

  // The oldest request of this sequence that is not answered yet; throws when there is none, which fails the test.
  void answer(std::int64_t sequence, sent_message how) {
    for (auto& one : all)
      if (one.done && one.what.sequence == sequence)
        return std::exchange(one.done, {})(std::move(how));
    throw std::logic_error("nothing of sequence " + std::to_string(sequence) + " is under way");
  }
  // Sequences of all that was sent so far, in order.
  [[nodiscard]] std::vector<std::int64_t> sent() const {
    std::vector<std::int64_t> out;
    for (const auto& one : all)
      out.push_back(one.what.sequence);
    return out;
  }
  // Sequences of what is not answered yet, the oldest request first.
  [[nodiscard]] std::vector<std::int64_t> under_way() const {
    std::vector<std::int64_t> out;
    for (const auto& one : all)
      if (one.done)
        out.push_back(one.what.sequence);
    return out;
  }

  std::vector<request> all;
  std::function<void(const outgoing_message&)> on_send;
};

} // namespace rdev::test
