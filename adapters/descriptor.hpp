// A file descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace rdev {

class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {
  }
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {
  }
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other)
      const descriptor old(std::exchange(fd_, other.release()));
    return *this;
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  [[nodiscard]] int get() const {
    return fd_;
  }
  explicit operator bool() const {
    return fd_ >= 0;
  }
  int release() {
    return std::exchange(fd_, -1);
  }

private:
  int fd_ = -1;
};

} // namespace rdev
