#include "adapters/webhooks/transfer.hpp"

#include "adapters/webhooks/answer.hpp"
#include "adapters/webhooks/endpoint_url.hpp"
#include "adapters/webhooks/standard_webhooks.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <new>
#include <stdexcept>

namespace rdev::webhook_sending {

namespace {

constexpr std::size_t most_detail_bytes = 200;

template <class T>
void set(CURL* easy, CURLoption option, T value) {
  if (const auto code = ::curl_easy_setopt(easy, option, value); code != CURLE_OK)
    throw std::logic_error(std::string("libcurl cannot do what rdev needs: ") + ::curl_easy_strerror(code));
}

long count(std::chrono::milliseconds time) {
  return static_cast<long>(std::max<std::chrono::milliseconds::rep>(time.count(), 1)); // 0 would mean: none
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y; });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string_view without_prefix(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

std::chrono::sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

} // namespace

transfer::transfer(const sender_config& config, const address_guard& guard)
    : config_(config), guard_(guard), easy_(::curl_easy_init()) {
  if (!easy_)
    throw std::bad_alloc();
  set_up(); // what curl cannot do is found out here
}

// For each attempt anew: curl counts over the life of a handle how often it tried again because a kept connection was
// gone, and gives up after the fifth time. Only a reset makes it forget.
void transfer::set_up() {
  auto* easy = easy_.get();
  ::curl_easy_reset(easy);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  // A thread of curl that still asks for a name when time is up is left behind. Without this all endpoints would wait
  // for it.
  set(easy, CURLOPT_QUICK_EXIT, 1L);
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_PROXY, ""); // none, whatever the environment says: a proxy would connect where rdev may not
  set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(easy, CURLOPT_POST, 1L);
  set(easy, CURLOPT_TCP_NODELAY, 1L);
  set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  // Authorities come from a file only: curl then reads it once, not for each connection.
  set(easy, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  if (!config_.authority_file.empty())
    set(easy, CURLOPT_CAINFO, config_.authority_file.c_str());
  set(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(config_.idle_limit.count()));
  set(easy, CURLOPT_DNS_CACHE_TIMEOUT, static_cast<long>(config_.name_limit.count()));
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, count(std::min(config_.connect_limit, config_.time_limit)));
  set(easy, CURLOPT_ERRORBUFFER, detail_.data());
  set(easy, CURLOPT_OPENSOCKETFUNCTION, &transfer::open_socket);
  set(easy, CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(easy, CURLOPT_HEADERFUNCTION, &transfer::take_head);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(easy, CURLOPT_WRITEFUNCTION, &transfer::take_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
}

std::optional<std::string> transfer::prepare(const outgoing_message& m, clock::time_point asked) {
  if (m.secrets.current.empty()) // anybody could make a signature by an empty key
    return "rdev cannot open its secret: the key that it was sealed with is not in RDEV_SECRETS_KEYS";
  if (auto wrong = problem_of(m.url, guard_)) // what is allowed may have changed since it was registered
    return "its URL " + *wrong;
  const auto read = read_url(m.url);
  set_up();
  auto* easy = easy_.get();
  asked_ = asked;
  encrypted_ = read.url.encrypted;
  detail_.front() = '\0';
  refused_.clear();
  status_ = 0;
  head_ended_ = false;
  head_bytes_ = 0;
  retry_after_.reset();
  answer_.clear();
  answer_bytes_ = 0;

  auto request = sign(m, now());
  body_ = std::move(request.body);
  fields_.reset();
  for (const auto& [name, value] : request.fields)
    add(fields_, std::string(name) + ": " + value);
  add(fields_, "expect:"); // no `100-continue`
  set(easy, CURLOPT_HTTPHEADER, fields_.get());
  set(easy, CURLOPT_URL, m.url.c_str());
  set(easy, CURLOPT_POSTFIELDS, body_.c_str());
  set(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body_.size()));
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - asked_);
  set(easy, CURLOPT_TIMEOUT_MS, count(config_.time_limit - waited));
  return std::nullopt;
}

void transfer::add(list& to, const std::string& line) {
  auto* longer = ::curl_slist_append(to.get(), line.c_str());
  if (longer == nullptr)
    throw std::bad_alloc();
  (void)to.release(); // it is the beginning of the longer one
  to.reset(longer);
}

