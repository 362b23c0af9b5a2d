#include "adapters/http/routes.hpp"
#include "tests/values/seeded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

std::string found(std::string_view method, std::string_view path) {
  const auto m = find_route(method, path);
  return !m ? "bad escape" : m->found == nullptr ? "none" : std::string(m->found->operation);
}

TEST(FindRoute, FindsEveryRouteByItsOwnPattern) {
  for (const auto& r : routes())
    EXPECT_EQ(found(r.method, r.pattern), r.operation);
}

TEST(FindRoute, HandsOutTheParametersOfThePath) {
  const auto m = find_route("POST", "/projects/demo/shell");
  ASSERT_TRUE(m && m->found != nullptr);
  EXPECT_THAT(m->path, ElementsAre(Pair("id", "demo")));
}

TEST(FindRoute, HandsOutEachParameterOfThePath) {
  const auto m = find_route("POST", "/webhooks/a/deliveries/b/redeliver");
  ASSERT_TRUE(m && m->found != nullptr);
  EXPECT_EQ(m->found->operation, "redeliver");
  EXPECT_THAT(m->path, ElementsAre(Pair("did", "b"), Pair("id", "a")));
  EXPECT_EQ(found("POST", "/webhooks/a/redeliver"), "replayDeliveries");
  EXPECT_EQ(found("GET", "/webhooks/a/deliveries"), "listDeliveries");
}

TEST(FindRoute, AnswersHeadLikeGet) {
  EXPECT_EQ(found("HEAD", "/health"), "health");
  EXPECT_EQ(found("HEAD", "/projects/demo"), "getProject");
  EXPECT_EQ(found("HEAD", "/projects/demo/shell"), "none");
}

TEST(FindRoute, NamesTheMethodsOfAKnownPath) {
  const auto allowed = [](std::string_view method, std::string_view path) { return find_route(method, path)->allowed; };
  EXPECT_THAT(allowed("PUT", "/projects"), UnorderedElementsAre("GET", "HEAD", "POST"));
  EXPECT_THAT(allowed("PUT", "/keys/x"), UnorderedElementsAre("GET", "HEAD", "PATCH", "DELETE"));
  EXPECT_THAT(allowed("GET", "/projects/demo/shell"), UnorderedElementsAre("POST"));
  EXPECT_THAT(allowed("get", "/health"), UnorderedElementsAre("GET", "HEAD")) << "methods have a case";
  EXPECT_THAT(allowed("OPTIONS", "/commands/x/cancel"), UnorderedElementsAre("POST"));
}

TEST(FindRoute, KnowsNoOtherPath) {
  for (const auto* path : {"/", "", "/nothing", "/projects/demo/nothing", "/projects/demo/shell/more", "/Projects",
                           "/health/", "/keys/x/rotate/y", "//projects", "/projects/demo/shell/", "/.", "/..",
                           "/projects/../health", "*", "/commands/a/b"}) {
    const auto m = find_route("GET", path);
    ASSERT_TRUE(m) << path;
    EXPECT_EQ(m->found, nullptr) << path;
    EXPECT_THAT(m->allowed, IsEmpty()) << path;
  }
}

TEST(FindRoute, DecodesEachSegmentOnce) {
  const auto id_of = [](std::string_view path) {
    const auto m = find_route("GET", path);
    return m && m->found != nullptr ? m->path.at("id") : std::string("none");
  };
  EXPECT_EQ(id_of("/projects/de%6do"), "demo");
  EXPECT_EQ(id_of("/projects/%2564emo"), "%64emo") << "not twice";
  EXPECT_EQ(id_of("/projects/a%2Fb"), "a/b") << "an escaped slash is part of the segment";
  EXPECT_EQ(id_of("/projects/a%2fshell"), "a/shell");
  EXPECT_EQ(id_of("/projects/%2e%2e"), "..");
  EXPECT_EQ(id_of("/projects/a+b"), "a+b") << "a plus is a plus in a path";
  EXPECT_EQ(found("GET", "/%70rojects"), "listProjects");
}

TEST(FindRoute, RefusesBadEscapes) {
  for (const auto* path :
       {"/projects/%", "/projects/%4", "/projects/%zz", "/projects/%4g", "/%/x", "/projects/a%2", "/projects/% 41"})
    EXPECT_EQ(found("GET", path), "bad escape") << path;
}

TEST(PercentDecoded, ReadsEveryByteInEitherCase) {
  constexpr std::string_view hex = "0123456789ABCDEFabcdef";
  for (unsigned high = 0; high < hex.size(); ++high)
    for (unsigned low = 0; low < hex.size(); ++low) {
      const auto value = [](unsigned digit) { return digit < 16 ? digit : digit - 6; };
      const std::string text{'x', '%', hex[high], hex[low], 'y'};
      ASSERT_EQ(percent_decoded(text, false), std::string({'x', static_cast<char>(value(high) * 16 + value(low)), 'y'}))
          << text;
    }
}

