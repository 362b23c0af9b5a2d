#include "adapters/audit_verification.hpp"

#include "adapters/audit_chain.hpp"
#include "adapters/crypto.hpp"
#include "adapters/signing.hpp"

#include <algorithm>
#include <system_error>
#include <tuple>

namespace rdev::audit_chain {

namespace {

constexpr int page_size = 1000; // some 600 kB, which a processor's cache holds

bool comes_before(const audit_checkpoint& a, const audit_checkpoint& b) {
  return std::tie(a.seq, a.at) < std::tie(b.seq, b.at);
}

// The next page begins with it: there may be more links of that number than this page has.
void leave_the_last_number(std::vector<placed_seal>& page) {
  const auto last = page.back().seal.seq;
  if (page.front().seal.seq != last)
    std::erase_if(page, [&](const auto& one) { return one.seal.seq == last; });
}

} // namespace

result<log_page> log_pages::next() {
  log_page out;
  // In this order: a checkpoint that is there now has its link there by then.
  auto checkpoints = reader_->checkpoints_after(last_checkpoint_, page_size);
  if (!checkpoints)
    return std::move(checkpoints.error());
  auto seals = reader_->seals_after(last_, page_size);
  if (!seals)
    return std::move(seals.error());
  out.last = seals->size() < static_cast<std::size_t>(page_size);
  if (!out.last)
    leave_the_last_number(*seals);
  if (end_)
    out.last = std::erase_if(*seals, [&](const auto& one) { return one.seal.seq >= *end_; }) > 0 || out.last;
  if (!seals->empty()) { // more records than links would be a finding, so one page of them is enough
    auto records = reader_->records_between(position_, seals->back().at, page_size);
    if (!records)
      return std::move(records.error());
    out.records = std::move(*records);
    last_ = seals->back().seal.seq;
  }
  if (!out.records.empty())
    position_ = out.records.back().at;
  if (!checkpoints->empty())
    last_checkpoint_ = checkpoints->back().seq;
  out.last = out.last || (end_ && last_ + 1 >= *end_);
  out.checkpoints = std::move(*checkpoints);
  out.seals = std::move(*seals);
  return out;
}

believed_keys keys_by_id(const std::vector<audit_public_key>& keys) {
  believed_keys out;
  for (const auto& key : keys)
    out[key.id] = key.public_key;
  return out;
}

bool is_signed(const audit_checkpoint& checkpoint, const believed_keys& keys) {
  const auto key = keys.find(checkpoint.key);
  return key != keys.end() && is_signature(checkpoint.signature, key->second, canonical(checkpoint));
}

bool is_good(const audit_checkpoint& checkpoint, const believed_keys& keys) {
  return is_signed(checkpoint, keys) && checkpoint.first_seq >= 1 && checkpoint.first_seq <= checkpoint.seq + 1 &&
         (!checkpoint.kept_from || *checkpoint.kept_from <= checkpoint.at);
}

result<bool> verification::go_on(const verification_range& range) {
  if (!verifier_)
    if (auto begun = begin(range); !begun)
      return std::move(begun.error());
  if (verifier_->found())
    return true;
  auto page = next_page();
  if (!page)
    return std::move(page.error());
  const bool over = page->last;
  look_at(std::move(*page));
  if (over && end_ && last_ + 1 < *end_)
    verifier_->look_at_gap();
  if (verifier_->found()) {
    next_ = {}; // it has come to its end
    auto moved = retention_has_moved();
    if (!moved)
      return std::move(moved.error());
    if (*moved) { // what seems to be missing may have been removed meanwhile
      begin_again();
      return false;
    }
  }
  if (over && !end_)
    look_at_checkpoints(std::numeric_limits<std::int64_t>::max());
  return over || verifier_->found();
}

result<log_page> verification::next_page() {
  auto page = next_.valid() ? next_.get() : pages_->next();
  if (!page || page->last || how_ == reading::in_turn)
    return page;
  try {
    next_ = std::async(std::launch::async, [pages = pages_.get()] { return pages->next(); });
  } catch (const std::system_error&) {
    how_ = reading::in_turn; // there are threads for nobody
  }
  return page;
}

audit_verification verification::outcome() const {
  return verifier_ ? verifier_->outcome() : audit_verification{};
}

result<done> verification::begin(const verification_range& range) {
  auto stored = reader_.keys();
  if (!stored)
    return std::move(stored.error());
  keys_ = keys_by_id(evidence_.keys.empty() ? *stored : evidence_.keys);
  auto last = reader_.last_checkpoint();
  if (!last)
    return std::move(last.error());
  std::int64_t first = 1;
  if (*last && is_good(**last, keys_)) {
    first = (*last)->first_seq;
    kept_from_ = (*last)->kept_from;
  } else if (*last) {
    verifier_.emplace((*last)->seq, (*last)->hash);
    verifier_->look_at(**last, false);
    return done{};
  }
  const auto first_kept = first;
  if (range.to) {
    auto end = reader_.first_sealed(*range.to);
    if (!end)
      return std::move(end.error());
    end_ = *end;
  }
  bool is_first_kept = true;
  if (range.from) {
    auto from = reader_.first_sealed(*range.from);
    if (!from)
      return std::move(from.error());
    if (!*from)
      end_ = first; // nothing was sealed since then
    is_first_kept = !*from || **from <= first;
    first = std::max(first, from->value_or(first));
  }
  for (const auto& one : evidence_.checkpoints)
    if (one.seq >= first)
      checkpoints_.push_back(one);
  std::sort(checkpoints_.begin(), checkpoints_.end(), comes_before);
  if (auto anchored = anchor(first, is_first_kept); !anchored)
    return std::move(anchored.error());
  look_at_evidence_before(first_kept);
  return done{};
}

// Links are kept for longer than records: one that was there at a time from which on records are kept has not been
// removed by retention.
void verification::look_at_evidence_before(std::int64_t first) {
  for (const auto& one : evidence_.checkpoints)
    if (one.seq < first && is_signed(one, keys_) && !(kept_from_ && one.at < *kept_from_))
      verifier_->look_at_gone(one);
}

result<bool> verification::retention_has_moved() {
  const auto last = reader_.last_checkpoint();
  if (!last)
    return last.error();
  return *last && is_good(**last, keys_) && (*last)->kept_from != kept_from_;
}

// The link before the first one. What retention has removed is believed: the signed checkpoints stand for it.
result<done> verification::anchor(std::int64_t first, bool is_first_kept) {
  last_ = first - 1;
  audit_position position;
  seal_hash before{};
  if (first > 1) {
    auto seals = reader_.seals_after(is_first_kept ? first - 1 : first - 2, 1);
    if (!seals)
      return std::move(seals.error());
    if (!seals->empty())
      before = is_first_kept ? seals->front().seal.prev_hash : seals->front().seal.hash;
    if (!seals->empty() && !is_first_kept)
      position = seals->front().at;
  }
  pages_ = std::make_unique<log_pages>(reader_, first - 1, position, end_);
  verifier_.emplace(first - 1, before);
  return done{};
}

void verification::begin_again() {
  verifier_.reset();
  kept_from_.reset();
  end_.reset();
  checkpoints_.clear();
  sealed_at_.reset();
}

void verification::look_at(log_page page) {
  for (auto& one : page.checkpoints) {
    const auto place = std::upper_bound(checkpoints_.begin(), checkpoints_.end(), one, comes_before);
    checkpoints_.insert(place, std::move(one));
  }
  std::size_t next = 0; // of the records
  for (std::size_t i = 0; i < page.seals.size(); ++i) {
    const auto& one = page.seals[i];
    const auto* after = i + 1 < page.seals.size() ? &page.seals[i + 1] : nullptr;
    if (after != nullptr && after->seal.seq == one.seal.seq)
      verifier_->look_at_double(one.seal);
    else if (after != nullptr && after->at < one.at)
      verifier_->look_at_disorder(one.seal);
    const auto* record = next < page.records.size() ? &page.records[next] : nullptr;
    if (record != nullptr && record->at < one.at && one.seal.seq == last_ + 1)
      verifier_->look_at_unsealed(record->record.id);
    const bool there = record != nullptr && record->at == one.at;
    verifier_->look_at(one.seal, there ? &record->record : nullptr, kept_from_);
    next += there ? 1 : 0;
    last_ = one.seal.seq;
    look_at_time(one.sealed_at);
    look_at_checkpoints(last_);
    if (verifier_->found())
      return;
  }
  if (next < page.records.size())
    verifier_->look_at_unsealed(page.records[next].record.id);
}

// The hash of a link does not cover when it was sealed: its checkpoint, which is of the same transaction, does.
void verification::look_at_time(timestamp sealed_at) {
  if (sealed_at_ && *sealed_at_ != sealed_at)
    verifier_->look_at_other_time();
  sealed_at_ = sealed_at;
}

void verification::look_at_checkpoints(std::int64_t through) {
  for (; !checkpoints_.empty() && checkpoints_.front().seq <= through; checkpoints_.pop_front()) {
    const auto& one = checkpoints_.front();
    verifier_->look_at(one, is_signed(one, keys_));
    if (sealed_at_ && one.seq == last_) {
      if (one.at != *sealed_at_)
        verifier_->look_at_other_time();
      sealed_at_.reset();
    }
  }
}

} // namespace rdev::audit_chain
