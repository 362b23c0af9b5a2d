#include "messages/values/secret.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <ostream>
#include <type_traits>

namespace rdev {
namespace {

template <class T>
concept printable = requires(std::ostream& out, const T& x) {
  out << x;
};

TEST(Secret, CannotBePrintedOrTakenForText) {
  static_assert(!printable<secret>);
  static_assert(!std::is_convertible_v<secret, std::string>);
  static_assert(!std::is_convertible_v<secret, std::string_view>);
  static_assert(!std::is_convertible_v<std::string, secret>);
  EXPECT_EQ(secret::shown(), "[secret]");
}

TEST(Secret, ShowsItsTextOnlyWhenRevealed) {
  const secret x(std::string("hunter2"));
  EXPECT_EQ(x.reveal(), "hunter2");
  EXPECT_FALSE(x.empty());
  EXPECT_TRUE(secret().empty());
}

TEST(Secret, IsCopiedAndMovedWhole) {
  secret x(std::string(100, 'k'));
  secret copy(x);
  EXPECT_EQ(copy.reveal(), x.reveal());
  const secret moved(std::move(x));
  EXPECT_EQ(moved.reveal(), std::string(100, 'k'));
  copy = secret(std::string("short"));
  EXPECT_EQ(copy.reveal(), "short");
  copy = moved;
  EXPECT_EQ(copy.reveal(), moved.reveal());
}

// Short text lives within the object, so the bytes can be looked at where the object was.
class remains {
public:
  template <class Use>
  explicit remains(Use use) {
    auto* x = std::construct_at(reinterpret_cast<secret*>(place_.data()), std::string("hunter2hunter2"));
    use(*x);
    std::destroy_at(x);
  }
  [[nodiscard]] bool hold(std::string_view text) const {
    return std::string_view(reinterpret_cast<const char*>(place_.data()), place_.size()).find(text) !=
           std::string_view::npos;
  }

private:
  alignas(secret) std::array<unsigned char, sizeof(secret)> place_{};
};

TEST(Secret, IsWipedWhenItDies) {
  EXPECT_FALSE(remains([](secret&) {}).hold("unter2"));
}

TEST(Secret, LeavesNothingBehindWhereItWasMovedFrom) {
  EXPECT_FALSE(remains([](secret& x) { const secret elsewhere(std::move(x)); }).hold("unter2"));
  EXPECT_FALSE(remains([](secret& x) {
                 secret elsewhere;
                 elsewhere = std::move(x);
               }).hold("unter2"));
}

TEST(Secret, LeavesNothingBehindWhereItWasReplaced) {
  EXPECT_FALSE(remains([](secret& x) { x = secret(std::string("new")); }).hold("unter2"));
  const secret other(std::string("new"));
  EXPECT_FALSE(remains([&](secret& x) { x = other; }).hold("unter2"));
}

TEST(Secret, StaysItselfWhenAssignedToItself) {
  secret x(std::string("hunter2"));
  auto& same = x;
  x = same;
  EXPECT_EQ(x.reveal(), "hunter2");
}

} // namespace
} // namespace rdev
