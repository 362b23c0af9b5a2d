#include "adapters/http/request_reader.hpp"

#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

// What a reader keeps can be seen only where memory is given out: this program counts.
namespace {

std::atomic<std::size_t> held_bytes{0};

// NOLINTBEGIN(cppcoreguidelines-no-malloc)
void* give_out(std::size_t size) noexcept {
  void* const out = std::malloc(size == 0 ? 1 : size);
  held_bytes += ::malloc_usable_size(out);
  return out;
}

void take_back(void* what) noexcept {
  held_bytes -= ::malloc_usable_size(what);
  std::free(what);
}
// NOLINTEND(cppcoreguidelines-no-malloc)

} // namespace

// Not inlined: g++ would look into one of a pair and miss the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* const out = give_out(size))
    return out;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](std::size_t size) {
  if (void* const out = give_out(size))
    return out;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return give_out(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return give_out(size);
}
[[gnu::noinline]] void operator delete(void* what) noexcept {
  take_back(what);
}
[[gnu::noinline]] void operator delete[](void* what) noexcept {
  take_back(what);
}
[[gnu::noinline]] void operator delete(void* what, std::size_t) noexcept {
  take_back(what);
}
[[gnu::noinline]] void operator delete[](void* what, std::size_t) noexcept {
  take_back(what);
}
[[gnu::noinline]] void operator delete(void* what, const std::nothrow_t&) noexcept {
  take_back(what);
}
[[gnu::noinline]] void operator delete[](void* what, const std::nothrow_t&) noexcept {
  take_back(what);
}

namespace rdev::http {
namespace {

using namespace std::literals;
using ::testing::StartsWith;

using strings = std::vector<std::string>;
using pieces = std::vector<std::string_view>;

constexpr request_limits tight{200, 50, 40}; // head, body, target

// ---- requests in text

std::string get(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}

std::string post(const std::string& fields, const std::string& body) {
  return "POST /p HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body;
}

std::string sized(const std::string& body) {
  return post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
}

std::string chunked(const std::string& body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

std::string letters(std::size_t n) {
  return std::string(n, 'a');
}

// A head of exactly this size.
std::string head_of_size(std::size_t n) {
  const auto without = get("/", "P: \r\n").size();
  return get("/", "P: " + letters(n - without) + "\r\n");
}

std::string with_fields(int n) {
  std::string more;
  for (int i = 1; i < n; ++i) // Host is one of them
    more += "a: b\r\n";
  return get("/", more);
}

std::string repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i)
    out += text;
  return out;
}

// ---- what comes out, in text

std::string shown(const request& r) {
  auto out = std::string(r.method) + " " + std::string(r.target) + (r.keep_alive ? " keeps" : " closes");
  if (r.framed)
    out += " [" + r.body + "]";
  else
    EXPECT_EQ(r.body, "") << "a body without a frame";
  return out;
}

std::string shown(const request_reader::refused& wrong) {
  EXPECT_EQ(wrong.what.body, "");
  EXPECT_NE(wrong.why.message, "");
  auto out = "! " + std::string(name_of(wrong.why.code));
  if (!wrong.what.method.empty())
    out += " " + std::string(wrong.what.method) + " " + std::string(wrong.what.target);
  return out;
}

strings fields_of(const request& r) {
  strings out;
  for (const auto& [name, value] : r.fields)
    out.push_back(std::string(name) + ": " + std::string(value));
  return out;
}

struct reading {
  strings seen;
  std::string why; // the message of the refusal
};

void expect_nothing_is_read_any_more(request_reader& reader, refusal_code code) {
  reader.feed(get("/behind"));
  for (int i = 0; i < 2; ++i) {
    const auto got = reader.next();
    const auto* wrong = std::get_if<request_reader::refused>(&got);
    ASSERT_NE(wrong, nullptr) << "something was read behind a refusal";
    EXPECT_EQ(wrong->why.code, code);
  }
  EXPECT_FALSE(reader.wants_continue());
}

reading read_all(const pieces& input, const request_limits& limits) {
  request_reader reader(limits);
  reading out;
  EXPECT_TRUE(reader.idle());
  for (const auto piece : input) {
    reader.feed(piece);
    EXPECT_FALSE(reader.idle()) << "something has come";
    for (bool more = true; more;) {
      const auto got = reader.next();
      more = std::holds_alternative<request>(got);
      if (more)
        out.seen.push_back(shown(std::get<request>(got)));
      if (const auto* wrong = std::get_if<request_reader::refused>(&got)) {
        out.seen.push_back(shown(*wrong));
        out.why = wrong->why.message;
        expect_nothing_is_read_any_more(reader, wrong->why.code);
        return out;
      }
    }
  }
  out.seen.emplace_back(reader.idle() ? "idle" : "under way");
  return out;
}

pieces bytes_of(std::string_view input) {
  pieces out;
  for (std::size_t at = 0; at < input.size(); ++at)
    out.push_back(input.substr(at, 1));
  return out;
}

// Whole, byte by byte, and cut in two at every place.
void expect_however_cut(std::string_view input, const strings& expected, const request_limits& limits = tight) {
  const auto whole = read_all({input}, limits);
  EXPECT_EQ(whole.seen, expected);
  const auto single = read_all(bytes_of(input), limits);
  EXPECT_EQ(single.seen, whole.seen) << "byte by byte";
  EXPECT_EQ(single.why, whole.why) << "byte by byte";
  for (std::size_t at = 1; at < input.size() && !testing::Test::HasFailure(); ++at) {
    const auto two = read_all({input.substr(0, at), input.substr(at)}, limits);
    EXPECT_EQ(two.seen, whole.seen) << "cut at " << at;
    EXPECT_EQ(two.why, whole.why) << "cut at " << at;
  }
}

struct sample {
  std::string input;
  strings expected;
};

void check(const std::vector<sample>& table, const request_limits& limits = tight) {
  for (const auto& [input, expected] : table) {
    SCOPED_TRACE(testing::PrintToString(input));
    expect_however_cut(input, expected, limits);
  }
}

// Inputs that are all refused with `code`; `what` = method and target, as far as they are known then.
void check_refused(std::string_view code, const std::string& what, const strings& inputs,
                   const request_limits& limits = tight) {
  for (const auto& input : inputs) {
    SCOPED_TRACE(testing::PrintToString(input));
    expect_however_cut(input, {"! " + std::string(code) + (what.empty() ? "" : " ") + what}, limits);
  }
}

// The only request that `input` holds.
request read_one(const std::string& input, const request_limits& limits = tight) {
  request_reader reader(limits);
  reader.feed(input);
  auto got = reader.next();
  auto* r = std::get_if<request>(&got);
  EXPECT_NE(r, nullptr) << input;
  EXPECT_TRUE(reader.idle());
  return r == nullptr ? request() : std::move(*r);
}

// ---- good requests

TEST(RequestReader, ReadsRequestsWithoutBody) {
  check({{get("/"), {"GET / keeps", "idle"}},
         {get("/a/b?c=d&e"), {"GET /a/b?c=d&e keeps", "idle"}},
         {get("/a%20b?"), {"GET /a%20b? keeps", "idle"}},
         {get("/\xc3\xa4"), {"GET /\xc3\xa4 keeps", "idle"}},
         {get("//x"), {"GET //x keeps", "idle"}},
         {get("/a://b"), {"GET /a://b keeps", "idle"}},
         {get("/", "A:\r\nB: \r\nC:c\r\nD: \t d \t\r\n"), {"GET / keeps", "idle"}},
         {"!#$%&'*+-.^_`|~ /a HTTP/1.1\r\nHost: x\r\n\r\n", {"!#$%&'*+-.^_`|~ /a keeps", "idle"}},
         {"get /a HTTP/1.1\r\nHost: x\r\n\r\n", {"get /a keeps", "idle"}},
         {"GET /a HTTP/1.1\r\nhOsT:\r\n\r\n", {"GET /a keeps", "idle"}},
         {"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", {"GET /a keeps", "idle"}},
         {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {"OPTIONS * keeps", "idle"}}});
}

TEST(RequestReader, ReadsTheTargetOutOfTheAbsoluteForm) {
  check({{get("http://y/a?b=c"), {"GET /a?b=c keeps", "idle"}},
         {get("HTTPS://y:443/"), {"GET / keeps", "idle"}},
         {get("http://y"), {"GET / keeps", "idle"}},
         {get("http://y?b=c/d"), {"GET /?b=c/d keeps", "idle"}},
         {get("http://[::1]:80/a/b"), {"GET /a/b keeps", "idle"}},
         {get("http://y//a"), {"GET //a keeps", "idle"}}});
}

TEST(RequestReader, ReadsSizedBodies) {
  check({{sized("hello"), {"POST /p keeps [hello]", "idle"}},
         {sized(""), {"POST /p keeps []", "idle"}},
         {sized("\r\n\r\n"), {"POST /p keeps [\r\n\r\n]", "idle"}},
         {sized("a\0b"s), {"POST /p keeps [a\0b]"s, "idle"}},
         {post("Content-Length:\t0005 \r\n", "hello"), {"POST /p keeps [hello]", "idle"}},
         {post("CONTENT-LENGTH:5\r\n", "hello"), {"POST /p keeps [hello]", "idle"}},
         {get("/", "Content-Length: 2\r\n") + "hi", {"GET / keeps [hi]", "idle"}},
         {sized(get("/inner")), {"POST /p keeps [" + get("/inner") + "]", "idle"}}});
}

TEST(RequestReader, ReadsChunkedBodies) {
  check(
      {{chunked("5\r\nhello\r\n0\r\n\r\n"), {"POST /p keeps [hello]", "idle"}},
       {chunked("0\r\n\r\n"), {"POST /p keeps []", "idle"}},
       {chunked("000\r\n\r\n"), {"POST /p keeps []", "idle"}},
       {chunked("00A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n"), {"POST /p keeps [0123456789abcdefghij]", "idle"}},
       {chunked("2\r\n\r\n\r\n1\r\n0\r\n0\r\n\r\n"), {"POST /p keeps [\r\n0]", "idle"}},
       {chunked("1;\r\nx\r\n1;a=\"b;c\"\r\ny\r\n0;z\r\n\r\n"), {"POST /p keeps [xy]", "idle"}},
       {chunked("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n"), {"POST /p keeps [x]", "idle"}},
       {post("Transfer-Encoding: ChUnKeD\r\n", "0\r\n\r\n"), {"POST /p keeps []", "idle"}},
       {get("/", "Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n\r\n", {"GET / keeps [x]", "idle"}}});
}

TEST(RequestReader, ReadsPipelinedRequestsInOrder) {
  check({{get("/1") + get("/2") + get("/3"), {"GET /1 keeps", "GET /2 keeps", "GET /3 keeps", "idle"}},
         {sized("one") + get("/2") + chunked("3\r\nsix\r\n0\r\n\r\n") + sized("") + get("/5"),
          {"POST /p keeps [one]", "GET /2 keeps", "POST /p keeps [six]", "POST /p keeps []", "GET /5 keeps", "idle"}},
         {get("/1", "Connection: close\r\n") + get("/2"), {"GET /1 closes", "GET /2 keeps", "idle"}},
         {get("/1") + "GET /2", {"GET /1 keeps", "under way"}},
         {get("/1") + "GARBAGE\r\n\r\n" + get("/3"), {"GET /1 keeps", "! BAD_REQUEST"}},
         {sized("one") + chunked("x") + get("/3"), {"POST /p keeps [one]", "! BAD_REQUEST POST /p"}}});
}

TEST(RequestReader, WaitsForTheRest) {
  check({{"G", {"under way"}},
         {"\r", {"under way"}},
         {get("/").substr(0, get("/").size() - 1), {"under way"}},
         {post("Content-Length: 6\r\n", "hello"), {"under way"}},
         {chunked("5\r\nhello\r\n0\r\n\r"), {"under way"}},
         {chunked("5\r\nhello\r\n0\r\nA: b\r\n"), {"under way"}},
         {get("/1") + "\r", {"GET /1 keeps", "under way"}}});
}

TEST(RequestReader, PassesOverFourEmptyLinesBeforeARequest) {
  const auto lines = [](int n) { return repeated("\r\n", n); };
  check({{lines(1) + get("/"), {"GET / keeps", "idle"}},
         {lines(4) + get("/"), {"GET / keeps", "idle"}},
         {lines(4), {"idle"}},
         {lines(5), {"! BAD_REQUEST"}},
         {lines(5) + get("/"), {"! BAD_REQUEST"}},
         {get("/1") + lines(4) + get("/2") + lines(4) + get("/3"),
          {"GET /1 keeps", "GET /2 keeps", "GET /3 keeps", "idle"}},
         {sized("x") + lines(4) + sized("y") + lines(4), {"POST /p keeps [x]", "POST /p keeps [y]", "idle"}},
         {sized("x") + lines(5) + sized("y"), {"POST /p keeps [x]", "! BAD_REQUEST"}},
         {"\r\n\rGET", {"! BAD_REQUEST"}},
         {"\r\n\n" + get("/"), {"! BAD_REQUEST"}},
         {" \r\n" + get("/"), {"! BAD_REQUEST"}}});
}

TEST(RequestReader, KnowsWhetherTheClientWouldLikeToSendMore) {
  const auto old = [](const std::string& fields) { return "GET /a HTTP/1.0\r\n" + fields + "\r\n"; };
  const sample keeps{"", {"GET /a keeps", "idle"}};
  const sample closes{"", {"GET /a closes", "idle"}};
  for (const auto& fields : {"Connection: keep-alive\r\n"s, "Connection: closed\r\n"s, "Connection: x, y\r\n"s,
                             "Connection: clos\r\nConnection: e\r\n"s, "Keep-Alive: close\r\n"s})
    check({{get("/a", fields), keeps.expected}});
  for (const auto& fields :
       {"Connection: close\r\n"s, "CONNECTION: CLOSE\r\n"s, "Connection: x, close\r\n"s, "Connection: x ,\tclose\r\n"s,
        "Connection: close, keep-alive\r\n"s, "Connection: keep-alive\r\nConnection: close\r\n"s,
        "Connection: close\r\nConnection: keep-alive\r\n"s})
    check({{get("/a", fields), closes.expected}});
  for (const auto& fields : {""s, "Connection: close\r\n"s, "Connection: x\r\n"s, "Connection: keep-alive, close\r\n"s,
                             "Connection: close\r\nConnection: keep-alive\r\n"s, "Keep-Alive: 5\r\n"s})
    check({{old(fields), closes.expected}});
  for (const auto& fields : {"Connection: keep-alive\r\n"s, "Connection: Keep-Alive\r\nHost: x\r\n"s,
                             "Connection: x\r\nConnection: y, KEEP-ALIVE\r\n"s})
    check({{old(fields), keeps.expected}});
  check({{"POST /p HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", {"POST /p closes [hi]", "idle"}}});
}

TEST(RequestReader, HandsOutFieldsInOrderWithLowerCaseNamesAndTrimmedValues) {
  const auto r = read_one(get("/", "X-Two:  Two Words\t\r\nx-two: \r\nX-ONE:1\r\n"));
  EXPECT_EQ(fields_of(r), (strings{"host: x", "x-two: Two Words", "x-two: ", "x-one: 1"}));
}

TEST(RequestReader, MakesNoFieldOfATrailerOrAnExtension) {
  const auto r = read_one(chunked("1;x-a=b\r\nx\r\n0\r\nX-API-Key: evil\r\nHost: evil\r\n\r\n"));
  EXPECT_EQ(fields_of(r), (strings{"host: x", "transfer-encoding: chunked"}));
  EXPECT_EQ(r.body, "x");
}

TEST(RequestReader, GivesRequestsAwayThatLiveOnWithoutIt) {
  std::vector<request> all;
  {
    request_reader reader(tight);
    reader.feed(get("/1", "A: b\r\n") + sized("hello"));
    for (int i = 0; i < 2; ++i) {
      auto got = reader.next();
      ASSERT_TRUE(std::holds_alternative<request>(got));
      all.push_back(std::move(std::get<request>(got)));
    }
    reader.feed(get("/3"));
    reader.next();
  }
  EXPECT_EQ(shown(all[0]), "GET /1 keeps");
  EXPECT_EQ(all[0].field("a"), "b");
  EXPECT_EQ(shown(all[1]), "POST /p keeps [hello]");
}

// ---- what is no HTTP

TEST(RequestReader, RefusesBytesThatAreNoHead) {
  check_refused("BAD_REQUEST", "",
                {"\n",
                 "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
                 " GET / HTTP/1.1\r\n",
                 "\tGET / HTTP/1.1\r\n",
                 "GET / HTTP/1.1\nHost: x\n\n",
                 "GET / HTTP/1.1\r\nHost: x\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\n\n",
                 "GET / HTTP/1.1\rHost: x\r\n\r\n",
                 "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\nA: b\r c\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\n\rX",
                 "GET / HTTP/1.1\r\nA: b\r\n c\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.1\r\nA: b\r\n\tc\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
                 "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"s,
                 "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n"s,
                 "GET / HTTP/1.1\r\nHost: x\r\nA: \x0b\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\nA: \x1b[0m\r\n\r\n",
                 "\x16\x03\x01\x02",
                 letters(33),
                 letters(33) + " / HTTP/1.1\r\nHost: x\r\n\r\n"});
}

TEST(RequestReader, RefusesRequestLinesThatAreNone) {
  check_refused("BAD_REQUEST", "",
                {"x\r\n\r\n", "GET\r\n\r\n", "GET /\r\nHost: x\r\n\r\n", "GET / \r\nHost: x\r\n\r\n",
                 "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "GET / HTTP/1.1 x\r\nHost: x\r\n\r\n",
                 "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
                 "GET /\tHTTP/1.1\r\nHost: x\r\n\r\n", "G:T / HTTP/1.1\r\nHost: x\r\n\r\n",
                 "G\xc3\x84T / HTTP/1.1\r\nHost: x\r\n\r\n", "(GET) / HTTP/1.1\r\nHost: x\r\n\r\n"});
}

TEST(RequestReader, RefusesOtherVersions) {
  for (const auto* version : {"HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"})
    check_refused("BAD_REQUEST", "GET /a", {"GET /a "s + version + "\r\nHost: x\r\n\r\n"});
  for (const auto* version : {"HTTP/2", "HTTP/1.10", "HTTP/01.1", "HTTP/1,1", "http/1.1", "HTTP /1.1", "HTTPS/1.1",
                              "XTTP/1.1", "HTTP/1.", "HTTP/"}) {
    SCOPED_TRACE(version);
    const auto input = "GET /a "s + version + "\r\nHost: x\r\n\r\n";
    const auto got = read_all({input}, tight);
    ASSERT_EQ(got.seen.size(), 1U);
    EXPECT_THAT(got.seen[0], StartsWith("! BAD_REQUEST"));
    expect_however_cut(input, got.seen);
  }
}

TEST(RequestReader, RefusesTargetsThatAreNone) {
  for (const auto* target : {"a", "a/b", "?a", "x:80", "ftp://x/", "http:/x", "http:x", "http:///a", "http://",
                             "http://?a", "/a#b", "http://x/#", "**", "*/"})
    check_refused("BAD_REQUEST", "GET "s + target, {get(target)});
}

TEST(RequestReader, RefusesFieldsThatAreNone) {
  check_refused("BAD_REQUEST", "GET /",
                {get("/", "Nothing\r\n"), get("/", ": x\r\n"), get("/", "A : b\r\n"), get("/", "A\t: b\r\n"),
                 get("/", "A b: c\r\n"), get("/", "A(: c\r\n"), get("/", "\"A\": c\r\n"), get("/", "\xc3\xa4: c\r\n")});
}

TEST(RequestReader, RefusesAHostThatIsNone) {
  const auto with = [](const std::string& hosts) { return "GET / HTTP/1.1\r\n" + hosts + "\r\n"; };
  check_refused("BAD_REQUEST", "GET /",
                {with(""), with("A: b\r\n"), with("Host: x\r\nHost: x\r\n"), with("Host: x\r\nA: b\r\nHOST: y\r\n"),
                 with("Host: x/y\r\n"), with("Host: x y\r\n"), with("Host: x@y\r\n"), with("Host: x, y\r\n"),
                 with("Host: x?\r\n"), with("Host: x#\r\n"), with("Host: \"x\"\r\n"), with("Host: <x>\r\n"),
                 with("Host: x\\y\r\n"), with("Host: \xc3\xa4\r\n"), "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.0\r\nHost: x y\r\n\r\n"});
}

// ---- where a body ends

TEST(RequestReader, RefusesBodiesThatCouldEndInTwoPlaces) {
  strings inputs;
  for (const auto* size : {"", "+5", "-5", "0x5", "5x", "5 5", "5, 5", "5,5", "5;", "5.0", "five", "\"5\"", "1e1",
                           "18446744073709551616", "99999999999999999999999"})
    inputs.push_back(post("Content-Length: "s + size + "\r\n", "hello"));
  for (const auto* coding : {"", "gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked",
                             "chunkedx", "chunked;q=1", "\"chunked\"", "chunked,", ", chunked", "c hunked"})
    inputs.push_back(post("Transfer-Encoding: "s + coding + "\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"));
  inputs.push_back(post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"));
  inputs.push_back(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"));
  inputs.push_back(post("Content-Length: 0\r\nTransfer-Encoding: identity\r\n", ""));
  inputs.push_back("POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  check_refused("BAD_REQUEST", "POST /p", inputs);
}

TEST(RequestReader, RefusesChunksThatAreNone) {
  strings inputs;
  for (const auto* body : {"\r\n",
                           "\n",
                           "x",
                           ";a\r\n",
                           " 5\r\nhello\r\n",
                           "5 \r\nhello\r\n",
                           "5 ;a\r\n",
                           "+5\r\n",
                           "-5\r\n",
                           "0x5\r\n",
                           "5\nhello\r\n",
                           "5\rhello",
                           "5\r\r\n",
                           "5\r\nhello0\r\n\r\n",
                           "5\r\nhello\n0\r\n",
                           "5\r\nhello\r0",
                           "5;a\n",
                           "5;\rx",
                           "5;\x01\r\n",
                           "5;\x7f\r\n",
                           "0\r\n\n",
                           "0\r\n\rx",
                           "0\r\n x\r\n",
                           "0\r\nA\r\n",
                           "0\r\nA : b\r\n",
                           "0\r\n: b\r\n",
                           "0\r\nA: b\n",
                           "0\r\nA: b\rc",
                           "0\r\nA: \x01\r\n",
                           "0\r\nA: b\r\n c\r\n\r\n",
                           "0\r\nA: b\r\n\n",
                           "1\r\nx\r\n\r\n",
                           "1\r\nx\r\n \r\n"})
    inputs.push_back(chunked(body));
  inputs.push_back(chunked("5;\0\r\n"s));
  check_refused("BAD_REQUEST", "POST /p", inputs);
}

TEST(RequestReader, TakesSixteenDigitsOfAChunksSize) {
  check({{chunked("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"), {"POST /p keeps [hello]", "idle"}},
         {chunked("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"), {"POST /p keeps [helloworld]", "idle"}},
         {chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"), {"! BAD_REQUEST POST /p"}},
         {chunked("0000000000000005\r\nhello\r\n00000000000000000\r\n\r\n"), {"! BAD_REQUEST POST /p"}},
         {chunked("10000000000000000\r\n"), {"! BAD_REQUEST POST /p"}},
         {chunked("fffffffffffffffff\r\n"), {"! BAD_REQUEST POST /p"}}});
}

// ---- limits: at the limit, and one beyond it

TEST(RequestReader, TakesBodiesUpToTheLimit) {
  const auto largest = letters(tight.body_bytes);
  check({{sized(largest), {"POST /p keeps [" + largest + "]", "idle"}},
         {chunked("32\r\n" + largest + "\r\n0\r\n\r\n"), {"POST /p keeps [" + largest + "]", "idle"}},
         {chunked("19\r\n" + letters(25) + "\r\n19\r\n" + letters(25) + "\r\n0\r\n\r\n"),
          {"POST /p keeps [" + largest + "]", "idle"}}});
  check_refused("PAYLOAD_TOO_LARGE", "POST /p",
                {sized(largest + "a"), post("Content-Length: 51\r\n", ""),
                 post("Content-Length: 18446744073709551615\r\n", ""), post("Content-Length: 4294967296\r\n", ""),
                 chunked("33\r\n"), chunked("33;a\r\n"), chunked("ffffffffffffffff\r\n"), chunked("100000000\r\n"),
                 chunked("32\r\n" + largest + "\r\n1\r\n"),
                 chunked("19\r\n" + letters(25) + "\r\n1a\r\n" + letters(26) + "\r\n0\r\n\r\n"),
                 chunked("1\r\na\r\nffffffffffffffff\r\n")});
}

TEST(RequestReader, TakesTargetsUpToTheLimit) {
  const auto longest = "/" + letters(tight.target_bytes - 1);
  check({{get(longest), {"GET " + longest + " keeps", "idle"}},
         {"\r\n\r\n" + get(longest), {"GET " + longest + " keeps", "idle"}},
         {get("http://x/" + letters(tight.target_bytes - 9)), {"GET /" + letters(31) + " keeps", "idle"}}});
  check_refused("URI_TOO_LONG", "",
                {get(longest + "a"), "GET " + longest + "a", get("http://x" + longest), get("/?" + letters(500)),
                 get(longest + "a").substr(0, 60), "GET / " + letters(200), "GET / HTTP/1.1" + letters(300) + "\r\n"});
}

TEST(RequestReader, TakesHeadsUpToTheLimit) {
  ASSERT_EQ(head_of_size(tight.head_bytes).size(), tight.head_bytes);
  check({{head_of_size(tight.head_bytes), {"GET / keeps", "idle"}},
         {repeated("\r\n", 4) + head_of_size(tight.head_bytes), {"GET / keeps", "idle"}},
         {get("/1") + head_of_size(tight.head_bytes) + head_of_size(tight.head_bytes),
          {"GET /1 keeps", "GET / keeps", "GET / keeps", "idle"}},
         {get("/1") + head_of_size(tight.head_bytes + 1), {"GET /1 keeps", "! HEADERS_TOO_LARGE"}}});
  check_refused("HEADERS_TOO_LARGE", "",
                {head_of_size(tight.head_bytes + 1), head_of_size(tight.head_bytes + 2),
                 head_of_size(tight.head_bytes + 4), head_of_size(1000), get("/", "A: " + letters(400)),
                 get("/", letters(400))});
}

TEST(RequestReader, TakesAHundredFields) {
  constexpr request_limits usual{};
  check({{with_fields(100), {"GET / keeps", "idle"}},
         {with_fields(100) + with_fields(100), {"GET / keeps", "GET / keeps", "idle"}},
         {with_fields(101), {"! HEADERS_TOO_LARGE"}},
         {with_fields(101).substr(0, with_fields(100).size() - 1), {"! HEADERS_TOO_LARGE"}}},
        usual);
}

TEST(RequestReader, TakesExtensionsAndTrailersUpToTheSizeOfAHead) {
  const auto extended = [](std::size_t n) { return chunked("1;" + letters(n) + "\r\nx\r\n0\r\n\r\n"); };
  const auto trailed = [](std::size_t n) { return chunked("0\r\nT:" + letters(n - 4) + "\r\n\r\n"); };
  const auto both = [](std::size_t a, std::size_t b) {
    return chunked("1;" + letters(a) + "\r\nx\r\n0;" + letters(a) + "\r\nT:" + letters(b - 4) +
                   "\r\nT:" + letters(b - 4) + "\r\n\r\n");
  };
  check({{extended(200), {"POST /p keeps [x]", "idle"}},
         {extended(201), {"! HEADERS_TOO_LARGE POST /p"}},
         {extended(1000), {"! HEADERS_TOO_LARGE POST /p"}},
         {trailed(200), {"POST /p keeps []", "idle"}},
         {trailed(201), {"! HEADERS_TOO_LARGE POST /p"}},
         {both(60, 40), {"POST /p keeps [x]", "idle"}},
         {both(60, 41), {"! HEADERS_TOO_LARGE POST /p"}},
         {both(61, 40), {"! HEADERS_TOO_LARGE POST /p"}},
         {extended(200) + trailed(200), {"POST /p keeps [x]", "POST /p keeps []", "idle"}}});
}

TEST(RequestReader, TakesNothingWhereNothingIsAllowed) {
  constexpr request_limits no_body{200, 0, 40};
  check({{get("/"), {"GET / keeps", "idle"}},
         {sized(""), {"POST /p keeps []", "idle"}},
         {chunked("0\r\n\r\n"), {"POST /p keeps []", "idle"}},
         {sized("x"), {"! PAYLOAD_TOO_LARGE POST /p"}},
         {chunked("1\r\n"), {"! PAYLOAD_TOO_LARGE POST /p"}}},
        no_body);
}

// ---- a refusal

TEST(RequestReader, SaysOfARefusedRequestWhatIsKnown) {
  request_reader reader(tight);
  reader.feed("HEAD /a?b HTTP/1.1\r\nHost: x\r\nX-Request-ID: Mine\r\nContent-Length: 51\r\n\r\n");
  const auto got = reader.next();
  const auto* wrong = std::get_if<request_reader::refused>(&got);
  ASSERT_NE(wrong, nullptr);
  EXPECT_EQ(wrong->what.method, "HEAD");
  EXPECT_EQ(wrong->what.target, "/a?b");
  EXPECT_EQ(wrong->what.field("x-request-id"), "Mine");
  reader.feed(get("/"));
  EXPECT_EQ(wrong->what.method, "HEAD") << "it looks into nothing that has gone";
}

TEST(RequestReader, RefusesABodyInTheMiddleWithTheFieldsOfItsHead) {
  request_reader reader(tight);
  reader.feed(post("A: b\r\nTransfer-Encoding: chunked\r\n", "5\r\nhel"));
  ASSERT_TRUE(std::holds_alternative<request_reader::incomplete>(reader.next()));
  reader.feed("loX");
  const auto got = reader.next();
  const auto* wrong = std::get_if<request_reader::refused>(&got);
  ASSERT_NE(wrong, nullptr);
  EXPECT_EQ(wrong->why.code, refusal_code::bad_request);
  EXPECT_EQ(wrong->what.field("a"), "b");
  EXPECT_EQ(wrong->what.body, "");
}

// ---- 100 Continue

bool waits(request_reader& reader) {
  return std::holds_alternative<request_reader::incomplete>(reader.next());
}

std::string expecting(const std::string& more = "Content-Length: 5\r\n", const std::string& what = "100-continue") {
  return post("Expect: " + what + "\r\n" + more, "");
}

TEST(RequestReader, SaysOnceThatAClientWaitsToBeToldToContinue) {
  for (const auto& head :
       {expecting(), expecting("Transfer-Encoding: chunked\r\n"), expecting("Content-Length: 5\r\n", "100-CONTINUE"),
        expecting("Expect: x\r\nContent-Length: 5\r\n")}) {
    request_reader reader(tight);
    for (int i = 0; i < 2; ++i) { // for each request anew
      reader.feed(head.substr(0, head.size() - 1));
      EXPECT_TRUE(waits(reader));
      EXPECT_FALSE(reader.wants_continue()) << "the head is not whole";
      reader.feed("\n");
      EXPECT_TRUE(waits(reader));
      EXPECT_TRUE(reader.wants_continue()) << head;
      EXPECT_FALSE(reader.wants_continue()) << "once";
      const bool in_chunks = head.find("chunked") != std::string::npos;
      reader.feed(in_chunks ? "5\r\nhel" : "hel");
      EXPECT_TRUE(waits(reader));
      EXPECT_FALSE(reader.wants_continue());
      reader.feed(in_chunks ? "lo\r\n0\r\n\r\n" : "lo");
      const auto got = reader.next();
      ASSERT_TRUE(std::holds_alternative<request>(got));
      EXPECT_EQ(std::get<request>(got).body, "hello");
      EXPECT_FALSE(reader.wants_continue());
    }
  }
}

TEST(RequestReader, TellsNobodyToContinueWhoSendsAlready) {
  request_reader with_head(tight);
  with_head.feed(expecting() + "h");
  EXPECT_TRUE(waits(with_head));
  EXPECT_FALSE(with_head.wants_continue());

  request_reader behind_head(tight);
  behind_head.feed(expecting());
  EXPECT_TRUE(waits(behind_head));
  behind_head.feed("h");
  EXPECT_TRUE(waits(behind_head));
  EXPECT_FALSE(behind_head.wants_continue());

  request_reader in_chunks(tight);
  in_chunks.feed(expecting("Transfer-Encoding: chunked\r\n") + "5");
  EXPECT_TRUE(waits(in_chunks));
  EXPECT_FALSE(in_chunks.wants_continue());
}

TEST(RequestReader, TellsNobodyToContinueWhoDoesNotWait) {
  for (const auto& head : {post("Content-Length: 5\r\n", ""), expecting("Content-Length: 5\r\n", "x"),
                           expecting("Content-Length: 5\r\n", "100-continued"),
                           "POST /p HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"s}) {
    request_reader reader(tight);
    EXPECT_FALSE(reader.wants_continue());
    reader.feed(head);
    EXPECT_TRUE(waits(reader));
    EXPECT_FALSE(reader.wants_continue()) << head;
  }
  for (const auto& head : {expecting(""), expecting("Content-Length: 0\r\n"), expecting("Content-Length: 51\r\n")}) {
    request_reader reader(tight);
    reader.feed(head);
    EXPECT_FALSE(waits(reader)) << "there is nothing to wait for";
    EXPECT_FALSE(reader.wants_continue()) << head;
  }
}

TEST(RequestReader, ReadsRequestsThatExpectHoweverTheyAreCut) {
  check({{expecting() + "hello" + get("/2"), {"POST /p keeps [hello]", "GET /2 keeps", "idle"}},
         {expecting("") + get("/2"), {"POST /p keeps", "GET /2 keeps", "idle"}}});
}

// ---- idle

TEST(RequestReader, IsIdleBetweenRequestsOnly) {
  request_reader reader(tight);
  EXPECT_TRUE(reader.idle());
  const auto input = sized("hello");
  for (const char c : input) {
    reader.feed({&c, 1});
    EXPECT_FALSE(reader.idle());
    const auto got = reader.next();
    EXPECT_EQ(std::holds_alternative<request>(got), reader.idle());
  }
  EXPECT_TRUE(reader.idle());
  reader.feed(input + input);
  EXPECT_TRUE(std::holds_alternative<request>(reader.next()));
  EXPECT_FALSE(reader.idle()) << "another one is there";
  EXPECT_TRUE(std::holds_alternative<request>(reader.next()));
  EXPECT_TRUE(reader.idle());
  EXPECT_TRUE(waits(reader));
  EXPECT_TRUE(reader.idle()) << "to ask changes nothing";
  reader.feed("\r\n");
  EXPECT_TRUE(waits(reader));
  EXPECT_TRUE(reader.idle()) << "an empty line is no request";
}

// ---- memory

TEST(RequestReader, KeepsNothingOfWhatHasPassed) {
  constexpr request_limits usual{};
  constexpr std::size_t little = 1024;
  request_reader reader(usual);
  const auto whole = sized(letters(60'000));
  const auto wrong = chunked("ea60\r\n" + letters(60'000) + "oh");
  const auto before = held_bytes.load();
  for (int i = 0; i < 2; ++i) {
    reader.feed(whole);
    ASSERT_TRUE(std::holds_alternative<request>(reader.next()));
    EXPECT_LE(held_bytes.load(), before + little) << "most connections are idle: what they keep counts";
  }
  reader.feed(wrong);
  ASSERT_TRUE(std::holds_alternative<request_reader::refused>(reader.next()));
  EXPECT_LE(held_bytes.load(), before + little) << "behind a refusal nothing is needed";
  reader.feed(whole);
  EXPECT_LE(held_bytes.load(), before + little) << "behind a refusal nothing is kept";
}

// ---- at random

// `input` in pieces of 1 to `most` bytes.
pieces cut_at_random(std::string_view input, std::size_t most, test::seeded& random) {
  pieces out;
  while (!input.empty()) {
    out.push_back(input.substr(0, 1 + random.below(most)));
    input.remove_prefix(out.back().size());
  }
  return out;
}

TEST(RequestReader, ReadsAnyTrainOfRequestsInAnyPieces) {
  test::seeded random(23);
  for (int round = 0; round < 200; ++round) {
    std::string input;
    strings expected;
    for (auto n = 1 + random.below(12); n > 0; --n) {
      const auto body = random.bytes(random.below(tight.body_bytes + 1));
      input += repeated("\r\n", static_cast<int>(random.below(5)));
      if (random.one_in(3)) {
        input += get("/" + std::to_string(n));
        expected.push_back("GET /" + std::to_string(n) + " keeps");
        continue;
      }
      expected.push_back("POST /p keeps [" + body + "]");
      if (random.one_in(2)) {
        input += sized(body);
        continue;
      }
      std::string chunks;
      for (const auto part : cut_at_random(body, 15, random))
        chunks += std::string(1, "0123456789abcdef"[part.size()]) + "\r\n" + std::string(part) + "\r\n";
      input += chunked(chunks + "0\r\n\r\n");
    }
    expected.emplace_back("idle");
    ASSERT_EQ(read_all({input}, tight).seen, expected);
    ASSERT_EQ(read_all(bytes_of(input), tight).seen, expected);
    ASSERT_EQ(read_all(cut_at_random(input, 1 + random.below(100), random), tight).seen, expected);
  }
}

TEST(RequestReader, IsBlindToHowSpoiltBytesWereCut) {
  test::seeded random(29);
  const auto good = get("/1", "Connection: close\r\n") + sized("hello") + chunked("5;a\r\nhello\r\n0\r\nT: t\r\n\r\n") +
                    expecting() + "hello" + get("http://x/2?a");
  constexpr std::string_view spoilers = "\r\n\0 \t:;,/0123456789abcdefx\x7f\x80#"sv;
  for (int round = 0; round < 1000; ++round) {
    auto input = good;
    for (auto n = 1 + random.below(3); n > 0; --n) {
      const auto at = random.below(input.size());
      const auto what = spoilers.substr(random.below(spoilers.size()), 1);
      switch (random.below(3)) {
      case 0:
        input.replace(at, 1, what);
        break;
      case 1:
        input.insert(at, what);
        break;
      default:
        input.erase(at, 1);
      }
    }
    SCOPED_TRACE(testing::PrintToString(input));
    const auto whole = read_all({input}, tight);
    for (const auto& cut : {bytes_of(input), cut_at_random(input, 40, random), cut_at_random(input, 7, random)}) {
      const auto got = read_all(cut, tight);
      ASSERT_EQ(got.seen, whole.seen);
      ASSERT_EQ(got.why, whole.why);
    }
  }
}

} // namespace
} // namespace rdev::http
