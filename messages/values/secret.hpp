// Text that must not be shown: it has no stream operator, prints as `[secret]`, and is wiped when it dies.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace rdev {

class secret {
public:
  secret() = default;
  explicit secret(std::string text) : text_(std::move(text)) {
  }
  secret(const secret&) = default;
  secret(secret&& other) noexcept : text_(std::move(other.text_)) {
    other.wipe(); // a short text was copied and still stands there
  }
  secret& operator=(const secret& other) {
    if (this != &other) {
      wipe();
      text_ = other.text_;
    }
    return *this;
  }
  secret& operator=(secret&& other) noexcept {
    if (this != &other) {
      wipe();
      text_.swap(other.text_);
      other.wipe();
    }
    return *this;
  }
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
  // All of the room, not only what is in use; it never grows, so that nothing is allocated.
  void wipe() noexcept {
    text_.resize(text_.capacity());
    for (volatile char& c : text_)
      c = '\0';
    text_.clear();
  }
  std::string text_;
};

} // namespace rdev
