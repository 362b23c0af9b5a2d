#include "adapters/redaction/form_index.hpp"

#include "adapters/crypto.hpp"
#include "adapters/redaction.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace rdev::redaction {

namespace {

constexpr std::size_t window_bytes = least_hidden_bytes;
constexpr std::uint64_t window_mask = (std::uint64_t{1} << 8U * window_bytes) - 1;

constexpr unsigned least_bits = 12;
constexpr unsigned most_bits = 24;
constexpr std::size_t places_for_a_window = 8; // two of them taken: one window in some twenty is mistaken for another
constexpr std::uint8_t full = 255;

// A step is one byte of a fingerprint.
constexpr std::size_t steps_of_a_byte = 32;    // that each byte of a text adds
constexpr std::size_t steps_of_a_look_up = 64; // in the tree

std::uint64_t random_number() {
  std::uint64_t out = 0;
  const auto bytes = random_bytes(sizeof out);
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

std::uint64_t shifted(std::uint64_t window, char next) {
  return (window << 8U | static_cast<unsigned char>(next)) & window_mask;
}

// Seeded, so that nobody can find two texts that have the same.
class fingerprint {
public:
  explicit fingerprint(std::uint64_t seed) : value_(seed) {
  }
  void add(char c) {
    value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x9e3779b97f4a7c15U;
    value_ ^= value_ >> 29U;
  }
  [[nodiscard]] std::uint64_t value() const {
    return value_;
  }

private:
  std::uint64_t value_;
};

} // namespace

form_index::form_index() : seed_(random_number()), multiplier_(random_number() | 1U) {
  make_filter(least_bits);
}

form_index::entry form_index::entry_of(const hidden_form& form) const {
  const auto text = form.text.reveal();
  std::uint64_t window = 0;
  fingerprint print(seed_);
  for (std::size_t i = 0; i < text.size(); ++i) {
    print.add(text[i]);
    if (i < window_bytes)
      window = shifted(window, text[i]);
  }
  return {window, text.size(), print.value(), form.edges};
}

void form_index::add(const entry& form) {
  const auto [at, fresh] = forms_.try_emplace(form, 0);
  ++at->second;
  if (fresh && alone_with_its_window(at))
    note(form.window);
}

void form_index::remove(const entry& form) {
  const auto at = forms_.find(form);
  if (at == forms_.end() || --at->second > 0)
    return;
  if (alone_with_its_window(at))
    forget(form.window);
  forms_.erase(at);
}

bool form_index::alone_with_its_window(tree::const_iterator at) const {
  const auto window = at->first.window;
  const auto next = std::next(at);
  return (at == forms_.begin() || std::prev(at)->first.window != window) &&
         (next == forms_.end() || next->first.window != window);
}

// ---- the filter: a window may be there when both of its places are taken

std::pair<std::size_t, std::size_t> form_index::places_of(std::uint64_t window) const {
  const auto mixed = window * multiplier_;
  return {mixed >> (64U - bits_), mixed >> (64U - 2 * bits_) & (filter_.size() - 1)};
}

bool form_index::may_begin_with(std::uint64_t window) const {
  const auto [one, other] = places_of(window);
  return filter_[one] != 0 && filter_[other] != 0;
}

void form_index::note(std::uint64_t window) {
  ++windows_;
  if (windows_ * places_for_a_window > filter_.size() && bits_ < most_bits)
    return make_filter(bits_ + 1); // of all, this one among them
  const auto [one, other] = places_of(window);
  for (const auto place : {one, other})
    if (filter_[place] != full)
      ++filter_[place];
}

void form_index::forget(std::uint64_t window) {
  --windows_;
  const auto [one, other] = places_of(window);
  for (const auto place : {one, other})
    if (filter_[place] != full)
      --filter_[place];
}

void form_index::make_filter(unsigned bits) {
  bits_ = bits;
  filter_.assign(std::size_t{1} << bits, 0);
  std::optional<std::uint64_t> last;
  for (const auto& [form, times] : forms_) {
    if (form.window == last)
      continue;
    last = form.window;
    const auto [one, other] = places_of(form.window);
    for (const auto place : {one, other})
      if (filter_[place] != full)
        ++filter_[place];
  }
}

// ---- looking

std::size_t form_index::find(std::string_view text, std::size_t from, bool ended, effort& spared,
                             std::vector<span>& hits) const {
  if (forms_.empty())
    return text.size();
  std::uint64_t window = 0;
  for (std::size_t next = from; next < text.size(); ++next) {
    window = shifted(window, text[next]);
    spared.left += steps_of_a_byte;
    if (next + 1 < from + window_bytes || !may_begin_with(window))
      continue;
    const auto at = next + 1 - window_bytes;
    if (!find_at(text, at, window, ended, spared, hits))
      return at;
    if (spared.left == 0) {
      add_in_order(hits, {at, end_of_any_text});
      return text.size();
    }
  }
  if (ended)
    return text.size();
  const auto unseen = text.size() < window_bytes ? 0 : text.size() - window_bytes + 1;
  return first_beginning(text, std::max(from, unseen));
}

// The first from `at` on that is not before `wanted`: mostly that one or the next.
form_index::tree::const_iterator form_index::skip_to(tree::const_iterator at, const entry& wanted) const {
  if (at->first >= wanted)
    return at;
  const auto next = std::next(at);
  return next == forms_.end() || next->first >= wanted ? next : forms_.lower_bound(wanted);
}

// False: it depends on what follows the text.
bool form_index::find_at(std::string_view text, std::size_t at, std::uint64_t window, bool ended, effort& spared,
                         std::vector<span>& hits) const {
  std::optional<span> hit;
  fingerprint print(seed_);
  std::size_t printed = 0;
  for (auto form = forms_.lower_bound({window, 0, 0, {}}); form != forms_.end() && form->first.window == window;) {
    const auto length = form->first.length;
    if (!ended && at + length >= text.size()) // the byte behind it may be hidden with it
      return false;
    if (at + length > text.size())
      break;
    spared.left -= std::min(spared.left, length - printed + steps_of_a_look_up);
    for (; printed < length; ++printed)
      print.add(text[at + printed]);
    const auto end = at + length;
    for (form = skip_to(form, {window, length, print.value(), {}});
         form != forms_.end() && form->first.window == window && form->first.length == length &&
         form->first.print == print.value();
         ++form) {
      const auto edges = form->first.edges;
      const bool before = edges.before && at > 0 && base64_digit(text[at - 1]);
      const bool after = edges.after && end < text.size() && base64_digit(text[end]);
      const auto begin = before ? at - 1 : at;
      hit = span{hit ? std::min(hit->begin, begin) : begin, std::max(hit ? hit->end : 0, after ? end + 1 : end)};
    }
    if (form != forms_.end())
      form = skip_to(form, {window, length + 1, 0, {}});
  }
  if (hit)
    add_in_order(hits, *hit);
  return true;
}

// Where the last bytes of a text, too few for a window, may be the beginning of a form.
std::size_t form_index::first_beginning(std::string_view text, std::size_t from) const {
  for (auto at = from; at < text.size(); ++at) {
    std::uint64_t known = 0;
    for (const char c : text.substr(at))
      known = shifted(known, c);
    const auto unknown_bits = 8U * (window_bytes - (text.size() - at));
    const auto form = forms_.lower_bound({known << unknown_bits, 0, 0, {}});
    if (form != forms_.end() && form->first.window >> unknown_bits == known)
      return at;
  }
  return text.size();
}

} // namespace rdev::redaction
