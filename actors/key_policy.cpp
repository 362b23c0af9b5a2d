#include "actors/key_policy.hpp"

#include "messages/values/rules.hpp"

#include <algorithm>
#include <utility>

namespace rdev {

namespace {

void add(std::vector<field_problem>& out, std::string field, rules::problem found) {
  if (found)
    out.push_back({std::move(field), std::move(*found)});
}

void add_problems_of_networks(std::vector<field_problem>& out, const std::vector<std::string>& networks) {
  for (std::size_t i = 0; i < networks.size(); ++i)
    add(out, "allowed_ips[" + std::to_string(i) + "]", rules::of_network(networks[i]));
}

} // namespace

key_policy::draft key_policy::drafted(const key_request& wish, timestamp now) const {
  draft out;
  auto& key = out.key;
  key.name = wish.name;
  key.granted = wish.granted;
  key.project_ids = wish.project_ids;
  key.allowed_ips = wish.allowed_ips;
  key.rate_limit = wish.rate_limit;
  key.concurrency_limit = wish.concurrency_limit;
  if (wish.expires_in && wish.expires_at)
    out.problems.push_back({"expires_at", rules::two_ends});
  if (wish.expires_at) {
    key.expires_at = wish.expires_at;
    add(out.problems, "expires_at", rules::of_end(*wish.expires_at, now));
    add(out.problems, "expires_at", rules::of_lifetime(key.expires_at, now, max_lifetime));
  } else if (wish.expires_in) {
    if (*wish.expires_in > std::chrono::seconds::zero())
      key.expires_at = now + *wish.expires_in;
    add(out.problems, "expires_in", rules::of_lifetime(key.expires_at, now, max_lifetime));
  } else {
    key.expires_at = within_lifetime(now + default_lifetime, now);
  }
  for (auto& one : problems_of(key))
    out.problems.push_back(std::move(one));
  return out;
}

std::vector<field_problem> key_policy::problems_of(const key_change& what, timestamp now) const {
  std::vector<field_problem> out;
  if (what.allowed_ips && *what.allowed_ips)
    add_problems_of_networks(out, **what.allowed_ips);
  if (!what.expires_at)
    return out;
  if (*what.expires_at)
    add(out, "expires_at", rules::of_end(**what.expires_at, now));
  add(out, "expires_at", rules::of_lifetime(*what.expires_at, now, max_lifetime));
  return out;
}

std::vector<field_problem> key_policy::problems_of(const api_key& key) {
  std::vector<field_problem> out;
  if (key.project_ids)
    add(out, "project_ids", rules::of_bound_key(key.granted));
  if (key.allowed_ips)
    add_problems_of_networks(out, *key.allowed_ips);
  return out;
}

api_key key_policy::changed(api_key key, const key_change& what) {
  key.name = what.name.value_or(key.name);
  key.granted = what.granted.value_or(key.granted);
  key.project_ids = what.project_ids.value_or(key.project_ids);
  key.allowed_ips = what.allowed_ips.value_or(key.allowed_ips);
  key.expires_at = what.expires_at.value_or(key.expires_at);
  key.rate_limit = what.rate_limit.value_or(key.rate_limit);
  key.concurrency_limit = what.concurrency_limit.value_or(key.concurrency_limit);
  return key;
}

std::optional<timestamp> key_policy::within_lifetime(std::optional<timestamp> expires_at, timestamp now) const {
  if (max_lifetime <= std::chrono::seconds::zero())
    return expires_at;
  return std::min(expires_at.value_or(timestamp::max()), now + max_lifetime);
}

} // namespace rdev
