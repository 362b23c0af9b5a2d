// The audit log as it is read back, and the chain that shows whether it is still as it was written.
#pragma once

#include "messages/values/ids.hpp"
#include "messages/values/time.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

struct audit_tag {
  static constexpr std::string_view prefix = "aud_";
};
using audit_id = id<audit_tag>;

// A row of audit_log as it is read back.
struct audit_entry {
  audit_id id;
  timestamp at;
  std::optional<key_id> actor;
  std::string actor_name;
  std::string action;
  std::string target; // as it is stored: a UUID where it is an id
  std::optional<std::string> project;
  std::string outcome;
  std::string reason;
  std::string client_ip;
  std::string request_id;
  std::string trace_id;
  std::string detail; // a JSON object
};

using seal_hash = std::array<std::uint8_t, 32>; // SHA-256

// A link of the chain over the audit log: the record with this id is the one with this number.
struct audit_seal {
  std::int64_t seq = 0; // from 1, without gaps
  audit_id id;
  seal_hash row_hash{};
  seal_hash prev_hash{}; // `hash` of the one before; zeros for the first
  seal_hash hash{};
};

// What a node vouches for: so far went the chain at that time, and it ended in this hash.
struct audit_checkpoint {
  std::int64_t seq = 0;
  seal_hash hash{};
  timestamp at;
  std::int64_t first_seq = 1;         // what is before has been removed by retention
  std::optional<timestamp> kept_from; // records of before have been removed by retention
  std::string key;                    // which key it is signed with
  std::string signature;              // Ed25519 (RFC 8032), 64 bytes
};

enum class audit_problem : std::uint8_t { changed, missing, inserted, reordered, tail_cut, bad_signature };
constexpr std::string_view name_of(audit_problem problem) {
  switch (problem) {
  case audit_problem::changed:
    return "changed";
  case audit_problem::missing:
    return "missing";
  case audit_problem::inserted:
    return "inserted";
  case audit_problem::reordered:
    return "reordered";
  case audit_problem::tail_cut:
    return "tail_cut";
  case audit_problem::bad_signature:
    return "bad_signature";
  }
  return "";
}

struct audit_finding {
  audit_problem problem = audit_problem::changed;
  std::int64_t seq = 0; // where in the chain; 0 = in no place of it
  audit_id id;          // nil where there is none
};

struct audit_verification {
  std::int64_t checked = 0;        // records
  std::int64_t sealed_through = 0; // the last number of the chain
  std::optional<audit_finding> first_bad;
};

// What a page of the log asks for; what is not given does not matter.
struct audit_query {
  std::int64_t after = 0; // behind this number of the chain
  std::optional<key_id> actor;
  std::string action;
  std::optional<std::string> project;
  std::optional<std::vector<std::string>> projects; // only these
  std::optional<timestamp> from;
  std::optional<timestamp> to; // not included
  int limit = 100;
};

struct sealed_record {
  audit_seal seal;
  audit_entry record;
};

struct audit_page {
  std::vector<sealed_record> records;
  std::int64_t looked_through = 0; // up to this number of the chain: the next page goes on behind it
  bool more = false;
};

struct audit_public_key {
  std::string id;
  std::string public_key; // 32 bytes
  timestamp created_at;
};

// Where a record stands in the order of the chain, also one that is not part of it.
struct audit_position {
  std::uint64_t transaction = 0;
  audit_id id;
  friend auto operator<=>(const audit_position&, const audit_position&) = default;
};

struct placed_seal {
  audit_position at;
  timestamp sealed_at;
  audit_seal seal;
};

struct placed_record {
  audit_position at;
  audit_entry record;
};

} // namespace rdev
