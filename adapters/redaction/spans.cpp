#include "adapters/redaction/spans.hpp"

#include "adapters/redaction.hpp"

#include <algorithm>

namespace rdev::redaction {

void add_in_order(std::vector<span>& to, const span& hit) {
  if (to.empty() || hit.begin > to.back().end)
    to.push_back(hit);
  else
    to.back().end = std::max(to.back().end, hit.end);
}

void sort(std::vector<span>& hits) {
  std::sort(hits.begin(), hits.end(), [](const span& a, const span& b) { return a.begin < b.begin; });
}

std::string eraser::erase(std::string_view part, std::size_t offset, const std::vector<span>& hits) {
  std::string out;
  auto at = std::max(offset, covered_.value_or(0));
  for (const auto& hit : hits) {
    if (!covered_ || hit.begin > *covered_) {
      out += part.substr(at - offset, hit.begin - at);
      out += redaction_mark;
      ++marks_;
      covered_ = hit.end;
    } else {
      covered_ = std::max(*covered_, hit.end);
    }
    at = std::max(at, *covered_);
  }
  if (at < offset + part.size())
    out += part.substr(at - offset);
  return out;
}

} // namespace rdev::redaction
