// Array literals against the server's own reader and printer.
#include "adapters/postgres/arrays.hpp"
#include "tests/support/contracts/store_contract.hpp"
#include "tests/support/test_database.hpp"

#include <pqxx/pqxx>

#include <random>

namespace rdev::test {

using namespace postgres;

class Arrays : public ::testing::Test {
protected:
  test_database db;
  pqxx::connection connection{db.conninfo()};
  pqxx::nontransaction tx{connection};
};

TEST_F(Arrays, EveryTextComesBackFromTheServer) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::vector<std::string> pieces{"\"", "\\", "{", "}",      ",",      " ",          "NULL", "null", "\n", "\t",
                                        "'",  "$1", "a", "\u00e4", "\u20ac", "\U0001F600", "\x01", "\x7f", ""};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> sent(random() % 6);
    for (auto& s : sent)
      for (auto n = random() % 8; n > 0; --n)
        s += pieces[random() % pieces.size()];
    const auto literal = array_of(sent);
    const auto row = tx.exec_params1("SELECT coalesce(array_length($1::text[], 1), 0), $1::text[]", literal);
    ASSERT_EQ(row[0].as<std::size_t>(), sent.size()) << literal;
    ASSERT_EQ(elements_of(row[1].c_str()), sent) << literal << " -> " << row[1].c_str();
  }
}

TEST_F(Arrays, EveryByteStringComesBackFromTheServer) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::string sent(random() % 40, '\0');
    for (auto& c : sent)
      c = static_cast<char>(random());
    array_literal literal;
    literal.add_bytes("first").add_bytes(sent).add_null();
    const auto row = tx.exec_params1(
        "SELECT ($1::bytea[])[2], octet_length(($1::bytea[])[2]), ($1::bytea[])[3] IS NULL", literal.text());
    ASSERT_EQ(bytes_of_hex(row[0].c_str()), sent);
    ASSERT_EQ(row[1].as<std::size_t>(), sent.size());
    ASSERT_TRUE(row[2].as<bool>());
  }
}

TEST_F(Arrays, NumbersAndNullsKeepTheirPlaces) {
  array_literal literal;
  literal.add_number(INT64_MIN).add_null().add_number(INT64_MAX).add_number(0);
  const auto row = tx.exec_params1(
      "SELECT ($1::bigint[])[1], ($1::bigint[])[2] IS NULL, ($1::bigint[])[3], array_length($1::bigint[], 1)",
      literal.text());
  EXPECT_EQ(row[0].as<std::int64_t>(), INT64_MIN);
  EXPECT_TRUE(row[1].as<bool>());
  EXPECT_EQ(row[2].as<std::int64_t>(), INT64_MAX);
  EXPECT_EQ(row[3].as<int>(), 4);
  array_literal texts;
  texts.add(std::optional<std::string>("NULL")).add(std::optional<std::string>());
  EXPECT_EQ(tx.exec_params1("SELECT ($1::text[])[1]", texts.text())[0].c_str(), std::string("NULL"));
  EXPECT_EQ(elements_of("{NULL,\"NULL\"}"), std::vector<std::string>{"NULL"}) << "a NULL is left out, a text is not";
}

TEST(ArrayText, OfTheServerIsReadWithoutReadingBeyondIt) {
  EXPECT_TRUE(elements_of("{}").empty());
  EXPECT_TRUE(elements_of("").empty());
  const std::string whole = "{a,\"b\\\"c\",\"\\\\\",NULL,\"\"}";
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    const std::vector<char> exactly(whole.begin(),
                                    whole.begin() + static_cast<std::ptrdiff_t>(n)); // no terminator behind it
    EXPECT_LE(elements_of({exactly.data(), exactly.size()}).size(), 5U);
  }
  EXPECT_EQ(elements_of(whole), (std::vector<std::string>{"a", "b\"c", "\\", ""}));
  EXPECT_EQ(bytes_of_hex("no hex"), "");
  EXPECT_EQ(bytes_of_hex(bytea_hex("")), "");
}

} // namespace rdev::test
