#include "adapters/local/shim/pump.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace rdev::local {

namespace {

std::array<char, 256 * 1024> buffer; // one thread, one buffer for both streams

} // namespace

bool pump::move(std::size_t most) {
  const auto n = ::read(from_.get(), buffer.data(), std::min(most, buffer.size()));
  if (n < 0)
    return errno == EINTR;
  if (n == 0) {
    open_ = false;
    return false;
  }
  if (books_closed_)
    return true;
  const auto got = static_cast<std::uint64_t>(n);
  total_ += got;
  const auto keep = lost_ ? 0 : std::min(got, cap_ - std::min(cap_, stored_));
  if (keep == 0)
    return true;
  if (write_all(to_.get(), {buffer.data(), static_cast<std::size_t>(keep)}))
    stored_ += keep;
  else {
    lost_ = true;
    const auto end = ::lseek(to_.get(), 0, SEEK_END);
    stored_ = end < 0 ? stored_ : static_cast<std::uint64_t>(end);
  }
  return true;
}

void pump::move_some() {
  if (open_)
    move(buffer.size());
}

void pump::move_present() {
  int present = 0;
  if (!open_ || ::ioctl(from_.get(), FIONREAD, &present) != 0)
    return;
  for (auto left = static_cast<std::uint64_t>(present); left > 0 && open_;) {
    const auto before = total_;
    if (!move(static_cast<std::size_t>(left)))
      return;
    left -= std::min(left, total_ - before);
  }
}

} // namespace rdev::local
