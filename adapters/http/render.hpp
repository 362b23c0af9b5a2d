// From outcomes to the JSON of the contract.
#pragma once

#include "adapters/api.hpp"
#include "adapters/json/json.hpp"
#include "messages/values/operations.hpp"

#include <string>

namespace rdev::http {

// The envelope around `data` (and next_cursor of a list).
std::string render(const outcome& what, const std::string& request_id);
std::string render(const refusal& why, const std::string& request_id);
std::string render_ready(const std::vector<health_check>& checks, bool& all_good);
// Where the thing is, for the Location header; empty when there is none.
std::string location_of(const outcome& what);
bool is_replay(const outcome& what);

// `status`, `exit_code`, …, receipts, `complete`: the part that a command's view and its `complete` event share.
void write_receipt(json::writer& out, const stream_receipt& r);
void write_project(json::writer& out, const project& p);
void write_webhook(json::writer& out, const webhook& w);
void write_delivery(json::writer& out, const delivery& d);
std::optional<std::int64_t> duration_ms(const std::optional<timestamp>& started, timestamp finished);

} // namespace rdev::http
