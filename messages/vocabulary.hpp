// The whole vocabulary: every type that travels between actors, in one list; its diff is the protocol's diff.
//
// No message leaves the process (nodes meet in PostgreSQL, docs/decisions/0003), so none is serialisable: CAF prints
// them as `unprintable`, which also keeps credentials out of every dump of a mailbox.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>

#include <utility>

namespace rdev {
template <class T>
class answer;
struct api_reply;
struct stream_news;
struct principal;
struct project;
struct submitted;
struct output_bytes;

namespace ingress {
struct perform;
struct read_stream;
struct read_bytes;
} // namespace ingress
namespace auth {
struct identify;
struct forget;
struct forgotten;
struct banned;
} // namespace auth
namespace auditor {
struct request;
} // namespace auditor
namespace lockout {
struct impose;
struct tell;
struct told;
struct request;
} // namespace lockout
namespace api_keys {
struct find;
struct found;
struct request;
struct used;
struct noticed;
struct changed;
} // namespace api_keys
namespace rate_limit {
struct meter;
struct metered;
} // namespace rate_limit
namespace pod_control {
struct locate;
struct request;
struct seen;
} // namespace pod_control
namespace command_queue {
struct submit;
struct cancel;
struct cancelled;
struct cancel_queued;
struct queued_cancelled;
struct complete;
struct completed;
struct record;
struct recorded;
struct observe;
struct look_up;
struct looked_up;
struct vouch;
struct vouched;
struct load;
struct rest;
} // namespace command_queue
namespace runner {
struct run;
struct running;
struct check;
struct checked;
struct stop;
struct changed;
struct drop;
struct abandon;
} // namespace runner
namespace output_log {
struct append;
struct appended;
} // namespace output_log
namespace queries {
struct request;
struct events_after;
struct events;
struct look_behind;
struct behind;
struct stored;
} // namespace queries
namespace streams {
struct grown;
struct project_changed;
struct revoke;
struct recheck;
struct drain;
} // namespace streams
namespace refusals {
struct refused;
} // namespace refusals
namespace audit {
struct record;
struct committed;
} // namespace audit
namespace endpoints {
struct request;
} // namespace endpoints
namespace webhooks {
struct committed;
struct changed;
struct rest;
struct rested;
} // namespace webhooks
namespace leases {
struct reclaim;
struct confirm;
struct confirmed;
struct leave;
struct left;
} // namespace leases
// `outcome` is a variant and cannot be declared ahead; see messages/values/operations.hpp.
} // namespace rdev

#include "messages/values/operations.hpp"

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::ingress::perform)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::ingress::read_stream)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::ingress::read_bytes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::answer<rdev::stream_news>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::answer<rdev::principal>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::answer<rdev::project>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::answer<rdev::submitted>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::answer<rdev::outcome>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::output_bytes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::identify)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::forget)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::forgotten)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auth::banned)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::auditor::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::impose)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::tell)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::told)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::lockout::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::find)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::used)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::noticed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::api_keys::changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::rate_limit::meter)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::rate_limit::metered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::pod_control::locate)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::pod_control::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::pod_control::seen)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::submit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::cancel)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::cancelled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::cancel_queued)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::queued_cancelled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::complete)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::completed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::recorded)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::observe)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::look_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::looked_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::vouch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::vouched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::load)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::command_queue::rest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::running)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::check)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::checked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::drop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::runner::abandon)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::output_log::append)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::output_log::appended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::events_after)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::events)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::look_behind)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::behind)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::queries::stored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::grown)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::project_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::revoke)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::recheck)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::streams::drain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::refusals::refused)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit::record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::audit::committed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::endpoints::request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::committed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::rest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::webhooks::rested)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::reclaim)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::confirm)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::confirmed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::leave)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rdev::leases::left)
