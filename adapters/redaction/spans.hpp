// Where hits are, and a text without them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev::redaction {

struct span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// Where a hit ends that takes all that follows, also of a text that is looked through in parts.
constexpr std::size_t end_of_any_text = std::size_t{1} << 62U;

// Adds a hit that does not begin before the last one.
void add_in_order(std::vector<span>& to, const span& hit);

void sort(std::vector<span>& hits);

// Goes through a text once, from the front; in one go or part by part.
class eraser {
public:
  // `part` stands at `offset` in the text. The hits are sorted, and those that begin in the part; they may go on
  // beyond.
  std::string erase(std::string_view part, std::size_t offset, const std::vector<span>& hits);
  [[nodiscard]] std::size_t marks() const {
    return marks_;
  }

private:
  std::optional<std::size_t> covered_; // where the last mark's hits end
  std::size_t marks_ = 0;
};

} // namespace rdev::redaction
