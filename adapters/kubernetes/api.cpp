#include "adapters/kubernetes/api.hpp"

#include "messages/values/time.hpp"

#include <thread>

namespace rdev::kubernetes {

namespace {

constexpr int requests_per_second = 50;
constexpr int requests_at_once = 100;
constexpr std::chrono::milliseconds longest_wait(1'000);
constexpr std::size_t longest_event = 4 * 1024 * 1024;

std::string url_of(const cluster_access& access) {
  const bool v6 = access.host.find(':') != std::string::npos;
  return "https://" + (v6 ? "[" + access.host + "]" : access.host) + ":" + std::to_string(access.port);
}

json::value parsed(const std::string& text) {
  auto out = json::parse(text);
  const auto* value = std::get_if<json::value>(&out);
  return value == nullptr ? json::value() : *value;
}

failure as_failure(const api::answer& refusal) {
  const bool later = refusal.status == 429 || refusal.status >= 500;
  return {later ? fault::unavailable : fault::invalid, "the API server refused: " + explained(refusal)};
}

} // namespace

std::string explained(const api::answer& refusal) {
  std::string out = "HTTP " + std::to_string(refusal.status);
  for (const auto* name : {"reason", "message"})
    if (const auto text = refusal.body[name].as_string(); !text.empty())
      out += ", " + std::string(text);
  return out;
}

api::api(cluster_access access)
    : access_(std::move(access)), http_(url_of(access_), {access_.authority, access_.certificate, access_.private_key}),
      pace_(requests_per_second, requests_at_once) {
}

result<http::headers> api::fields() const {
  auto token = token_of(access_);
  if (!token)
    return std::move(token.error());
  http::headers out{{"Accept", "application/json"}};
  if (!token->empty())
    out["Authorization"] = "Bearer " + std::string(token->reveal());
  return out;
}

result<api::answer> api::request(const std::string& method, const std::string& path, const std::string& body) {
  auto head = fields();
  if (!head)
    return std::move(head.error());
  const auto wait = pace_.take(boot_clock_now(), longest_wait);
  if (wait > longest_wait)
    return failure{fault::unavailable, "the API server is asked too often: wait a second"};
  std::this_thread::sleep_for(wait);
  if (!body.empty())
    (*head)["Content-Type"] = method == "PATCH" ? "application/merge-patch+json" : "application/json";
  auto answered = http_.request(method, access_.base_path + path, *head, body);
  if (!answered)
    return std::move(answered.error());
  return answer{answered->status, parsed(answered->body)};
}

result<json::value> api::get(const std::string& path) {
  auto answered = request("GET", path);
  if (!answered)
    return std::move(answered.error());
  if (answered->status != 200)
    return as_failure(*answered);
  if (!answered->body.is_object())
    return failure{fault::unavailable, "the API server answered something that is no JSON object"};
  return answered->body;
}

result<done> api::watch(const std::string& path, const std::function<bool(const json::value&)>& take) {
  auto head = fields();
  if (!head)
    return std::move(head.error());
  std::string line;
  bool too_old = false;
  auto answered = http_.stream(access_.base_path + path, *head, [&](std::string_view bytes) {
    line += bytes;
    std::size_t begin = 0;
    for (auto end = line.find('\n'); end != std::string::npos; end = line.find('\n', begin)) {
      const auto event = parsed(line.substr(begin, end - begin));
      begin = end + 1;
      if (event["type"].as_string() == "ERROR") {
        too_old = event["object"]["code"].as_integer() == 410;
        return false;
      }
      if (!take(event))
        return false;
    }
    line.erase(0, begin);
    return line.size() <= longest_event;
  });
  if (too_old || (answered && answered->status == 410))
    return failure{fault::invalid, "the resource version is too old"};
  if (!answered)
    return std::move(answered.error());
  if (answered->status != 200) {
    auto why = as_failure({answered->status, parsed(answered->body)});
    why.code = fault::unavailable; // `invalid` is only for what is too old
    return why;
  }
  return done{};
}

void api::stop() {
  http_.stop();
}

} // namespace rdev::kubernetes
