#include "adapters/http/byte_feed.hpp"

#include <algorithm>
#include <charconv>

namespace rdev::http {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size() ? std::optional(n) : std::nullopt;
}

class byte_feed final : public feed, public std::enable_shared_from_this<byte_feed> {
public:
  byte_feed(api& house, const command_id& id, stream which, byte_range range, output_bytes first,
            std::uint64_t first_offset)
      : house_(house), id_(id), which_(which), range_(range) {
    if (first_offset <= range.from)
      pending_ = std::move(first);
    pending_offset_ = first_offset;
  }

  void next(deliver done) override {
    if (range_.from >= range_.to)
      return done({{}, true});
    if (pending_) {
      const auto page = std::move(*pending_);
      pending_.reset();
      auto out = piece_of(page, pending_offset_);
      if (!out.slices.empty())
        return done(std::move(out));
    }
    house_.read_on({id_, which_, range_.from},
                   [self = shared_from_this(), done = std::move(done)](const answer<output_bytes>& page) {
                     done(page ? self->piece_of(*page, self->range_.from) : piece{{}, true, true});
                   });
  }

private:
  // The part of `page`, whose first wanted byte was asked for at `asked_at`, that lies within what is still to be sent.
  piece piece_of(const output_bytes& page, std::uint64_t asked_at) {
    piece out;
    auto at = asked_at;
    auto skip = page.skip;
    for (const auto& c : page.chunks) {
      const auto bytes = std::string_view(*c.bytes).substr(static_cast<std::size_t>(skip));
      skip = 0;
      const auto end = at + bytes.size();
      if (end > range_.from && at < range_.to) {
        const auto first = range_.from - at;
        const auto size = std::min(end, range_.to) - range_.from;
        out.slices.push_back({c.bytes, bytes.substr(static_cast<std::size_t>(first), static_cast<std::size_t>(size))});
        range_.from += size;
      }
      at = end;
    }
    out.broken = range_.from < range_.to && out.slices.empty();
    out.last = range_.from >= range_.to || out.broken;
    return out;
  }

  api& house_;
  command_id id_;
  stream which_;
  byte_range range_; // what is still to be sent
  std::optional<output_bytes> pending_;
  std::uint64_t pending_offset_ = 0;
};

} // namespace

range_wish parse_range(std::string_view field, std::uint64_t size, byte_range& out) {
  out = {0, size};
  if (!field.starts_with("bytes=") || field.find(',') != std::string_view::npos)
    return range_wish::none;
  field.remove_prefix(6);
  const auto dash = field.find('-');
  if (dash == std::string_view::npos)
    return range_wish::none;
  const auto first = number(field.substr(0, dash));
  const auto last = number(field.substr(dash + 1));
  if (dash == 0) {
    if (!last)
      return range_wish::none;
    out.from = size - std::min(size, *last);
    return *last == 0 || size == 0 ? range_wish::unsatisfiable : range_wish::satisfiable;
  }
  if (!first || (dash + 1 < field.size() && !last) || (last && *last < *first))
    return range_wish::none;
  if (*first >= size)
    return range_wish::unsatisfiable;
  out.from = *first;
  out.to = last ? std::min(size, *last + 1) : size;
  return range_wish::satisfiable;
}

std::shared_ptr<feed> make_byte_feed(api& house, const command_id& id, stream which, byte_range range,
                                     output_bytes first, std::uint64_t first_offset) {
  return std::make_shared<byte_feed>(house, id, which, range, std::move(first), first_offset);
}

} // namespace rdev::http
