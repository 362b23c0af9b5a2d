// The forms that are hidden at the moment, and where they stand in a text. Of a form only its beginning, its length and
// a fingerprint are kept. Coming and going costs a few look-ups in a tree; a text costs the same however many forms
// there are: at each byte a filter says whether a form may begin there, and only then the tree is asked, once for each
// length of those that begin alike. Not thread-safe.
#pragma once

#include "adapters/redaction/hidden_forms.hpp"
#include "adapters/redaction/spans.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::redaction {

class form_index {
public:
  // In the order in which they are looked for.
  struct entry {
    std::uint64_t window = 0; // the first bytes
    std::size_t length = 0;
    std::uint64_t print = 0;
    edge_digits edges;
    friend auto operator<=>(const entry&, const entry&) = default;
  };

  // How many steps may still be taken in one text. Each of its bytes adds some.
  struct effort {
    std::size_t left = std::size_t{1} << 24U; // some ten milliseconds
  };

  form_index();

  // Needs no lock: it depends on nothing that changes.
  [[nodiscard]] entry entry_of(const hidden_form& form) const;
  void add(const entry& form);
  // One that was added before.
  void remove(const entry& form);

  // Adds the forms that begin at `from` or later. Answers where it stopped: at the end, or, unless the text has ended,
  // where it depends on bytes that have not come whether a form begins there. A text that is full of what many long
  // forms begin with would take minutes: it is hidden from where the effort has been spent to its end.
  std::size_t find(std::string_view text, std::size_t from, bool ended, effort& spared, std::vector<span>& hits) const;

private:
  using tree = std::map<entry, std::size_t>; // how often each is registered

  [[nodiscard]] std::pair<std::size_t, std::size_t> places_of(std::uint64_t window) const;
  [[nodiscard]] bool may_begin_with(std::uint64_t window) const;
  [[nodiscard]] bool alone_with_its_window(tree::const_iterator at) const;
  void note(std::uint64_t window);
  void forget(std::uint64_t window);
  void make_filter(unsigned bits);
  [[nodiscard]] tree::const_iterator skip_to(tree::const_iterator at, const entry& wanted) const;
  bool find_at(std::string_view text, std::size_t at, std::uint64_t window, bool ended, effort& spared,
               std::vector<span>& hits) const;
  [[nodiscard]] std::size_t first_beginning(std::string_view text, std::size_t from) const;

  std::uint64_t seed_;
  std::uint64_t multiplier_; // odd
  tree forms_;
  std::size_t windows_ = 0;          // different ones
  std::vector<std::uint8_t> filter_; // how many windows have this place, 255 = nobody knows
  unsigned bits_ = 0;                // log2 of its size
};

} // namespace rdev::redaction
