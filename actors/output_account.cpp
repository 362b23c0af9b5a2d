#include "actors/output_account.hpp"

#include <algorithm>

namespace rdev {

void output_account::resume(stream which, std::string_view bytes) {
  auto& booked = accounts_[static_cast<std::size_t>(which)];
  booked.hash.add(bytes);
  booked.bytes += bytes.size();
}

void output_account::plan_stream(std::vector<chunk>& chunks, stream which, std::string_view bytes, bool flush) const {
  if (capped_ || (!chunks.empty() && chunks.back().truncation_marker))
    return;
  std::uint64_t used = accounts_[0].bytes + accounts_[1].bytes;
  for (const auto& c : chunks)
    used += c.bytes->size();
  const auto room = cap_ - std::min(cap_, used);
  const bool over = bytes.size() > room;
  const auto take = over ? static_cast<std::size_t>(room) : storable_prefix(bytes, flush);
  const auto base = of(which).bytes;
  std::size_t at = 0;
  const auto add = [&](std::size_t size, bool marker) {
    const auto seq = next_seq_ + static_cast<std::uint32_t>(chunks.size());
    chunks.push_back({seq, which, marker, base + at, std::make_shared<const std::string>(bytes.substr(at, size)), {}});
    at += size;
  };
  for (const auto size : chunk_sizes(bytes.substr(0, take)))
    add(size, false);
  if (over)
    add(0, true);
}

std::vector<chunk> output_account::plan(std::string_view out, bool flush_out, std::string_view err,
                                        bool flush_err) const {
  std::vector<chunk> chunks;
  plan_stream(chunks, stream::out, out, flush_out);
  plan_stream(chunks, stream::err, err, flush_err);
  return chunks;
}

void output_account::book(const std::vector<chunk>& chunks) {
  for (const auto& c : chunks) {
    resume(c.stream, *c.bytes);
    capped_ = capped_ || c.truncation_marker;
    next_seq_ = std::max(next_seq_, c.seq + 1);
  }
}

stream_receipt output_account::receipt(stream which, std::uint64_t total) const {
  const auto& booked = of(which);
  return {booked.bytes, to_hex(booked.hash.digest()), std::max(total, booked.bytes)};
}

} // namespace rdev
