#include "adapters/local/order.hpp"

#include <cstring>

namespace rdev::local {

namespace {

constexpr std::string_view magic = "rdev order 2\n";

class encoder {
public:
  void number(std::uint64_t n) {
    char raw[sizeof n];
    std::memcpy(raw, &n, sizeof n);
    out.append(raw, sizeof n);
  }
  void text(std::string_view s) {
    number(s.size());
    out += s;
  }
  std::string out{magic};
};

class decoder {
public:
  explicit decoder(std::string_view bytes) : rest_(bytes) {
    good_ = rest_.starts_with(magic);
    rest_.remove_prefix(good_ ? magic.size() : rest_.size());
  }
  std::uint64_t number() {
    std::uint64_t n = 0;
    if (rest_.size() < sizeof n) {
      good_ = false;
      return 0;
    }
    std::memcpy(&n, rest_.data(), sizeof n);
    rest_.remove_prefix(sizeof n);
    return n;
  }
  std::string text() {
    const auto n = number();
    if (n > rest_.size()) {
      good_ = false;
      return {};
    }
    std::string out(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return out;
  }
  // How many items follow: never more than there are bytes.
  std::uint64_t count() {
    const auto n = number();
    if (n > rest_.size())
      good_ = false;
    return good_ ? n : 0;
  }
  [[nodiscard]] bool whole() const {
    return good_ && rest_.empty();
  }

private:
  std::string_view rest_;
  bool good_ = false;
};

} // namespace

std::string encode(const order& o) {
  encoder e;
  e.text(o.folder);
  e.text(o.boot_tag);
  e.text(o.working_dir);
  e.number(o.change_user ? 1 : 0);
  e.number(o.uid);
  e.number(o.gid);
  e.number(o.groups.size());
  for (const auto g : o.groups)
    e.number(g);
  e.number(o.script ? 1 : 0);
  e.text(o.script.value_or(""));
  e.number(o.argv.size());
  for (const auto& a : o.argv)
    e.text(a);
  e.number(o.environment.size());
  for (const auto& v : o.environment)
    e.text(v);
  e.text(o.stdin_text);
  e.number(o.max_bytes);
  e.text(o.missing_hint);
  e.number(o.timeout_ms);
  e.number(o.grace_ms);
  e.number(o.valid_until_ms);
  return std::move(e.out);
}

std::optional<order> decode(std::string_view bytes) {
  decoder d(bytes);
  order o;
  o.folder = d.text();
  o.boot_tag = d.text();
  o.working_dir = d.text();
  o.change_user = d.number() != 0;
  o.uid = static_cast<std::uint32_t>(d.number());
  o.gid = static_cast<std::uint32_t>(d.number());
  for (auto n = d.count(); n > 0; --n)
    o.groups.push_back(static_cast<std::uint32_t>(d.number()));
  const bool scripted = d.number() != 0;
  auto script = d.text();
  if (scripted)
    o.script = std::move(script);
  for (auto n = d.count(); n > 0; --n)
    o.argv.push_back(d.text());
  for (auto n = d.count(); n > 0; --n)
    o.environment.push_back(d.text());
  o.stdin_text = d.text();
  o.max_bytes = d.number();
  o.missing_hint = d.text();
  o.timeout_ms = d.number();
  o.grace_ms = d.number();
  o.valid_until_ms = d.number();
  if (!d.whole())
    return std::nullopt;
  return o;
}

} // namespace rdev::local
