// docs/openapi.yaml and the table of routes say the same.
#include "adapters/http/openapi.hpp"
#include "adapters/http/routes.hpp"
#include "adapters/json/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace rdev::http {
namespace {

const json::value& document() {
  static const auto parsed = std::get<json::value>(json::parse(openapi_json));
  return parsed;
}

json::value resolved(const json::value& node) {
  const auto reference = std::string(node["$ref"].as_string());
  if (reference.empty())
    return node;
  auto out = document();
  for (std::size_t at = 2; at <= reference.size();) {
    const auto slash = std::min(reference.find('/', at), reference.size());
    out = out[std::string_view(reference).substr(at, slash - at)];
    at = slash + 1;
  }
  EXPECT_TRUE(out.exists()) << reference;
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

json::value operation_of(const route& r) {
  return document()["paths"][r.pattern][lower(r.method)];
}

// Names of the operation's parameters of one place: `path`, `query`, `header`.
std::set<std::string> parameters_in(const route& r, std::string_view place) {
  std::set<std::string> out;
  for (const auto& list : {document()["paths"][r.pattern]["parameters"], operation_of(r)["parameters"]})
    for (std::size_t i = 0; i < list.size(); ++i)
      if (const auto p = resolved(list.at(i)); p["in"].as_string() == place)
        out.insert(std::string(p["name"].as_string()));
  return out;
}

TEST(OpenApi, DescribesEveryRouteUnderItsName) {
  for (const auto& r : routes())
    EXPECT_EQ(operation_of(r)["operationId"].as_string(), r.operation) << r.method << " " << r.pattern;
}

TEST(OpenApi, DescribesNoRouteThatIsNotThere) {
  std::set<std::string> there;
  for (const auto& r : routes())
    there.insert(lower(r.method) + " " + std::string(r.pattern));
  std::size_t described = 0;
  for (const auto& path : document()["paths"].members())
    for (const auto& method : document()["paths"][path].members())
      if (method != "parameters") {
        EXPECT_TRUE(there.contains(method + " " + path)) << method << " " << path;
        ++described;
      }
  EXPECT_EQ(described, routes().size());
}

TEST(OpenApi, GivesEachOperationANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const auto& r : routes())
    EXPECT_TRUE(names.insert(r.operation).second) << r.operation;
}

TEST(OpenApi, DeclaresExactlyTheParametersOfThePath) {
  for (const auto& r : routes()) {
    std::set<std::string> wanted;
    for (auto rest = r.pattern; rest.find('{') != std::string_view::npos;) {
      const auto open = rest.find('{');
      const auto close = rest.find('}');
      wanted.insert(std::string(rest.substr(open + 1, close - open - 1)));
      rest = rest.substr(close + 1);
    }
    EXPECT_EQ(parameters_in(r, "path"), wanted) << r.method << " " << r.pattern;
  }
}

TEST(OpenApi, DeclaresABodyWhereOneIsTaken) {
  for (const auto& r : routes())
    EXPECT_EQ(operation_of(r)["requestBody"].exists(), r.takes_body()) << r.method << " " << r.pattern;
}

TEST(OpenApi, RequiresABodyWhereOneIsNeeded) {
  for (const auto& r : routes())
    EXPECT_EQ(operation_of(r)["requestBody"]["required"].as_boolean(), r.body == body_rule::needed)
        << r.method << " " << r.pattern;
}

TEST(OpenApi, DeclaresTheIdempotencyKeyOnEveryPostThatCreates) {
  const std::set<std::string_view> making_nothing{"rotateWebhookSecret", "replayDeliveries"};
  for (const auto& r : routes())
    EXPECT_EQ(parameters_in(r, "header").contains("Idempotency-Key"),
              r.method == "POST" && r.takes_body() && !making_nothing.contains(r.operation))
        << r.method << " " << r.pattern;
}

// The page at /docs has a section for each tag.
TEST(OpenApi, DescribesEveryTagThatIsUsed) {
  std::set<std::string> described;
  for (std::size_t i = 0; i < document()["tags"].size(); ++i)
    described.insert(std::string(document()["tags"].at(i)["name"].as_string()));
  for (const auto& r : routes())
    EXPECT_TRUE(described.contains(std::string(operation_of(r)["tags"].at(0).as_string()))) << r.operation;
}

TEST(OpenApi, NamesExactlyTheFiltersOfEventsThatMatchOne) {
  std::set<std::string> named;
  const auto list = document()["components"]["schemas"]["EventFilter"]["enum"];
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string filter(list.at(i).as_string());
    EXPECT_TRUE(valid_event_filter(filter)) << filter;
    EXPECT_TRUE(named.insert(filter).second) << filter << " is there twice";
  }
  EXPECT_TRUE(named.contains("*"));
  for (const auto name : all_event_names) {
    EXPECT_TRUE(named.contains(std::string(name))) << name;
    EXPECT_TRUE(named.contains(std::string(name.substr(0, name.find('.'))) + ".*")) << name;
  }
}

