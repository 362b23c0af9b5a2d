#include "messages/values/keys.hpp"

#include "messages/values/addresses.hpp"

#include <algorithm>

namespace rdev {

namespace {

struct named_scope {
  scope which;
  std::string_view name;
};
constexpr std::array<named_scope, 9> all_scopes{{{scope::projects_read, "projects:read"},
                                                 {scope::projects_write, "projects:write"},
                                                 {scope::projects_execute, "projects:execute"},
                                                 {scope::keys_read, "keys:read"},
                                                 {scope::keys_write, "keys:write"},
                                                 {scope::webhooks_read, "webhooks:read"},
                                                 {scope::webhooks_write, "webhooks:write"},
                                                 {scope::audit_read, "audit:read"},
                                                 {scope::admin, "admin"}}};

bool contains(const std::vector<std::string>& list, std::string_view what) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

bool projects_lie_within(const api_key& y, const api_key& x) {
  if (!x.project_ids)
    return true;
  return y.project_ids && std::all_of(y.project_ids->begin(), y.project_ids->end(),
                                      [&](const auto& p) { return contains(*x.project_ids, p); });
}

bool lies_within(const std::string& network, const std::vector<std::string>& wider) {
  const auto inner = ip_network::parse(network);
  return inner && std::any_of(wider.begin(), wider.end(), [&](const auto& text) {
           const auto outer = ip_network::parse(text);
           return outer && outer->contains(*inner);
         });
}

bool addresses_lie_within(const api_key& y, const api_key& x) {
  if (!x.allowed_ips)
    return true;
  return y.allowed_ips && std::all_of(y.allowed_ips->begin(), y.allowed_ips->end(),
                                      [&](const auto& n) { return lies_within(n, *x.allowed_ips); });
}

} // namespace

std::string_view name_of(scope s) {
  for (const auto& one : all_scopes)
    if (one.which == s)
      return one.name;
  return "";
}

std::optional<scope> scope_from(std::string_view name) {
  for (const auto& one : all_scopes)
    if (one.name == name)
      return one.which;
  return std::nullopt;
}

bool scopes::dominate(const scopes& other) const {
  return std::all_of(all_scopes.begin(), all_scopes.end(),
                     [&](const auto& one) { return !other.has(one.which) || allow(one.which); });
}

std::vector<std::string> scopes::names() const {
  std::vector<std::string> out;
  for (const auto& one : all_scopes)
    if (has(one.which))
      out.emplace_back(one.name);
  return out;
}

std::string_view name_of(anomaly_kind kind) {
  switch (kind) {
  case anomaly_kind::new_network:
    return "new_network";
  case anomaly_kind::unusual_rate:
    return "unusual_rate";
  case anomaly_kind::many_addresses:
    return "many_addresses";
  case anomaly_kind::wrong_secrets:
    return "wrong_secrets";
  }
  return "";
}

// A key without a rate limit of its own has the server's default, which no key's limit is measured against.
bool dominates(const api_key& x, const api_key& y) {
  const bool expires_within = !x.expires_at || (y.expires_at && *y.expires_at <= *x.expires_at);
  const bool rate_within = !x.rate_limit || (y.rate_limit && *y.rate_limit <= *x.rate_limit);
  const bool as_many_within =
      !x.concurrency_limit || (y.concurrency_limit && *y.concurrency_limit <= *x.concurrency_limit);
  return x.granted.dominate(y.granted) && projects_lie_within(y, x) && addresses_lie_within(y, x) && expires_within &&
         rate_within && as_many_within;
}

bool principal::sees_project(std::string_view project) const {
  return !project_ids || contains(*project_ids, project);
}

} // namespace rdev
