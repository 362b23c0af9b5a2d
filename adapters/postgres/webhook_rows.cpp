#include "adapters/postgres/webhook_rows.hpp"

#include "adapters/postgres/arrays.hpp"

namespace rdev::postgres {

webhook webhook_from(const pqxx::row& row, int first) {
  const auto at = [&](int i) { return row[static_cast<pqxx::row::size_type>(first + i)]; };
  webhook out;
  out.id = *webhook_id::from_uuid(at(0).c_str());
  out.url = at(1).c_str();
  out.events = elements_of(at(2).c_str());
  if (!at(3).is_null())
    out.projects = elements_of(at(3).c_str());
  out.description = at(4).c_str();
  out.enabled = at(5).as<bool>();
  out.ordered = at(6).as<bool>();
  out.disabled_reason = at(7).c_str();
  out.failing_since = maybe_time_of(at(8));
  out.created_at = time_of(at(9));
  if (!at(10).is_null())
    out.created_by = key_id::from_uuid(at(10).c_str());
  out.revision = at(11).as<int>();
  return out;
}

std::string secret_place(const webhook_id& id) {
  return "webhook.secret." + id.uuid();
}

} // namespace rdev::postgres