TEST(PercentDecoded, RefusesEveryCharacterThatIsNoDigit) {
  constexpr std::string_view hex = "0123456789ABCDEFabcdef";
  for (int c = 0; c < 256; ++c) {
    const bool digit = hex.find(static_cast<char>(c)) != std::string_view::npos;
    ASSERT_EQ(percent_decoded(std::string{'%', static_cast<char>(c), '0'}, false).has_value(), digit) << c;
    ASSERT_EQ(percent_decoded(std::string{'%', '0', static_cast<char>(c)}, false).has_value(), digit) << c;
  }
}

TEST(ParseQuery, ReadsPairs) {
  EXPECT_THAT(*parse_query("a=1&b=two%20words&c=x+y&d"),
              ElementsAre(Pair("a", "1"), Pair("b", "two words"), Pair("c", "x y"), Pair("d", "")));
  EXPECT_THAT(*parse_query("a=b=c"), ElementsAre(Pair("a", "b=c")));
  EXPECT_THAT(*parse_query("%61=1"), ElementsAre(Pair("a", "1")));
}

TEST(ParseQuery, TakesTheFirstOfTwo) {
  EXPECT_THAT(*parse_query("a=1&a=2"), ElementsAre(Pair("a", "1")));
}

TEST(ParseQuery, LeavesOutWhatIsNoPair) {
  EXPECT_THAT(*parse_query(""), IsEmpty());
  EXPECT_THAT(*parse_query("&&=&=x&"), IsEmpty());
}

TEST(ParseQuery, RefusesBadEscapes) {
  for (const auto* text : {"a=%zz&b=1", "%=1", "a=1&b=%", "a=%4", "b=1&%4g=2"})
    EXPECT_FALSE(parse_query(text)) << text;
}

// ---- makers
answer<operation> made(std::string_view method, std::string_view path, const std::string& query = "",
                       const std::string& last_event_id = "", bool wants_bytes = false) {
  const auto m = find_route(method, path);
  EXPECT_TRUE(m && m->found != nullptr && m->found->make != nullptr) << path;
  call c;
  c.path = m->path;
  c.query = *parse_query(query);
  c.last_event_id = last_event_id;
  c.wants_bytes = wants_bytes;
  return m->found->make(c);
}

template <class Operation>
Operation good(answer<operation> made_of) {
  EXPECT_TRUE(made_of) << (made_of                         ? ""
                           : made_of.why().details.empty() ? made_of.why().message
                                                           : made_of.why().details[0].field);
  return made_of ? std::get<Operation>(*made_of) : Operation{};
}

TEST(Operations, OfListsTakeAPage) {
  EXPECT_EQ(good<list_projects>(made("GET", "/projects")).at.limit, 50);
  const auto page = good<list_projects>(made("GET", "/projects", "limit=7&cursor=demo")).at;
  EXPECT_EQ(page.limit, 7);
  EXPECT_EQ(page.cursor, "demo");
  const auto id = command_id::make().text();
  EXPECT_EQ(good<list_commands>(made("GET", "/commands", "cursor=" + id)).at.cursor, id);
  EXPECT_FALSE(made("GET", "/keys", "cursor=" + id)) << "a cursor of another list";
}

TEST(Operations, OfCommandListsFilter) {
  const auto list = good<list_commands>(made("GET", "/commands", "project=demo&status=timed_out&unknown=1"));
  EXPECT_EQ(list.project, "demo");
  EXPECT_EQ(list.status, command_status::timed_out);
  const auto refused = made("GET", "/commands", "project=..&status=done&limit=0&cursor=x");
  ASSERT_FALSE(refused);
  std::vector<std::string> fields;
  for (const auto& d : refused.why().details)
    fields.push_back(d.field);
  EXPECT_THAT(fields, UnorderedElementsAre("project", "status", "limit", "cursor")) << "all problems at once";
}

TEST(Operations, OfThingsWithBadIdsAreNotFound) {
  for (const auto* path : {"/commands/x", "/commands/cmd_x", "/commands/x/output", "/keys/x", "/keys/%00"}) {
    const auto refused = made("GET", path);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.why().code, refusal_code::not_found) << path;
  }
  EXPECT_EQ(made("POST", "/commands/x/cancel").why().code, refusal_code::not_found);
  EXPECT_EQ(made("DELETE", "/keys/x").why().code, refusal_code::not_found);
  EXPECT_EQ(made("GET", "/keys/" + command_id::make().text()).why().code, refusal_code::not_found);
}

