// Verifies the stored log against its chain and its checkpoints, page by page, in memory that does not grow with it.
#pragma once

#include "adapters/audit_chain.hpp"
#include "adapters/audit_store.hpp"

#include <deque>
#include <map>

namespace rdev::audit_chain {

struct verification_range {
  std::optional<timestamp> from; // of sealing; none: from the first that is kept
  std::optional<timestamp> to;   // not included; none: to the end
};

// What a verifier holds on to outside of the database: whoever can write into it cannot change these.
struct outside_evidence {
  std::vector<audit_checkpoint> checkpoints;
  std::vector<audit_public_key> keys; // empty: those of the store are believed
};

using believed_keys = std::map<std::string, std::string>; // public keys by their ids
believed_keys keys_by_id(const std::vector<audit_public_key>& keys);
// With a key that is believed.
bool is_signed(const audit_checkpoint& checkpoint, const believed_keys& keys);
// Signed, and what it says of retention can be.
bool is_good(const audit_checkpoint& checkpoint, const believed_keys& keys);

class verification {
public:
  // `reader` must live longer.
  verification(audit_reader& reader, outside_evidence evidence) : reader_(reader), evidence_(std::move(evidence)) {
  }

  // Goes on by one page. True: there is nothing more to look at.
  result<bool> go_on(const verification_range& range);
  [[nodiscard]] audit_verification outcome() const;

private:
  result<done> begin(const verification_range& range);
  result<done> anchor(std::int64_t first, bool is_first_kept);
  void look_at_evidence_before(std::int64_t first);
  result<bool> retention_has_moved();
  void begin_again();
  result<done> fetch_checkpoints();
  static void leave_the_last_number(std::vector<placed_seal>& page);
  result<done> look_at(const std::vector<placed_seal>& page);
  void look_at_time(timestamp sealed_at);
  void look_at_checkpoints(std::int64_t through);

  audit_reader& reader_;
  outside_evidence evidence_;
  std::optional<verifier> verifier_; // once begun
  believed_keys keys_;
  std::optional<timestamp> kept_from_;
  std::optional<std::int64_t> end_;          // the first link that does not belong to the range
  std::int64_t last_ = 0;                    // the last link that was fetched
  audit_position position_;                  // of the last record that was fetched
  std::int64_t last_checkpoint_ = 0;         // the link of the last checkpoint that was fetched
  std::deque<audit_checkpoint> checkpoints_; // that have not been looked at
  std::optional<timestamp> sealed_at_;       // of the links since the last checkpoint
};

} // namespace rdev::audit_chain