curl_socket_t transfer::open_socket(void* self, curlsocktype /*purpose*/, curl_sockaddr* address) {
  auto& mine = *static_cast<transfer*>(self);
  const auto where = address_in(address->addr);
  const auto problem = where ? mine.guard_.problem_of(*where, mine.encrypted_) : std::optional<std::string>("");
  if (problem) {
    mine.refused_ = where ? "the address " + where->text() + " is not allowed: " + *problem : "it has no address";
    return CURL_SOCKET_BAD;
  }
  // That very address is connected to: it stands in `address`.
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t transfer::take_head(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<transfer*>(self)->take_line({data, size * count}) ? size * count : 0;
}

// Whether to go on.
bool transfer::take_line(std::string_view line) {
  head_bytes_ += line.size();
  if (head_bytes_ > config_.max_head_bytes)
    return false;
  if (head_ended_) // a field behind a body in chunks
    return true;
  if (line.starts_with("HTTP/")) {
    const auto code = line.substr(std::min(line.find(' ') + 1, line.size()));
    status_ = 0;
    std::from_chars(code.data(), code.data() + std::min<std::size_t>(code.size(), 3), status_);
    retry_after_.reset();
    return true;
  }
  if (trimmed(line).empty()) {
    head_ended_ = status_ >= 200; // before: one that announces another
    return true;
  }
  const auto colon = line.find(':');
  if (colon != std::string_view::npos && same_name(line.substr(0, colon), "retry-after"))
    retry_after_ = retry_after_in(trimmed(line.substr(colon + 1)), now());
  return true;
}

std::size_t transfer::take_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& mine = *static_cast<transfer*>(self);
  const auto bytes = size * count;
  mine.answer_bytes_ += bytes;
  if (mine.answer_.size() <= most_noted_bytes) // one byte more tells that it goes on
    mine.answer_.append(data, std::min(bytes, most_noted_bytes + 1 - mine.answer_.size()));
  return mine.answer_bytes_ > mine.config_.max_answer_bytes ? 0 : bytes;
}

sent_message transfer::outcome(CURLcode how) const {
  sent_message out;
  out.latency = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - asked_);
  if (!head_ended_) {
    out.error = problem(how);
    return out;
  }
  out.status = status_;
  out.error = problem_with_status(status_);
  out.body = noted_text(answer_);
  out.retry_after = retry_after_;
  return out;
}

bool transfer::was_connected() const {
  curl_off_t microseconds = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &microseconds);
  return microseconds > 0;
}

std::string transfer::problem(CURLcode how) const {
  if (head_bytes_ > config_.max_head_bytes)
    return "the head of its answer is longer than " + std::to_string(config_.max_head_bytes / 1024) + " KiB";
  switch (how) {
  case CURLE_COULDNT_RESOLVE_HOST:
    return "its name cannot be resolved";
  case CURLE_COULDNT_CONNECT:
    return problem_with_connecting();
  case CURLE_OPERATION_TIMEDOUT:
    return was_connected() ? "no answer within " + in_words(config_.time_limit)
                           : "no connection within " + in_words(std::min(config_.connect_limit, config_.time_limit));
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_CACERT_BADFILE:
    return problem_with_tls(how);
  case CURLE_OK:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR:
    return "the connection was closed before an answer";
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_UNSUPPORTED_PROTOCOL: // HTTP/0.9, that is anything
  case CURLE_OUT_OF_MEMORY:        // what curl says of a line of more than 100 KiB
    return "its answer is not one of HTTP/1.1";
  default:
    return std::string("it cannot be reached: ") + ::curl_easy_strerror(how);
  }
}

std::string transfer::problem_with_connecting() const {
  if (!refused_.empty())
    return refused_;
  long error = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &error);
  if (error == ECONNREFUSED)
    return "the connection was refused";
  if (error == EHOSTUNREACH || error == ENETUNREACH)
    return "there is no route to its address";
  if (error == EMFILE || error == ENFILE)
    return "rdev has too many connections open";
  return "no connection could be made";
}

std::string transfer::problem_with_tls(CURLcode how) const {
  if (how == CURLE_SSL_CACERT_BADFILE)
    return "rdev cannot read its list of certificate authorities";
  std::string_view detail(detail_.data());
  if (how == CURLE_PEER_FAILED_VERIFICATION) {
    detail = without_prefix(without_prefix(detail, "SSL certificate problem: "), "SSL: ");
    return "its certificate cannot be verified: " + noted_text(detail.substr(0, most_detail_bytes));
  }
  if (const auto at = detail.rfind("::"); at != std::string_view::npos) // error:0A00010B:SSL routines::wrong version
    return "no TLS connection could be made: " + noted_text(detail.substr(at + 2, most_detail_bytes));
  return "no TLS connection could be made";
}

} // namespace rdev::webhook_sending
