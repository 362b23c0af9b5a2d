#include "adapters/http/recipes.hpp"

#include "adapters/http/bodies.hpp"

namespace rdev::http {

answer<operation> list_keys_of(const call& c) {
  std::vector<field_problem> problems;
  list_keys out{page_of(c, problems, is_id<key_id>), {}};
  if (const auto text = query(c, "unused_for")) {
    out.unused_for = duration_from(*text);
    if (!out.unused_for)
      problems.push_back({"unused_for", "must be a duration such as 12h or 30d"});
  }
  return unless(std::move(problems), out);
}

answer<operation> create_key_of(const call& c) {
  auto body = parse_body("KeyRequest", c.body);
  return body ? create_key_from(std::move(*body), c.now, *c.here) : answer<operation>(std::move(body.why()));
}

answer<operation> get_key_of(const call& c) {
  return with_id<key_id>(c, "key", [](key_id id) { return operation(get_key{id}); });
}

answer<operation> change_key_of(const call& c) {
  auto body = parse_body("KeyChange", c.body);
  if (!body)
    return std::move(body.why());
  auto what = change_key_from({}, std::move(*body), c.now, *c.here);
  if (!what)
    return what;
  return with_id<key_id>(c, "key", [&](key_id id) {
    std::get<change_key>(*what).id = id;
    return std::move(what);
  });
}

answer<operation> list_bans_of(const call& c) {
  std::vector<field_problem> problems;
  list_bans out{page_of(c, problems, is_id<ban_id>)};
  return unless(std::move(problems), out);
}

answer<operation> lift_ban_of(const call& c) {
  return with_id<ban_id>(c, "ban", [](ban_id id) { return operation(lift_ban{id}); });
}

answer<operation> revoke_key_of(const call& c) {
  const auto commands = query(c, "commands").value_or("keep");
  if (commands != "keep" && commands != "cancel")
    return bad_request("commands", "must be keep or cancel");
  return with_id<key_id>(c, "key", [&](key_id id) { return operation(revoke_key{id, commands == "cancel"}); });
}

answer<operation> rotate_key_of(const call& c) {
  auto body = parse_body("RotateRequest", c.body);
  if (!body)
    return std::move(body.why());
  auto what = rotate_key_from({}, std::move(*body));
  if (!what)
    return what;
  return with_id<key_id>(c, "key", [&](key_id id) {
    std::get<rotate_key>(*what).id = id;
    return std::move(what);
  });
}

} // namespace rdev::http
