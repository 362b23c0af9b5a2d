// A message, and a sender that is waited for.
#pragma once

#include "adapters/webhooks/curl_sender.hpp"

#include <gtest/gtest.h>

#include <future>

namespace rdev::test {

inline outgoing_message message_to(const std::string& url) {
  outgoing_message out;
  out.webhook = webhook_id::make();
  out.url = url;
  out.secrets.current = secret(std::string(32, 's'));
  out.sequence = 7;
  out.what.id = message_id::make();
  out.what.event = "command.completed";
  out.what.at = *from_rfc3339("2026-11-28T10:00:00.250Z");
  out.what.project = "demo";
  out.what.data = R"({"exit_code":0})";
  return out;
}

inline webhook_sending::sender_config open_to_loopback() {
  webhook_sending::sender_config out;
  out.allowed_networks = {*ip_network::parse("127.0.0.0/8")};
  out.time_limit = std::chrono::seconds(30);
  out.connect_limit = std::chrono::seconds(30);
  return out;
}

inline std::future<sent_message> begin(webhook_sender& by, outgoing_message what) {
  auto promise = std::make_shared<std::promise<sent_message>>();
  auto out = promise->get_future();
  by.send(std::move(what), [promise](sent_message m) { promise->set_value(std::move(m)); });
  return out;
}

inline sent_message outcome_of(std::future<sent_message>& f) {
  if (f.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    ADD_FAILURE() << "not called back within 30 s";
    return {};
  }
  return f.get();
}

inline sent_message send(webhook_sender& by, outgoing_message what) {
  auto f = begin(by, std::move(what));
  return outcome_of(f);
}
inline sent_message send(webhook_sender& by, const std::string& url) {
  return send(by, message_to(url));
}

} // namespace rdev::test
