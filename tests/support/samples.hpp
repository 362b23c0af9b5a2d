// Values that many tests need, made the short way.
#pragma once

#include "adapters/command_store.hpp"
#include "messages/values/keys.hpp"
#include "messages/values/operations.hpp"

namespace rdev::test {

inline api_key a_key(scopes granted = {scope::admin}, std::string prefix = "rdev_abcdefgh") {
  api_key key;
  key.id = key.family = key_id::make();
  key.name = "sample";
  key.prefix = std::move(prefix);
  key.granted = granted;
  return key;
}

inline principal who_has(const api_key& key) {
  principal who;
  who.key = key.id;
  who.family = key.family;
  who.key_prefix = key.prefix;
  who.key_name = key.name;
  who.granted = key.granted;
  who.project_ids = key.project_ids;
  who.rate_limit = key.rate_limit;
  who.concurrency_limit = key.concurrency_limit;
  return who;
}

inline request_context a_request(std::string method = "POST", std::string path = "/projects/demo/shell") {
  return {"req_sample", "", "127.0.0.1", std::move(method), std::move(path)};
}

inline submission a_script(std::string project = "demo", std::string text = "true") {
  submission what;
  what.project = std::move(project);
  what.script = std::move(text);
  return what;
}

inline idempotency an_idempotency_key(std::string key, std::uint8_t body = 1) {
  idempotency out{std::move(key), {}};
  out.body_digest[0] = body;
  return out;
}

} // namespace rdev::test
