// Puts a command's events together again: output bytes go to where they belong, in order, each once, and at the end
// they must be those that the receipts speak of.
#pragma once

#include "adapters/cli/sse_reader.hpp"
#include "adapters/cli/terminal_output.hpp"
#include "adapters/cli/trouble.hpp"
#include "adapters/crypto.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/commands.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::cli {

// How the server says that a command ended.
struct completion {
  command_status status = command_status::lost;
  std::optional<int> exit_code;
  std::string reason;
  stream_receipt out;
  stream_receipt err;
  bool complete = false; // exit status known, nothing truncated or missing
};

class receiver {
public:
  receiver(byte_sink& out, byte_sink& err) : out_{"stdout", out}, err_{"stderr", err} {
  }

  // False: nothing more is wanted, because of `completed()` or `failed()`.
  bool take(const sse_event& event);

  // The id to resume after; empty = from the beginning. It moves only when the event's bytes have been written.
  [[nodiscard]] const std::string& last_event_id() const {
    return last_event_id_;
  }
  [[nodiscard]] const std::optional<completion>& completed() const {
    return completed_;
  }
  [[nodiscard]] const std::optional<trouble>& failed() const {
    return failed_;
  }

private:
  struct lane {
    std::string_view name;
    byte_sink& sink;
    std::uint64_t written = 0;
    sha256_stream digest{};
  };

  void take_output(const json::value& data);
  void take_complete(const json::value& data);
  void take_error(const json::value& data);
  void deliver(lane& to, std::uint64_t offset, std::string_view bytes);
  void check(const lane& got, const stream_receipt& promised);
  void fail(trouble_kind kind, std::string message);

  lane out_;
  lane err_;
  std::string decoded_;
  std::string last_event_id_;
  std::optional<completion> completed_;
  std::optional<trouble> failed_;
};

} // namespace rdev::cli
