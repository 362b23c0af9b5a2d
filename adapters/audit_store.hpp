// Ports of the chain over the audit log.
#pragma once

#include "messages/values/audit_chain.hpp"
#include "messages/values/result.hpp"

#include <chrono>
#include <optional>
#include <vector>

namespace rdev {

// What one call has appended to the chain.
struct sealing {
  bool mine = false; // this node is the one that seals now
  int sealed = 0;    // records
  bool more = false; // there may be further ones already
  std::optional<audit_checkpoint> checkpoint;
};

// Makes the chain; one node at a time, for as long as it lives.
class audit_chain_store {
public:
  virtual ~audit_chain_store() = default;
  // Appends links for the next records, at most so many, and signs where the chain ends then.
  virtual result<sealing> seal(const node_id& node, int most) = 0;
  // Removes records past their retention, and signs from where on they are kept.
  virtual result<sealing> retire(const node_id& node) = 0;
  // How long the first record that is not sealed has waited; 0: there is none.
  virtual result<std::chrono::milliseconds> oldest_unsealed() = 0;
};

// Keeps checkpoints where nobody who writes into the database reaches.
class checkpoint_keeper {
public:
  virtual ~checkpoint_keeper() = default;
  virtual result<done> keep(const audit_checkpoint& what) = 0;
};

// Reads the log in the order of the chain.
class audit_reader {
public:
  virtual ~audit_reader() = default;
  // Looks through a bounded number of records: a page may be short, or empty, and still not the last.
  virtual result<audit_page> list(const audit_query& what) = 0;
  virtual result<std::vector<audit_public_key>> keys() = 0;
  // The first number of the chain that was given at that time or later; none: there is no such.
  virtual result<std::optional<std::int64_t>> first_sealed(timestamp from) = 0;
  virtual result<std::vector<placed_seal>> seals_after(std::int64_t seq, int most) = 0;
  // Behind the one, up to and with the other.
  virtual result<std::vector<placed_record>> records_between(const audit_position& behind, const audit_position& to,
                                                             int most) = 0;
  virtual result<std::vector<audit_checkpoint>> checkpoints_after(std::int64_t seq, int most) = 0;
  virtual result<std::optional<audit_checkpoint>> last_checkpoint() = 0;
};

} // namespace rdev
