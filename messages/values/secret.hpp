// Text that must not be shown: it has no stream operator, prints as `[secret]`, and is wiped when it dies.
#pragma once

#include <string>
#include <string_view>

namespace rdev {

class secret {
public:
  secret() = default;
  explicit secret(std::string text) : text_(std::move(text)) {
  }
  secret(const secret&) = default;
  secret(secret&&) noexcept = default;
  secret& operator=(const secret&) = default;
  secret& operator=(secret&&) noexcept = default;
  ~secret() {
    wipe();
  }

  // The one way to the text: easy to find in a review.
  [[nodiscard]] std::string_view reveal() const {
    return text_;
  }
  [[nodiscard]] bool empty() const {
    return text_.empty();
  }
  [[nodiscard]] static std::string_view shown() {
    return "[secret]";
  }

private:
  void wipe() {
    for (volatile char& c : text_)
      c = '\0';
  }
  std::string text_;
};

} // namespace rdev
