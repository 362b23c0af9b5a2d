// From a pipe of the command into a file, up to a cap; what lies beyond is read, counted and dropped, so that the
// command never stands still.
#pragma once

#include "adapters/local/run_files.hpp"

#include <cstdint>

namespace rdev::local {

class pump {
public:
  pump(descriptor from, descriptor to, std::uint64_t cap) : from_(std::move(from)), to_(std::move(to)), cap_(cap) {
  }
  // The pipe to wait for, or -1 when all writers have gone.
  [[nodiscard]] int fd() const {
    return open_ ? from_.get() : -1;
  }
  // Moves what is there, at most a quarter of a mebibyte.
  void move_some();
  // Moves what is in the pipe at this moment, and no more: a background child may go on writing for ever.
  void move_present();
  // From now on bytes are dropped without being counted: the sizes have been taken.
  void close_books() {
    books_closed_ = true;
  }
  [[nodiscard]] std::uint64_t stored() const {
    return stored_;
  }
  [[nodiscard]] std::uint64_t total() const {
    return total_;
  }
  [[nodiscard]] bool lost() const {
    return lost_;
  }

private:
  bool move(std::size_t most); // false: nothing there, or the end

  descriptor from_;
  descriptor to_;
  std::uint64_t cap_;
  std::uint64_t stored_ = 0;
  std::uint64_t total_ = 0;
  bool open_ = true;
  bool lost_ = false; // a write failed: the disk is full
  bool books_closed_ = false;
};

} // namespace rdev::local
