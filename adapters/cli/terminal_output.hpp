// Our own stdout and stderr: bytes as they are, straight to the descriptor.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace rdev::cli {

// Where bytes go.
class byte_sink {
public:
  virtual ~byte_sink() = default;
  // All of `bytes` or an error; std::errc::broken_pipe when nobody reads any more.
  virtual std::error_code write(std::string_view bytes) = 0;
};

// A descriptor of somebody else's: it may be non-blocking, and it is not closed.
class descriptor_sink final : public byte_sink {
public:
  explicit descriptor_sink(int fd) : fd_(fd) {
  }
  std::error_code write(std::string_view bytes) override;

private:
  int fd_;
};

// The text with everything that a terminal would obey (control characters, C1 included) replaced by `?`: names and
// messages of a server are somebody else's text.
std::string harmless(std::string_view text);

// One line on stderr, in one write: `rdev: <text>`.
void complain(std::string_view text);

// Ends this process as SIGPIPE ends any program whose reader has gone.
[[noreturn]] void die_of_broken_pipe();

} // namespace rdev::cli
