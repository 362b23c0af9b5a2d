#include "messages/values/refusal.hpp"
#include "messages/values/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace rdev {
namespace {

TEST(Result, HoldsAValueOrAFailure) {
  result<std::string> good(std::string("x"));
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, "x");
  EXPECT_EQ(good->size(), 1U);
  const result<std::string> bad(failure{fault::no_space, "disk"});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, fault::no_space);
  EXPECT_EQ(bad.error().message, "disk");
}

TEST(Result, ThrowsRatherThanHandOutWhatItDoesNotHold) {
  const result<int> bad(failure{});
  EXPECT_THROW((void)*bad, std::bad_variant_access);
  const result<int> good(1);
  EXPECT_THROW((void)good.error(), std::bad_variant_access);
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
  result<std::unique_ptr<int>> good(std::make_unique<int>(7));
  const auto taken = std::move(*good);
  EXPECT_EQ(*taken, 7);
}

TEST(Answer, HoldsAValueOrARefusal) {
  answer<int> good(3);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 3);
  const answer<int> no(refusal{refusal_code::conflict, "why", {{"field", "problem"}}, {}});
  ASSERT_FALSE(no);
  EXPECT_EQ(no.why().code, refusal_code::conflict);
  EXPECT_EQ(no.why().details.at(0).field, "field");
  EXPECT_THROW((void)*no, std::bad_variant_access);
}

TEST(Fault, CountsFromOneAndHasANameOfItsOwn) {
  EXPECT_EQ(static_cast<int>(fault::unavailable), 1) << "0 means no error to the actor library";
  std::set<std::string> names;
  for (const auto f : {fault::unavailable, fault::unknown_outcome, fault::deadline, fault::stale_token, fault::no_space,
                       fault::invalid, fault::internal})
    names.insert(to_string(f));
  EXPECT_EQ(names.size(), 7U);
}

} // namespace
} // namespace rdev
