#pragma once

#include "messages/values/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace rdev {

// `^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`
bool valid_project_id(std::string_view text);

enum class project_status : std::uint8_t { running, stopped, pending, unhealthy };
std::string_view name_of(project_status s);

struct project {
  std::string id;
  project_status status = project_status::running;
  std::optional<std::string> reason;
  std::string phase; // `Running` for the local runner; a pod's phase otherwise
  bool ready = true;
  int restarts = 0;
  std::optional<timestamp> last_seen;
  std::map<std::string, std::string> labels;
  timestamp created_at{};
};

} // namespace rdev
