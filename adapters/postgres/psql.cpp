#include "adapters/postgres/psql.hpp"

#include <libpq-fe.h>

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

namespace rdev::postgres {

namespace {

// By its place, not by PATH: a wrapper of the same name (as our image has one) would call us again.
std::string psql_program() {
  namespace fs = std::filesystem;
  for (const char* usual : {"/usr/bin/psql", "/usr/local/bin/psql"})
    if (fs::exists(usual))
      return usual;
  std::error_code none;
  for (fs::directory_iterator it("/usr/lib/postgresql", none), end; !none && it != end; it.increment(none))
    if (fs::exists(it->path() / "bin/psql"))
      return (it->path() / "bin/psql").string();
  return "/usr/bin/psql";
}

struct free_options {
  void operator()(PQconninfoOption* options) const {
    PQconninfoFree(options);
  }
};
using options_of = std::unique_ptr<PQconninfoOption, free_options>;

} // namespace

std::vector<secret> passwords_in(const std::string& conninfo) {
  std::vector<secret> out;
  // What an `@` in it that is not encoded (%40) cuts into pieces, libpq takes for a part of the host, and says so.
  const auto scheme = conninfo.find("://");
  const auto colon = scheme == std::string::npos ? scheme : conninfo.find(':', scheme + 3);
  const auto host = conninfo.rfind('@');
  if (colon != std::string::npos && host != std::string::npos)
    for (auto begin = colon + 1; begin < host;) {
      const auto end = conninfo.find('@', begin);
      out.emplace_back(conninfo.substr(begin, end - begin));
      begin = end + 1;
    }
  char* error = nullptr;
  const options_of options(PQconninfoParse(conninfo.c_str(), &error));
  PQfreemem(error);
  for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr; ++option)
    if (std::string_view(option->keyword) == "password" && option->val != nullptr)
      out.emplace_back(option->val);
  return out;
}

std::string become_psql(const std::string& conninfo, const std::vector<std::string>& arguments) {
  char* error = nullptr;
  const options_of options(PQconninfoParse(conninfo.c_str(), &error));
  if (!options) {
    const std::string why = error != nullptr ? error : "out of memory";
    PQfreemem(error);
    return "the database's address cannot be read: " + why;
  }
  for (const auto* option = options.get(); option->keyword != nullptr; ++option)
    if (option->val != nullptr && option->envvar != nullptr)
      ::setenv(option->envvar, option->val, 1);
  auto program = psql_program();
  auto copies = arguments;
  std::vector<char*> argv{program.data()};
  for (auto& a : copies)
    argv.push_back(a.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return std::string("cannot run psql: ") + std::strerror(errno) + "; install the package postgresql-client";
}

} // namespace rdev::postgres
