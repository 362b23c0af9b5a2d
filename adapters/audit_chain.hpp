// The chain over the audit log: the texts that are hashed and signed, how a link is made of a record and the link
// before it, and how a chain is verified. docs/audit.md describes it for those who verify by their own means.
#pragma once

#include "messages/values/audit_chain.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace rdev::audit_chain {

// The canonical JSON (RFC 8785) of a record, which is also how users see it: all members in the order of their names,
// `target` in the form of the ids that users know.
std::string canonical(const audit_entry& record);

// What a checkpoint's signature is of.
std::string canonical(const audit_checkpoint& checkpoint);

// The target as users know it: by the action, `cmd_…`, `key_…`, `wh_…` or `ban_…` for a UUID; else as it is stored.
std::string shown_target(const audit_entry& record);

// RFC 3339 in UTC with six decimals: `2026-11-28T05:38:19.961123Z`.
std::string exact_time(timestamp at);

// How a key is named: the first 16 hexadecimal digits of the SHA-256 of its public half.
std::string key_id_of(std::string_view public_key);

seal_hash hash_of(const audit_entry& record);
// SHA-256 of `rdev-seal-1`, the number (64 bits, the most significant byte first), the id (16 bytes), the record's hash
// and the hash before.
seal_hash hash_of(const audit_seal& link);

// The next link, for this record.
audit_seal link(std::int64_t seq, const seal_hash& before, const audit_entry& record);

// Is fed with a chain in its order and keeps nothing of it but the last link, so that a chain of any length is verified
// in the same memory. After the first finding nothing more is looked at.
class verifier {
public:
  // `seq` and `hash`: of the link before the first one that is fed; 0 and zeros for the beginning.
  verifier(std::int64_t seq, const seal_hash& hash) : last_(seq), hash_(hash) {
    out_.sealed_through = seq;
  }

  // `record` = nothing: it is not there. Those before `kept_from` have been removed by retention.
  void look_at(const audit_seal& seal, const audit_entry* record, std::optional<timestamp> kept_from);
  // A record that has no link although it is old enough for one.
  void look_at_unsealed(const audit_id& record);
  // A link beside which there is another one of the same number.
  void look_at_double(const audit_seal& seal);
  // The link that was looked at last was not sealed when its checkpoint says.
  void look_at_other_time();
  // A link that stands before one whose record is older.
  void look_at_disorder(const audit_seal& seal);
  // The link behind the one that was looked at last is not there.
  void look_at_gap();
  // A checkpoint on a link that should still be there.
  void look_at_gone(const audit_checkpoint& checkpoint);
  // What is no record stands where the next one should.
  void look_at_no_record();
  // A checkpoint on the link that was looked at last, or on one that is not there. `good`: its signature is.
  void look_at(const audit_checkpoint& checkpoint, bool good);

  [[nodiscard]] bool found() const {
    return out_.first_bad.has_value();
  }
  [[nodiscard]] const audit_verification& outcome() const {
    return out_;
  }

private:
  void bad(audit_problem problem, std::int64_t seq, const audit_id& id);

  std::int64_t last_;
  seal_hash hash_;
  audit_id id_;
  audit_verification out_;
};

} // namespace rdev::audit_chain
