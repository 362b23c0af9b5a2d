#include "adapters/http/reply.hpp"

#include <array>
#include <ctime>

namespace rdev::http {

namespace {

std::string_view reason_of(int status) {
  switch (status) {
  case 200:
    return "OK";
  case 201:
    return "Created";
  case 202:
    return "Accepted";
  case 204:
    return "No Content";
  case 206:
    return "Partial Content";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 409:
    return "Conflict";
  case 410:
    return "Gone";
  case 411:
    return "Length Required";
  case 413:
    return "Content Too Large";
  case 414:
    return "URI Too Long";
  case 415:
    return "Unsupported Media Type";
  case 416:
    return "Range Not Satisfiable";
  case 429:
    return "Too Many Requests";
  case 431:
    return "Request Header Fields Too Large";
  case 500:
    return "Internal Server Error";
  case 503:
    return "Service Unavailable";
  default:
    return "";
  }
}

void add(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

// Now, as RFC 9110, section 5.6.7, writes it; made anew once a second.
std::string_view date() {
  thread_local std::time_t made_at = 0;
  thread_local std::array<char, 32> text{};
  if (const auto now = std::time(nullptr); now != made_at) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made_at = now;
  }
  return text.data();
}

} // namespace

std::string head_of(const reply& r, bool keep_alive) {
  std::string out;
  out.reserve(512);
  out += "HTTP/1.1 ";
  out += std::to_string(r.status);
  out += ' ';
  out += reason_of(r.status);
  out += "\r\n";
  add(out, "Date", date());
  if (!r.type.empty())
    add(out, "Content-Type", r.type);
  if (!r.rest && r.status != 204)
    add(out, "Content-Length", std::to_string(r.size.value_or(r.body.size())));
  else if (r.size)
    add(out, "Content-Length", std::to_string(*r.size));
  for (const auto& [name, value] : r.fields)
    add(out, name, value);
  add(out, "Connection", keep_alive ? "keep-alive" : "close");
  out += "\r\n";
  return out;
}

} // namespace rdev::http
