// Random inputs that can be had again: each test draws from a seed of its own, or from RDEV_TEST_SEED, and prints it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>

namespace rdev::test {

class seeded {
public:
  explicit seeded(std::uint64_t fallback) : seed_(chosen(fallback)), engine_(seed_) {
    std::cout << "seed: " << seed_ << " (RDEV_TEST_SEED chooses another)\n";
  }

  // A number from 0 to n - 1.
  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_);
  }
  bool one_in(std::size_t n) {
    return below(n) == 0;
  }
  std::uint64_t number() {
    return engine_();
  }
  std::string bytes(std::size_t n) {
    std::string out(n, '\0');
    for (char& c : out)
      c = static_cast<char>(below(256));
    return out;
  }
  std::string text_of(std::string_view alphabet, std::size_t n) {
    std::string out(n, '\0');
    for (char& c : out)
      c = alphabet[below(alphabet.size())];
    return out;
  }
  template <class List>
  const auto& any_of(const List& list) {
    return list[below(std::size(list))];
  }

private:
  static std::uint64_t chosen(std::uint64_t fallback) {
    const char* given = std::getenv("RDEV_TEST_SEED");
    return given == nullptr ? fallback : std::strtoull(given, nullptr, 10);
  }

  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

} // namespace rdev::test
