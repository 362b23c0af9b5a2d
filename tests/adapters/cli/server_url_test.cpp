#include "adapters/cli/server_url.hpp"

#include <gtest/gtest.h>

namespace rdev::cli {
namespace {

void expect_url(std::string_view text, const std::string& origin, const std::string& prefix) {
  const auto parsed = parse_server_url(text);
  const auto* url = std::get_if<server_url>(&parsed);
  ASSERT_NE(url, nullptr) << std::get<std::string>(parsed);
  EXPECT_EQ(url->origin, origin);
  EXPECT_EQ(url->prefix, prefix);
}

TEST(ServerUrl, IsAnOriginWithOrWithoutAPath) {
  expect_url("http://127.0.0.1:8080", "http://127.0.0.1:8080", "");
  expect_url("https://rdev.example.com/", "https://rdev.example.com", "");
  expect_url("http://[::1]:80/a/b//", "http://[::1]:80", "/a/b");
}

TEST(ServerUrl, SaysWhatIsWrong) {
  for (const char* text : {"", "127.0.0.1:8080", "ftp://x", "http://", "http:///x", "http://:80", "http://a b",
                           "http://a/?x=1", "http://a/#x", "http://user@host", "http://a\r\nX: y", "HTTP"})
    EXPECT_TRUE(std::holds_alternative<std::string>(parse_server_url(text))) << text;
}

TEST(PercentEncoding, LeavesOnlyUnreservedCharactersAlone) {
  EXPECT_EQ(percent_encoded("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encoded("../a b?&=%\xc3\xa9\n"), "..%2Fa%20b%3F%26%3D%25%C3%A9%0A");
}

TEST(Query, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(with_query("/x", {}), "/x");
  EXPECT_EQ(with_query("/x", {{"a", ""}, {"b", "1&2"}, {"c", "3"}}), "/x?b=1%262&c=3");
}

} // namespace
} // namespace rdev::cli
