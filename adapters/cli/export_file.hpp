// The file that `rdev audit export` goes on writing: one record a line, a number higher than the one before.
#pragma once

#include "adapters/cli/terminal_output.hpp"
#include "adapters/cli/trouble.hpp"
#include "adapters/descriptor.hpp"

#include <cstdint>
#include <string>
#include <variant>

namespace rdev::cli {

class export_file final : public byte_sink {
public:
  // Opens or makes it, for one process at a time. A last line that is torn is cut off; a file that holds anything but
  // an export is left as it is. Throws std::system_error when it cannot be read.
  static std::variant<export_file, trouble> open(const std::string& path);

  // The number of its last record; 0 = it has none.
  [[nodiscard]] std::int64_t last() const {
    return last_;
  }
  // When it returns without an error, all of it is on disk.
  std::error_code write(std::string_view lines) override;

private:
  export_file(descriptor fd, std::int64_t last) : fd_(std::move(fd)), last_(last) {
  }

  descriptor fd_;
  std::int64_t last_;
};

} // namespace rdev::cli
