#include "adapters/http/routes.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace rdev::http {
namespace {

// The table of the contract.
const std::map<std::string, int> contract{{"BAD_REQUEST", 400},
                                          {"UNAUTHORIZED", 401},
                                          {"KEY_REVOKED", 401},
                                          {"KEY_EXPIRED", 401},
                                          {"IP_NOT_ALLOWED", 403},
                                          {"FORBIDDEN", 403},
                                          {"NOT_FOUND", 404},
                                          {"METHOD_NOT_ALLOWED", 405},
                                          {"REQUEST_TIMEOUT", 408},
                                          {"CONFLICT", 409},
                                          {"GONE", 410},
                                          {"LENGTH_REQUIRED", 411},
                                          {"PAYLOAD_TOO_LARGE", 413},
                                          {"URI_TOO_LONG", 414},
                                          {"UNSUPPORTED_MEDIA_TYPE", 415},
                                          {"TOO_MANY_REQUESTS", 429},
                                          {"HEADERS_TOO_LARGE", 431},
                                          {"INTERNAL_ERROR", 500},
                                          {"SERVICE_UNAVAILABLE", 503}};

TEST(Status, OfEveryRefusalIsTheContracts) {
  std::set<std::string> seen;
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(refusal_code::range_not_satisfiable); ++i) {
    const auto code = static_cast<refusal_code>(i);
    const std::string name(name_of(code));
    EXPECT_TRUE(seen.insert(name).second) << name << " stands for two";
    if (code == refusal_code::range_not_satisfiable)
      EXPECT_EQ(status_of(code), 416) << "HTTP's own answer to a Range; the contract is silent";
    else if (contract.contains(name))
      EXPECT_EQ(status_of(code), contract.at(name)) << name;
    else
      ADD_FAILURE() << name << " is not in the contract";
  }
  for (const auto& [name, status] : contract)
    EXPECT_TRUE(seen.contains(name)) << name;
}

TEST(Status, OfSuccessIsAcceptedCreatedOrOk) {
  EXPECT_EQ(success_status(submitted{}, "runShell"), 202);
  EXPECT_EQ(success_status(cancel_accepted{}, "cancelCommand"), 202);
  EXPECT_EQ(success_status(project_created{}, "createProject"), 201);
  EXPECT_EQ(success_status(minted_key{}, "createKey"), 201);
  EXPECT_EQ(success_status(minted_key{}, "rotateKey"), 201);
  EXPECT_EQ(success_status(project{}, "deleteProject"), 200);
  EXPECT_EQ(success_status(api_key{}, "revokeKey"), 200);
  EXPECT_EQ(success_status(page<project>{}, "listProjects"), 200);
  EXPECT_EQ(success_status(queue_view{}, "getQueue"), 200);
}

} // namespace
} // namespace rdev::http
