#include "adapters/http/client.hpp"

#include "adapters/descriptor.hpp"

#include <httplib.h>
#include <sys/mman.h>

#include <algorithm>
#include <cctype>

namespace rdev::http {

namespace {

httplib::Headers to_headers(const headers& fields) {
  return {fields.begin(), fields.end()};
}

headers from_headers(const httplib::Headers& fields) {
  headers out;
  for (const auto& [key, value] : fields) {
    auto name = key;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    out[name] = value;
  }
  return out;
}

failure cut(httplib::Error why) {
  if (why == httplib::Error::SSLServerVerification)
    return {fault::invalid, "its certificate cannot be verified; SSL_CERT_FILE may name another list of authorities"};
  return {fault::unavailable, httplib::to_string(why)};
}

} // namespace

// A file without a name: httplib reads certificates from paths only, and a key must not lie on a disk.
class memory_file {
public:
  explicit memory_file(std::string_view text) {
    if (text.empty())
      return;
    fd_ = descriptor(::memfd_create("rdev", MFD_CLOEXEC));
    [[maybe_unused]] const auto n = ::write(fd_.get(), text.data(), text.size());
    path_ = "/proc/self/fd/" + std::to_string(fd_.get());
  }
  [[nodiscard]] const std::string& path() const { // empty = there is none
    return path_;
  }

private:
  descriptor fd_;
  std::string path_;
};

struct client::impl {
  impl(const std::string& url, const trust& whom)
      : authority(whom.authority), certificate(whom.certificate), key(whom.private_key.reveal()),
        http(url, certificate.path(), key.path()) {
    if (!authority.path().empty())
      http.set_ca_cert_path(authority.path());
    http.set_connection_timeout(5);
    http.set_read_timeout(60);
    http.set_write_timeout(60);
    http.set_keep_alive(true);
    http.set_tcp_nodelay(true);
    http.set_decompress(false);
  }
  memory_file authority;
  memory_file certificate;
  memory_file key;
  httplib::Client http;
};

client::client(const std::string& base_url) : client(base_url, trust{}) {
}
client::client(const std::string& base_url, const trust& whom) : impl_(std::make_unique<impl>(base_url, whom)) {
}
client::~client() = default;
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;

result<response> client::request(const std::string& method, const std::string& path, const headers& fields,
                                 const std::string& body) {
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.headers = to_headers(fields);
  request.body = body;
  auto answered = impl_->http.send(request);
  if (!answered)
    return cut(answered.error());
  return response{answered->status, from_headers(answered->headers), answered->body};
}

result<response> client::stream(const std::string& path, const headers& fields,
                                const std::function<bool(std::string_view)>& on_data) {
  response out;
  auto answered = impl_->http.Get(
      path, to_headers(fields),
      [&](const httplib::Response& head) {
        out.status = head.status;
        out.fields = from_headers(head.headers);
        return true;
      },
      [&](const char* data, std::size_t size) {
        if (out.status == 200)
          return on_data({data, size});
        out.body.append(data, size);
        return out.body.size() < 1024 * 1024;
      });
  if (!answered)
    return cut(answered.error());
  return out;
}

void client::stop() {
  impl_->http.stop();
}

} // namespace rdev::http
