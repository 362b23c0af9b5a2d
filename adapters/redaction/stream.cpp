#include "adapters/redaction/registry.hpp"

#include <algorithm>
#include <shared_mutex>

namespace rdev {

// Positions count from the beginning of `held`, those of hits from the beginning of the text.
struct redaction_stream::state {
  explicit state(redactor r) : by(std::move(r)) {
  }

  void look(bool ended);
  std::string advance(bool ended);

  redactor by;
  std::string held;        // bytes that were not given out
  std::size_t given = 0;   // how many were
  std::size_t matched = 0; // all matches of patterns that begin before it are known,
  std::size_t looked = 0;  // and all forms that do
  redaction::form_index::effort effort;
  std::vector<redaction::span> hits;
  redaction::eraser eraser;
  std::size_t former_marks = 0; // in the texts before this one
};

void redaction_stream::state::look(bool ended) {
  const auto& shared = by.registry_;
  std::vector<redaction::span> fresh;
  {
    const std::shared_lock lock(shared->changes);
    looked = shared->forms.find(held, looked, ended, effort, fresh);
  }
  matched = shared->patterns.find(held, matched, ended, fresh);
  for (const auto& hit : fresh)
    hits.push_back({given + hit.begin, given + hit.end});
  redaction::sort(hits);
}

std::string redaction_stream::state::advance(bool ended) {
  look(ended);
  auto known = std::min(matched, looked);
  // A digit of base64 may share its bits with a form that begins behind it.
  if (!ended && known > 0 && redaction::base64_digit(held[known - 1]))
    --known;
  const auto later = std::partition_point(hits.begin(), hits.end(),
                                          [&](const redaction::span& hit) { return hit.begin < given + known; });
  const std::vector<redaction::span> now(hits.begin(), later);
  hits.erase(hits.begin(), later);
  auto out = eraser.erase(std::string_view(held).substr(0, known), given, now);
  held.erase(0, known);
  given += known;
  matched -= known;
  looked -= known;
  return out;
}

redaction_stream::redaction_stream(redactor by) : state_(std::make_unique<state>(std::move(by))) {
}
redaction_stream::redaction_stream(redaction_stream&&) noexcept = default;
redaction_stream& redaction_stream::operator=(redaction_stream&&) noexcept = default;
redaction_stream::~redaction_stream() = default;

std::string redaction_stream::feed(std::string_view chunk) {
  state_->held += chunk;
  return state_->advance(false);
}

std::string redaction_stream::finish() {
  auto out = state_->advance(true);
  auto fresh = std::make_unique<state>(state_->by);
  fresh->former_marks = hits();
  state_ = std::move(fresh);
  return out;
}

std::size_t redaction_stream::hits() const {
  return state_->former_marks + state_->eraser.marks();
}

} // namespace rdev
