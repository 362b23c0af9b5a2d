#include "adapters/http/request_head.hpp"

#include "adapters/http/characters.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <charconv>

namespace rdev::http {

namespace {

namespace beast_http = boost::beast::http;

constexpr int most_fields = 100;
constexpr std::size_t longest_method = 32;

std::string_view view(boost::beast::string_view s) {
  return {s.data(), s.size()};
}

bool same_word(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view trimmed(std::string_view s) {
  const auto first = s.find_first_not_of(" \t");
  return first == std::string_view::npos ? std::string_view{} : s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

// Whether `word` is in the list that all fields of this name make together.
bool lists(const request& r, std::string_view name, std::string_view word) {
  for (auto [key, rest] : r.fields) {
    if (key != name)
      continue;
    for (;;) {
      const auto comma = rest.find(',');
      if (same_word(trimmed(rest.substr(0, comma)), word))
        return true;
      if (comma == std::string_view::npos)
        break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}

// Beast's grammar of a head; what comes behind it is no business of this parser.
class grammar final : public beast_http::basic_parser<true> {
public:
  explicit grammar(request& out) : out_(out) {
    header_limit(UINT32_MAX); // counted by head_scanner
    skip(true);
  }
  int version = 0;

private:
  using error = boost::beast::error_code;
  using text = boost::beast::string_view;

  void on_request_impl(beast_http::verb, text method, text target, int v, error&) override {
    out_.method = view(method);
    out_.target = view(target);
    version = v;
  }
  void on_field_impl(beast_http::field, text name, text value, error&) override {
    out_.fields.emplace_back(view(name), view(value));
  }
  void on_response_impl(int, text, int, error&) override {
  }
  void on_header_impl(error&) override {
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error&) override {
  }
  std::size_t on_body_impl(text, error&) override {
    return 0;
  }
  void on_chunk_header_impl(std::uint64_t, text, error&) override {
  }
  std::size_t on_chunk_body_impl(std::uint64_t, text, error&) override {
    return 0;
  }
  void on_finish_impl(error&) override {
  }

  request& out_;
};

// A proxy may send the absolute form (RFC 9112, section 3.2.2); what counts is path and query. False: it is neither
// form. `r.target` lies in `r.head`.
bool to_origin_form(request& r) {
  const auto target = r.target;
  if (target.starts_with('/') || target == "*")
    return true;
  const auto colon = target.find("://");
  if (colon == std::string_view::npos ||
      !(same_word(target.substr(0, colon), "http") || same_word(target.substr(0, colon), "https")))
    return false;
  const auto authority = colon + 3;
  const auto path = std::min(target.find_first_of("/?", authority), target.size());
  if (path == authority)
    return false;
  if (path < target.size() && target[path] == '/') {
    r.target = target.substr(path);
    return true;
  }
  // No path means `/`: it is written over the last byte of the authority, which nobody reads again.
  const auto slash = path - 1;
  r.head[static_cast<std::size_t>(target.data() - r.head.data()) + slash] = '/';
  r.target = target.substr(slash);
  return true;
}

// Whether all that is wrong with a request line is its version. Then `r` has method and target, for the log.
bool only_version_is_wrong(request& r) {
  const std::string_view head(r.head.data(), r.head.size());
  const auto line = head.substr(0, head.find('\r'));
  const auto target = line.find(' ') + 1;
  const auto version = line.find(' ', target) + 1;
  const auto text = line.substr(version);
  if (text.size() != 8 || !text.starts_with("HTTP/") || !digit(text[5]) || text[6] != '.' || !digit(text[7]))
    return false;
  r.method = line.substr(0, target - 1);
  r.target = line.substr(target, version - 1 - target);
  return true;
}

// Other bytes than ASCII's are no URI (RFC 3986), but clear enough: they name something that is not there.
bool good_target(std::string_view target) {
  return std::all_of(target.begin(), target.end(), [](unsigned char c) { return c > 32 && c != 127 && c != '#'; });
}

// `host [":" port]`, with all that RFC 3986, section 3.2.2, lets a name hold.
bool good_host(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return alphanumeric(c) || std::string_view("-._~!$&'()*+;=:%[]").find(c) != std::string_view::npos;
  });
}

std::optional<refusal> check_framing(const request& r, int version, const request_limits& limits, parsed_head& out) {
  const auto sizes = r.count("content-length");
  const auto codings = r.count("transfer-encoding");
  if (sizes > 1)
    return malformed("Content-Length is given twice");
  if (sizes > 0 && codings > 0)
    return malformed("both Content-Length and Transfer-Encoding are given");
  if (codings > 0) {
    if (version < 11)
      return malformed("HTTP/1.0 knows no Transfer-Encoding");
    if (codings > 1 || !same_word(r.field("transfer-encoding"), "chunked"))
      return malformed("the only Transfer-Encoding is chunked");
    out.framing = body_framing::chunked;
  } else if (sizes > 0) {
    const auto text = r.field("content-length");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.body_bytes);
    if (error != std::errc{} || end != text.data() + text.size())
      return malformed("Content-Length is not a number");
    out.framing = body_framing::sized;
    if (out.body_bytes > limits.body_bytes)
      return body_too_large(limits);
  }
  return std::nullopt;
}

} // namespace

refusal malformed(const std::string& why) {
  return {refusal_code::bad_request, "the request is not well-formed HTTP: " + why, {}, {}};
}

refusal head_too_large(const request_limits& limits) {
  return {refusal_code::headers_too_large,
          "the head is larger than http.max_header_bytes (" + std::to_string(limits.head_bytes) +
              ") or has more than " + std::to_string(most_fields) + " fields",
          {},
          {}};
}

refusal body_too_large(const request_limits& limits) {
  return {refusal_code::payload_too_large,
          "the body is larger than http.max_body_bytes (" + std::to_string(limits.body_bytes) + ")",
          {},
          {}};
}

answer<std::size_t> head_scanner::scan(std::string_view bytes) {
  while (seen_ < bytes.size() && !over_) {
    if (auto wrong = step(bytes[seen_]))
      return std::move(*wrong);
    ++seen_;
  }
  return over_ ? seen_ : 0;
}

std::optional<refusal> head_scanner::step(char c) {
  const bool first_line = lines_ == 0;
  if (c == '\n') {
    if (!after_cr_)
      return malformed("a line ends without CR");
    after_cr_ = false;
    over_ = line_bytes_ == 0;
    line_bytes_ = 0;
    ++lines_;
  } else if (after_cr_) {
    return malformed("CR without LF");
  } else if (c == '\r') {
    after_cr_ = true;
  } else {
    if (!text_character(c))
      return malformed("a control character");
    if (line_bytes_ == 0 && (c == ' ' || c == '\t'))
      return malformed("a line begins with a blank");
    ++line_bytes_;
    if (line_bytes_ == 1 && lines_ > most_fields)
      return head_too_large(limits_);
    if (first_line && c == ' ')
      ++blanks_;
    else if (first_line && blanks_ == 1)
      ++target_bytes_;
    if (first_line && blanks_ == 0 && line_bytes_ > longest_method)
      return malformed("the method is too long");
  }
  if (target_bytes_ > limits_.target_bytes || (first_line && seen_ >= limits_.head_bytes))
    return refusal{refusal_code::uri_too_long,
                   "the path and query are longer than " + std::to_string(limits_.target_bytes) + " bytes",
                   {},
                   {}};
  if (seen_ >= limits_.head_bytes)
    return head_too_large(limits_);
  return std::nullopt;
}

std::optional<refusal> parse_head(std::vector<char> head, const request_limits& limits, parsed_head& out) {
  auto& r = out.what;
  r.head = std::move(head);
  r.fields.reserve(16);
  grammar parser(r);
  boost::beast::error_code why;
  parser.put(boost::asio::buffer(r.head), why);
  if (why == beast_http::error::bad_version && only_version_is_wrong(r))
    return malformed("the version is neither HTTP/1.1 nor HTTP/1.0");
  if (why || !parser.is_header_done())
    return malformed(why ? why.message() : "no head");
  for (auto& [name, value] : r.fields) {
    char* const begin = r.head.data() + (name.data() - r.head.data());
    std::transform(begin, begin + name.size(), begin, lower);
  }
  if (!good_target(r.target) || !to_origin_form(r))
    return malformed("the target is no path");
  const auto hosts = r.count("host");
  if (hosts > 1 || (hosts == 0 && parser.version == 11))
    return malformed("there must be one Host field");
  if (!good_host(r.field("host")))
    return malformed("Host is no host");
  r.keep_alive = !lists(r, "connection", "close") && (parser.version == 11 || lists(r, "connection", "keep-alive"));
  if (auto wrong = check_framing(r, parser.version, limits, out))
    return wrong;
  r.framed = out.framing != body_framing::none;
  out.expects_continue = parser.version == 11 && lists(r, "expect", "100-continue");
  return std::nullopt;
}

} // namespace rdev::http
