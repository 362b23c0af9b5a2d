#include "adapters/audit_chain.hpp"

#include "adapters/crypto.hpp"

namespace rdev::audit_chain {

namespace {

constexpr std::string_view link_tag = "rdev-seal-1";
constexpr std::size_t key_id_digits = 16;

template <class Bytes>
void add(std::string& out, const Bytes& bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

} // namespace

seal_hash hash_of(const audit_entry& record) {
  return sha256(canonical(record));
}

seal_hash hash_of(const audit_seal& link) {
  std::string text(link_tag);
  for (int shift = 56; shift >= 0; shift -= 8)
    text += static_cast<char>(static_cast<std::uint64_t>(link.seq) >> static_cast<unsigned>(shift) & 0xffU);
  add(text, link.id.bytes());
  add(text, link.row_hash);
  add(text, link.prev_hash);
  return sha256(text);
}

audit_seal link(std::int64_t seq, const seal_hash& before, const audit_entry& record) {
  audit_seal out{seq, record.id, hash_of(record), before, {}};
  out.hash = hash_of(out);
  return out;
}

std::string key_id_of(std::string_view public_key) {
  return to_hex(sha256(public_key)).substr(0, key_id_digits);
}

void verifier::bad(audit_problem problem, std::int64_t seq, const audit_id& id) {
  if (!out_.first_bad)
    out_.first_bad = {problem, seq, id};
}

void verifier::look_at(const audit_seal& seal, const audit_entry* record, std::optional<timestamp> kept_from) {
  if (found())
    return;
  if (seal.seq > last_ + 1)
    return bad(audit_problem::missing, last_ + 1, {});
  if (seal.seq <= last_)
    return bad(audit_problem::inserted, seal.seq, seal.id);
  // A record that is gone may be so by retention; its link stays for a while.
  const auto made_at = timestamp(std::chrono::milliseconds(seal.id.unix_ms()));
  if (record == nullptr && !(kept_from && made_at < *kept_from))
    return bad(audit_problem::missing, seal.seq, seal.id);
  if (record != nullptr && hash_of(*record) != seal.row_hash)
    return bad(audit_problem::changed, seal.seq, seal.id);
  if (seal.prev_hash != hash_ || hash_of(seal) != seal.hash)
    return bad(audit_problem::reordered, seal.seq, seal.id);
  last_ = out_.sealed_through = seal.seq;
  hash_ = seal.hash;
  id_ = seal.id;
  if (record != nullptr)
    ++out_.checked;
}

void verifier::look_at_unsealed(const audit_id& record) {
  bad(audit_problem::inserted, 0, record);
}

void verifier::look_at_double(const audit_seal& seal) {
  bad(audit_problem::inserted, seal.seq, seal.id);
}

void verifier::look_at_other_time() {
  bad(audit_problem::changed, last_, id_);
}

void verifier::look_at_disorder(const audit_seal& seal) {
  bad(audit_problem::reordered, seal.seq, seal.id);
}

void verifier::look_at_gap() {
  bad(audit_problem::missing, last_ + 1, {});
}

void verifier::look_at_gone(const audit_checkpoint& checkpoint) {
  bad(audit_problem::missing, checkpoint.seq, {});
}

void verifier::look_at_no_record() {
  bad(audit_problem::changed, last_ + 1, {});
}

void verifier::look_at(const audit_checkpoint& checkpoint, bool good) {
  if (!good)
    return bad(audit_problem::bad_signature, checkpoint.seq, {});
  if (checkpoint.seq > last_)
    return bad(audit_problem::tail_cut, last_ + 1, {});
  if (checkpoint.seq == last_ && checkpoint.hash != hash_)
    return bad(audit_problem::changed, checkpoint.seq, id_);
}

} // namespace rdev::audit_chain
