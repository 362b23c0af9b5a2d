#include "adapters/http/request_reader.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cctype>
#include <optional>
#include <stdexcept>

namespace rdev::http {

namespace {

namespace beast_http = boost::beast::http;
using parser = beast_http::request_parser<beast_http::string_body>;

constexpr std::size_t most_fields = 100;
constexpr std::size_t longest_method = 32;

std::string text(boost::beast::string_view s) {
  return {s.data(), s.size()};
}

std::string lower(boost::beast::string_view s) {
  std::string out(s.data(), s.size());
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

refusal malformed(const std::string& why) {
  return {refusal_code::bad_request, "the request is not well-formed HTTP: " + why, {}, {}};
}

refusal body_too_large(std::size_t limit) {
  return {refusal_code::payload_too_large,
          "the body is larger than http.max_body_bytes (" + std::to_string(limit) + ")",
          {},
          {}};
}

refusal target_too_long(std::size_t limit) {
  return {refusal_code::uri_too_long, "the path and query are longer than " + std::to_string(limit) + " bytes", {}, {}};
}

refusal head_too_large(std::size_t limit) {
  return {refusal_code::headers_too_large,
          "the head is larger than http.max_header_bytes (" + std::to_string(limit) + ")",
          {},
          {}};
}

// Proxies may send the absolute form (RFC 9112, section 3.2.2); what counts is path and query.
std::string origin_form(std::string target) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (target.starts_with(scheme)) {
      const auto slash = target.find('/', scheme.size());
      return slash == std::string::npos ? "/" : target.substr(slash);
    }
  return target;
}

bool clean(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](unsigned char c) { return (c < 32 && c != '\t') || c == 127; });
}

} // namespace

struct request_reader::impl {
  explicit impl(request_limits l) : limits(l) {
  }

  parser& current() {
    if (!reading) {
      reading.emplace();
      reading->header_limit(static_cast<std::uint32_t>(limits.head_bytes));
      reading->body_limit(limits.body_bytes);
      reading->eager(true);
      told_to_continue = false;
    }
    return *reading;
  }

  // What the parser lets through but the contract, or RFC 9112, does not.
  [[nodiscard]] std::optional<refusal> unacceptable(const beast_http::request_header<>& head) const {
    if (head.method_string().size() > longest_method)
      return malformed("the method is too long");
    if (head.target().size() > limits.target_bytes)
      return target_too_long(limits.target_bytes);
    if (head.count(beast_http::field::content_length) > 1)
      return malformed("Content-Length is given twice");
    if (head.count(beast_http::field::content_length) > 0 && head.count(beast_http::field::transfer_encoding) > 0)
      return malformed("both Content-Length and Transfer-Encoding are given");
    if (head.count(beast_http::field::transfer_encoding) > 0 &&
        lower(head[beast_http::field::transfer_encoding]) != "chunked")
      return malformed("the only Transfer-Encoding is chunked");
    const auto hosts = head.count(beast_http::field::host);
    if (hosts > 1 || (hosts == 0 && head.version() >= 11))
      return malformed("there must be one Host field");
    if (static_cast<std::size_t>(std::distance(head.begin(), head.end())) > most_fields)
      return head_too_large(limits.head_bytes);
    for (const auto& f : head)
      if (!clean(text(f.value())))
        return malformed("a field holds a control character");
    return std::nullopt;
  }

  refusal refused(boost::beast::error_code why) {
    if (why == beast_http::error::body_limit)
      return body_too_large(limits.body_bytes);
    if (why != beast_http::error::header_limit)
      return malformed(why.message());
    return buffer.find("\r\n") == std::string::npos || buffer.find("\r\n") > limits.target_bytes + 32
               ? target_too_long(limits.target_bytes)
               : head_too_large(limits.head_bytes);
  }

  request taken() {
    auto message = reading->release();
    request out;
    out.method = text(message.method_string());
    out.target = origin_form(text(message.target()));
    for (const auto& f : message)
      out.fields.emplace_back(lower(f.name_string()), text(f.value()));
    out.framed = out.has("content-length") || out.has("transfer-encoding");
    out.keep_alive = message.keep_alive();
    out.body = std::move(message.body());
    reading.reset();
    return out;
  }

  request_limits limits;
  std::string buffer; // what has come and is not yet taken
  std::optional<parser> reading;
  bool head_checked = false;
  bool told_to_continue = false;
};

request_reader::request_reader(request_limits limits) : impl_(std::make_unique<impl>(limits)) {
}
request_reader::~request_reader() = default;
request_reader::request_reader(request_reader&&) noexcept = default;
request_reader& request_reader::operator=(request_reader&&) noexcept = default;

void request_reader::feed(std::string_view bytes) {
  impl_->buffer.append(bytes);
}

bool request_reader::idle() const {
  return impl_->buffer.empty() && !impl_->reading;
}

std::variant<request_reader::incomplete, request, refusal> request_reader::next() {
  auto& in = *impl_;
  if (idle())
    return incomplete{};
  auto& p = in.current();
  boost::beast::error_code why;
  std::size_t used = 0;
  try {
    used = p.put(boost::asio::buffer(in.buffer), why);
  } catch (
      const std::length_error&) { // of a field that is larger than the parser can hold: one of a trailer, for example
    return head_too_large(in.limits.head_bytes);
  }
  if (why && why != beast_http::error::need_more)
    return in.refused(why);
  in.buffer.erase(0, used);
  if (!p.is_header_done()) {
    if (in.buffer.size() > in.limits.head_bytes)
      return in.refused(beast_http::error::header_limit);
    return incomplete{};
  }
  if (!in.head_checked) {
    if (auto wrong = in.unacceptable(p.get().base()))
      return std::move(*wrong);
    in.head_checked = true;
  }
  if (!p.is_done()) {
    // What the parser has not taken is the head of a chunk or a trailer, which have no business to be long.
    if (in.buffer.size() > in.limits.head_bytes)
      return head_too_large(in.limits.head_bytes);
    return incomplete{};
  }
  in.head_checked = false;
  return in.taken();
}

bool request_reader::wants_continue() {
  auto& in = *impl_;
  if (!in.reading || !in.head_checked || in.reading->is_done() || in.told_to_continue)
    return false;
  in.told_to_continue = true;
  const auto& head = in.reading->get().base();
  return head.version() >= 11 && lower(head[beast_http::field::expect]) == "100-continue";
}

} // namespace rdev::http
