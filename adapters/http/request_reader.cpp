#include "adapters/http/request_reader.hpp"

#include <utility>

namespace rdev::http {

namespace {

constexpr int most_empty_lines = 4; // RFC 9112, section 2.2, asks for one at least

} // namespace

request_reader::request_reader(request_limits limits) : limits_(limits) {
}

void request_reader::feed(std::string_view bytes) {
  if (over_)
    return;
  buffer_.erase(0, std::exchange(at_, 0));
  buffer_.append(bytes);
}

void request_reader::pass(std::size_t n) {
  at_ += n;
  if (at_ == buffer_.size()) {
    std::string().swap(buffer_); // gives the memory back, as no assignment does: most connections are idle
    at_ = 0;
  }
}

std::variant<request_reader::incomplete, request, request_reader::refused> request_reader::next() {
  if (over_)
    return refused{*over_, {}};
  if (!under_way_) {
    if (!scanner_ && !skip_empty_lines())
      return refuse(malformed("empty lines instead of a request"));
    if (auto wrong = read_head())
      return refuse(std::move(*wrong));
    if (!under_way_)
      return incomplete{};
  }
  if (auto wrong = read_body())
    return refuse(std::move(*wrong));
  auto& reading = *under_way_;
  const bool whole = reading.head.framing == body_framing::chunked
                         ? reading.chunks.whole()
                         : reading.head.what.body.size() == reading.head.body_bytes;
  if (!whole)
    return incomplete{};
  auto out = std::move(reading.head.what);
  under_way_.reset();
  empty_lines_ = 0;
  return out;
}

bool request_reader::skip_empty_lines() {
  while (unread().starts_with("\r\n")) {
    pass(2);
    if (++empty_lines_ > most_empty_lines)
      return false;
  }
  return true;
}

std::optional<refusal> request_reader::read_head() {
  const auto bytes = unread();
  if (bytes.empty() || bytes == "\r") // the latter may become an empty line
    return std::nullopt;
  if (!scanner_)
    scanner_.emplace(limits_);
  auto size = scanner_->scan(bytes);
  if (!size)
    return std::move(size.why());
  if (*size == 0)
    return std::nullopt;
  scanner_.reset();
  under_way_ = std::make_unique<in_body>();
  auto wrong =
      parse_head({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*size)}, limits_, under_way_->head);
  pass(*size);
  return wrong;
}

std::optional<refusal> request_reader::read_body() {
  auto& [head, chunks, told] = *under_way_;
  auto bytes = unread();
  const auto before = bytes.size();
  std::optional<refusal> wrong;
  if (head.framing == body_framing::chunked) {
    wrong = chunks.take(bytes, limits_, head.what.body);
  } else if (head.framing == body_framing::sized) {
    const auto part = bytes.substr(0, static_cast<std::size_t>(head.body_bytes) - head.what.body.size());
    head.what.body.append(part);
    bytes.remove_prefix(part.size());
  }
  told = told || bytes.size() < before; // who sends the body waits for nothing
  pass(before - bytes.size());
  return wrong;
}

request_reader::refused request_reader::refuse(refusal why) {
  refused out{why, {}};
  if (under_way_)
    out.what = std::move(under_way_->head.what);
  out.what.body.clear();
  over_ = std::make_unique<refusal>(std::move(why));
  under_way_.reset();
  scanner_.reset();
  std::string().swap(buffer_);
  at_ = 0;
  return out;
}

bool request_reader::wants_continue() {
  if (!under_way_ || under_way_->told_to_continue || !under_way_->head.expects_continue)
    return false;
  under_way_->told_to_continue = true;
  return true;
}

} // namespace rdev::http
