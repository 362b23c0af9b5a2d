#include "messages/values/webhooks.hpp"

#include <algorithm>

namespace rdev {

bool valid_event_filter(std::string_view filter) {
  if (filter == "*")
    return true;
  if (!filter.ends_with(".*"))
    return std::find(all_event_names.begin(), all_event_names.end(), filter) != all_event_names.end();
  filter.remove_suffix(1);
  return std::any_of(all_event_names.begin(), all_event_names.end(),
                     [&](std::string_view name) { return name.starts_with(filter); });
}

std::string_view name_of(webhook_status status) {
  switch (status) {
  case webhook_status::active:
    return "active";
  case webhook_status::failing:
    return "failing";
  case webhook_status::paused:
    return "paused";
  case webhook_status::disabled:
    return "disabled";
  }
  return "active";
}

std::string_view name_of(delivery_status status) {
  switch (status) {
  case delivery_status::pending:
    return "pending";
  case delivery_status::delivered:
    return "delivered";
  case delivery_status::failed:
    return "failed";
  case delivery_status::blocked:
    return "blocked";
  }
  return "pending";
}

std::optional<delivery_status> delivery_status_from(std::string_view name) {
  for (const auto one :
       {delivery_status::pending, delivery_status::delivered, delivery_status::failed, delivery_status::blocked})
    if (name_of(one) == name)
      return one;
  return std::nullopt;
}

} // namespace rdev
