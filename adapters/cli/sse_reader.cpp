#include "adapters/cli/sse_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace rdev::cli {

namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// A line ends with LF, CR or CRLF. Two memchr are much faster than find_first_of over 45 KiB of base64.
std::size_t line_end(std::string_view text) {
  const auto* lf = static_cast<const char*>(std::memchr(text.data(), '\n', text.size()));
  const auto before_lf = lf == nullptr ? text.size() : static_cast<std::size_t>(lf - text.data());
  const auto* cr = static_cast<const char*>(std::memchr(text.data(), '\r', before_lf));
  if (cr != nullptr)
    return static_cast<std::size_t>(cr - text.data());
  return lf == nullptr ? std::string_view::npos : before_lf;
}

} // namespace

sse_reader::outcome sse_reader::feed(std::string_view piece, const std::function<bool(const sse_event&)>& on_event) {
  while (!piece.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (piece.front() == '\n') {
        piece.remove_prefix(1);
        continue;
      }
    }
    const auto end = line_end(piece);
    const auto length = std::min(end, piece.size());
    if (line_.size() + data_.size() + length > max_bytes_)
      return outcome::too_long;
    if (end == std::string_view::npos) {
      line_.append(piece);
      break;
    }
    bool go_on = true;
    if (line_.empty()) {
      go_on = take_line(piece.substr(0, end), on_event);
    } else {
      line_.append(piece.substr(0, end));
      go_on = take_line(line_, on_event);
      line_.clear();
    }
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    if (!go_on)
      return outcome::stopped;
  }
  return outcome::hungry;
}

void sse_reader::restart() {
  line_.clear();
  name_.clear();
  data_.clear();
  id_.reset();
  has_data_ = false;
  after_cr_ = false;
  at_start_ = true;
}

bool sse_reader::take_line(std::string_view line, const std::function<bool(const sse_event&)>& on_event) {
  if (at_start_ && line.starts_with(byte_order_mark))
    line.remove_prefix(byte_order_mark.size());
  at_start_ = false;
  if (line.empty())
    return dispatch(on_event);
  const auto colon = line.find(':');
  if (colon == 0)
    return true; // a comment
  auto value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' '))
    value.remove_prefix(1);
  take_field(line.substr(0, colon), value);
  return true;
}

void sse_reader::take_field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (has_data_)
      data_ += '\n';
    data_.append(value);
    has_data_ = true;
  } else if (name == "event") {
    name_ = value;
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos)
      id_ = std::string(value);
  } else if (name == "retry") {
    unsigned ms = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ms);
    if (error == std::errc{} && end == value.data() + value.size())
      retry_ = std::chrono::milliseconds(ms);
  }
}

bool sse_reader::dispatch(const std::function<bool(const sse_event&)>& on_event) {
  bool go_on = true;
  if (has_data_) {
    const std::string_view name = name_.empty() ? std::string_view("message") : std::string_view(name_);
    go_on = on_event({id_ ? std::optional<std::string_view>(*id_) : std::nullopt, name, data_});
  }
  name_.clear();
  data_.clear();
  id_.reset();
  has_data_ = false;
  return go_on;
}

} // namespace rdev::cli
