#include "messages/values/time.hpp"

#include <algorithm>

namespace rdev {

namespace {

// `n` in decimal, with leading zeros, at the place.
void write_digits(char* at, int count, unsigned n) {
  while (count-- > 0) {
    at[count] = static_cast<char>('0' + n % 10);
    n /= 10;
  }
}

} // namespace

// By hand: every log line and every answer holds a time.
std::string to_rfc3339(timestamp t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::milliseconds>(t - day));
  std::string out = "0000-00-00T00:00:00.000Z";
  write_digits(out.data(), 4, static_cast<unsigned>(static_cast<int>(date.year())));
  write_digits(out.data() + 5, 2, static_cast<unsigned>(date.month()));
  write_digits(out.data() + 8, 2, static_cast<unsigned>(date.day()));
  write_digits(out.data() + 11, 2, static_cast<unsigned>(time.hours().count()));
  write_digits(out.data() + 14, 2, static_cast<unsigned>(time.minutes().count()));
  write_digits(out.data() + 17, 2, static_cast<unsigned>(time.seconds().count()));
  write_digits(out.data() + 20, 3, static_cast<unsigned>(time.subseconds().count()));
  return out;
}

namespace {

// `pattern` with a digit for each 0; anything else stands for itself. C's readers of numbers take blanks and signs too.
bool has_form(std::string_view text, std::string_view pattern) {
  return text.size() == pattern.size() && std::equal(text.begin(), text.end(), pattern.begin(), [](char c, char p) {
           return p == '0' ? c >= '0' && c <= '9' : c == p;
         });
}

unsigned number_of(std::string_view digits) {
  unsigned n = 0;
  for (const char c : digits)
    n = n * 10 + static_cast<unsigned>(c - '0');
  return n;
}

// `.` and digits, of which six count; empty when it is anything else.
std::optional<std::chrono::microseconds> fraction_of(std::string_view text) {
  if (text.size() < 2 || text[0] != '.')
    return std::nullopt;
  std::chrono::microseconds out{0};
  long scale = 100'000;
  for (const char c : text.substr(1)) {
    if (c < '0' || c > '9')
      return std::nullopt;
    out += std::chrono::microseconds((c - '0') * scale);
    scale /= 10;
  }
  return out;
}

} // namespace

std::optional<timestamp> from_rfc3339(std::string_view text) {
  constexpr std::string_view pattern = "0000-00-00T00:00:00";
  if (text.size() <= pattern.size() || text.back() != 'Z' || !has_form(text.substr(0, pattern.size()), pattern))
    return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t n) { return number_of(text.substr(at, n)); };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(part(0, 4))),
                                         std::chrono::month(part(5, 2)), std::chrono::day(part(8, 2))};
  const auto rest = text.substr(pattern.size(), text.size() - pattern.size() - 1);
  const auto fraction = rest.empty() ? std::optional(std::chrono::microseconds(0)) : fraction_of(rest);
  if (!date.ok() || part(11, 2) > 23 || part(14, 2) > 59 || part(17, 2) > 59 || !fraction)
    return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(part(11, 2)) + std::chrono::minutes(part(14, 2)) +
         std::chrono::seconds(part(17, 2)) + *fraction;
}

} // namespace rdev