TEST(OpenApi, OpensExactlyTheRoutesWithoutAKey) {
  for (const auto& r : routes()) {
    const auto security = operation_of(r)["security"];
    EXPECT_EQ(security.is_array() && security.size() == 0, !r.needed.has_value()) << r.method << " " << r.pattern;
    EXPECT_EQ(r.make == nullptr, !r.needed.has_value()) << r.method << " " << r.pattern;
  }
}

TEST(OpenApi, NamesEveryRefusalCode) {
  std::set<std::string> described;
  const auto list = document()["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
  for (std::size_t i = 0; i < list.size(); ++i)
    described.insert(std::string(list.at(i).as_string()));
  std::set<std::string> there;
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(refusal_code::range_not_satisfiable); ++i)
    there.insert(std::string(name_of(static_cast<refusal_code>(i))));
  EXPECT_EQ(described, there);
}

TEST(OpenApi, HoldsNoReferenceThatLeadsNowhere) {
  std::size_t references = 0;
  const auto walk = [&](const auto& self, const json::value& node) -> void {
    if (node["$ref"].is_string()) {
      EXPECT_TRUE(resolved(node).exists());
      ++references;
    }
    for (const auto& name : node.members())
      self(self, node[name]);
    for (std::size_t i = 0; node.is_array() && i < node.size(); ++i)
      self(self, node.at(i));
  };
  walk(walk, document());
  EXPECT_GT(references, 50U);
}

call call_for(const route& r) {
  call out;
  if (r.pattern.find("{id}") != std::string_view::npos)
    out.path["id"] = r.pattern.starts_with("/projects")   ? "demo"
                     : r.pattern.starts_with("/keys")     ? key_id::make().text()
                     : r.pattern.starts_with("/webhooks") ? webhook_id::make().text()
                                                          : command_id::make().text();
  if (r.pattern.find("{did}") != std::string_view::npos)
    out.path["did"] = delivery_id::make().text();
  return out;
}

bool refuses(const route& r, const std::string& parameter, const std::string& text) {
  auto c = call_for(r);
  c.query[parameter] = text;
  const auto made = r.make(c);
  return !made && made.why().code == refusal_code::bad_request;
}

// What is declared is looked at, and what is looked at is declared.
TEST(OpenApi, DeclaresExactlyTheQueryParametersThatAreLookedAt) {
  for (const auto& r : routes()) {
    if (r.make == nullptr || r.takes_body())
      continue;
    const auto declared = parameters_in(r, "query");
    for (const auto* name :
         {"limit", "cursor", "status", "project", "stream", "after", "framing", "force", "event", "from", "to"})
      EXPECT_EQ(refuses(r, name, "! no good !"), declared.contains(name))
          << r.method << " " << r.pattern << "?" << name;
  }
}

TEST(OpenApi, DeclaresTheBordersOfAPage) {
  for (const auto& r : routes()) {
    if (r.make == nullptr || !parameters_in(r, "query").contains("limit"))
      continue;
    for (const auto* good : {"1", "50", "200"})
      EXPECT_FALSE(refuses(r, "limit", good)) << r.pattern << " " << good;
    for (const auto* bad : {"0", "-1", "201", "1.5", "", " 1", "1x", "99999999999999999999"})
      EXPECT_TRUE(refuses(r, "limit", bad)) << r.pattern << " " << bad;
  }
}

} // namespace
} // namespace rdev::http