TEST(Operations, OfStreamsResume) {
  const auto id = command_id::make();
  const auto query = "stream_id=" + id.text();
  EXPECT_FALSE(good<open_stream>(made("GET", "/projects/demo/events")).command);
  EXPECT_EQ(good<open_stream>(made("GET", "/projects/demo/events", query)).command, id);
  EXPECT_EQ(good<open_stream>(made("GET", "/projects/demo/events", query, "3-17")).after, (event_position{3, 17}));
  EXPECT_EQ(good<open_stream>(made("GET", "/projects/demo/events", query + "&last_event_id=3-17")).after,
            (event_position{3, 17}));
  EXPECT_EQ(good<open_stream>(made("GET", "/projects/demo/events", query + "&last_event_id=9-9", "3-17")).after,
            (event_position{3, 17}))
      << "the header is the browser's, and newer";
  EXPECT_EQ(made("GET", "/projects/demo/events", query, "nonsense").why().code, refusal_code::bad_request);
  EXPECT_EQ(made("GET", "/projects/demo/events", query + "&framing=words").why().code, refusal_code::bad_request);
  EXPECT_EQ(made("GET", "/projects/demo/events", "stream_id=cmd_nonsense").why().code, refusal_code::not_found);
  EXPECT_EQ(made("GET", "/projects/demo/events", query, "x").why().details.at(0).field, "Last-Event-ID");
  EXPECT_EQ(made("GET", "/projects/demo/events", query + "&last_event_id=x").why().details.at(0).field,
            "last_event_id");
}

TEST(Operations, OfOutputAreAListOrBytes) {
  const auto path = "/commands/" + command_id::make().text() + "/output";
  const auto list = good<list_output>(made("GET", path, "after=4&limit=9&stream=stderr"));
  EXPECT_EQ(list.only, stream::err);
  EXPECT_EQ(list.after_seq, 4U);
  EXPECT_EQ(list.limit, 9);
  EXPECT_FALSE(good<list_output>(made("GET", path)).only);
  EXPECT_EQ(good<read_output>(made("GET", path, "stream=stdout", "", true)).which, stream::out);
  EXPECT_EQ(made("GET", path, "", "", true).why().details.at(0).field, "stream") << "bytes of which?";
  for (const auto* bad : {"stream=both", "after=-1", "after=x", "after=4294967296"})
    EXPECT_FALSE(made("GET", path, bad)) << bad;
}

TEST(Operations, ARevocationSaysWhetherItCancelsWhatIsQueued) {
  const auto path = "/keys/" + key_id::make().text();
  EXPECT_FALSE(good<revoke_key>(made("DELETE", path)).cancel_queued);
  EXPECT_FALSE(good<revoke_key>(made("DELETE", path, "commands=keep")).cancel_queued);
  EXPECT_TRUE(good<revoke_key>(made("DELETE", path, "commands=cancel")).cancel_queued);
  EXPECT_EQ(made("DELETE", path, "commands=kill").why().details.at(0).field, "commands");
}

TEST(Operations, OfProjectsCarryTheirVerb) {
  EXPECT_EQ(good<change_project>(made("POST", "/projects/demo/start")).verb, project_verb::start);
  EXPECT_EQ(good<change_project>(made("POST", "/projects/demo/stop")).verb, project_verb::stop);
  EXPECT_EQ(good<change_project>(made("POST", "/projects/demo/restart")).verb, project_verb::restart);
  EXPECT_FALSE(good<delete_project>(made("DELETE", "/projects/demo")).force);
  EXPECT_TRUE(good<delete_project>(made("DELETE", "/projects/demo", "force=true")).force);
  EXPECT_FALSE(made("DELETE", "/projects/demo", "force=yes"));
}

TEST(Routes, NeverCrashOnAnyRequestLine) {
  test::seeded random(51);
  const std::vector<std::string> parts{"/",    "projects", "commands", "keys", "%2e",      "%",         "..",
                                       "demo", "?",        "&",        "=",    "shell",    "output",    "limit",
                                       "%00",  "\xff",     "events",   "x",    "webhooks", "deliveries"};
  for (int i = 0; i < 20'000; ++i) {
    std::string path;
    for (std::size_t n = random.below(9); n > 0; --n)
      path += random.any_of(parts);
    const auto m = find_route(random.one_in(2) ? "GET" : "POST", path);
    if (m && m->found != nullptr && m->found->make != nullptr && !m->found->takes_body()) {
      call c;
      c.path = m->path;
      c.query = parse_query(path).value_or(parameters{});
      ASSERT_TRUE(m->found->make(c) || !m->found->make(c).why().message.empty());
    }
  }
}

} // namespace
} // namespace rdev::http
