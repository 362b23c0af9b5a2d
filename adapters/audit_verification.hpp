// Verifies the stored log against its chain and its checkpoints, page by page, in memory that does not grow with it.
#pragma once

#include "adapters/audit_chain.hpp"
#include "adapters/audit_store.hpp"

#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <vector>

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

// A piece of the log: links, the records up to the last of them, and checkpoints.
struct log_page {
  std::vector<audit_checkpoint> checkpoints;
  std::vector<placed_seal> seals;
  std::vector<placed_record> records;
  bool last = false;
};

// Reads the log forwards.
class log_pages {
public:
  log_pages(audit_reader& reader, std::int64_t behind, const audit_position& position, std::optional<std::int64_t> end)
      : reader_(&reader), last_(behind), position_(position), end_(end), last_checkpoint_(behind) {
  }
  // After a fault the same page can be asked for again.
  result<log_page> next();

private:
  audit_reader* reader_;
  std::int64_t last_;       // the last link that was read
  audit_position position_; // of the last record that was read
  std::optional<std::int64_t> end_;
  std::int64_t last_checkpoint_; // the link of the last checkpoint that was read
};

enum class reading : std::uint8_t { in_turn, ahead };

class verification {
public:
  // `reader` must live longer. `ahead`: a thread of its own reads the next page while one is looked at, which takes
  // twice the memory and the shorter of the two times less; nobody else may use `reader` meanwhile.
  verification(audit_reader& reader, outside_evidence evidence, reading how = reading::in_turn)
      : reader_(reader), evidence_(std::move(evidence)), how_(how) {
  }

  // Goes on by one page. True: there is nothing more to look at.
  result<bool> go_on(const verification_range& range);
  [[nodiscard]] audit_verification outcome() const;

private:
  result<done> begin(const verification_range& range);
  result<log_page> next_page();
  result<done> anchor(std::int64_t first, bool is_first_kept);
  void look_at_evidence_before(std::int64_t first);
  result<bool> retention_has_moved();
  void begin_again();
  void look_at(log_page page);
  void look_at_time(timestamp sealed_at);
  void look_at_checkpoints(std::int64_t through);

  audit_reader& reader_;
  outside_evidence evidence_;
  reading how_;
  std::unique_ptr<log_pages> pages_; // where it stays for the thread; once begun, as is this:
  std::optional<verifier> verifier_;
  believed_keys keys_;
  std::optional<timestamp> kept_from_;
  std::optional<std::int64_t> end_;          // the first link that does not belong to the range
  std::int64_t last_ = 0;                    // the last link that was looked at
  std::deque<audit_checkpoint> checkpoints_; // that have not been looked at
  std::optional<timestamp> sealed_at_;       // of the links since the last checkpoint
  std::future<result<log_page>> next_;       // is read ahead; ends before all that is above
};

} // namespace rdev::audit_chain
