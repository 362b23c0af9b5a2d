// What the embedded PostgreSQL writes into its log file, brought into ours line by line, so that there is one log to
// look at. It comes in pieces as the file grows; secrets are taken out of the whole, also those that several lines or
// pieces share. Belongs to one thread at a time.
#pragma once

#include "adapters/log.hpp"
#include "adapters/redaction.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::postgres {

class server_log {
public:
  // What is in the file by now is not brought. `hidden_by`: or none.
  server_log(std::string path, std::optional<redactor> hidden_by, log& out);

  // What has come since, at most a quarter of a MiB of it. What may be a part of something longer waits for the rest.
  void look();
  // All that has come, when no more is expected for now.
  void finish();

private:
  std::string read_on();
  void take(const std::string& piece);
  std::string as_it_was_said(std::string_view piece);
  void tell_lines(const std::string& text);

  std::string path_;
  log& out_;
  std::uint64_t position_ = 0;
  std::optional<redaction_stream> hiding_;
  std::string line_; // that has not ended
  bool begins_line_ = true;
};

} // namespace rdev::postgres
