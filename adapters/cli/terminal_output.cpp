#include "adapters/cli/terminal_output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace rdev::cli {

namespace {

void wait_writable(int fd) {
  pollfd waiting{fd, POLLOUT, 0};
  ::poll(&waiting, 1, -1); // whatever it says, the next write says it better
}

} // namespace

std::error_code descriptor_sink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0)
      bytes.remove_prefix(static_cast<std::size_t>(n));
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      wait_writable(fd_);
    else if (errno != EINTR)
      return {errno, std::generic_category()};
  }
  return {};
}

std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) { // U+0080 to U+009F
      out += '?';
      ++i;
    } else {
      out += c < 0x20 || c == 0x7f ? '?' : text[i];
    }
  }
  return out;
}

void complain(std::string_view text) {
  // When stderr is gone too, there is nobody left to tell.
  static_cast<void>(descriptor_sink(STDERR_FILENO).write("rdev: " + harmless(text) + "\n"));
}

void die_of_broken_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  static_cast<void>(std::raise(SIGPIPE));
  ::_exit(128 + SIGPIPE); // only if it is blocked
}

} // namespace rdev::cli
