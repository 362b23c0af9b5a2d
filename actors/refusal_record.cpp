#include "actors/refusal_record.hpp"

#include <utility>

namespace rdev {

audit_record refusal_record(const surroundings& around, const request_context& from, const refusal& why,
                            const std::optional<principal>& who, const std::optional<std::string>& project) {
  const auto clean = [&](std::string text) { return cleaned(around.audited, std::move(text)); };
  audit_record out;
  out.actor = who ? std::optional(who->key) : std::nullopt;
  out.actor_name = clean(who ? who->key_name : !why.key_prefix.empty() ? why.key_prefix : "unknown");
  out.action = "request.refused";
  out.target = clean(from.method + " " + from.path);
  if (project && valid_project_id(*project) && clean(*project) == *project)
    out.project = project;
  out.outcome = "refused";
  out.reason = name_of(why.code);
  out.from = from;
  out.from.request_id = clean(from.request_id);
  out.from.trace_id = clean(from.trace_id);
  return out;
}

} // namespace rdev
