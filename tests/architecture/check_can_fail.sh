#!/bin/bash
# usage: check_can_fail.sh CHECK. Feeds the check trees that break one rule each, and one that breaks none.
set -uo pipefail
check=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

fresh() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree"/messages/values "$tree"/actors "$tree"/adapters/http "$tree"/adapters/json "$tree"/adapters/postgres "$tree"/config
  echo '#include "actors/auth.hpp"' >"$tree/main.cpp"
  echo 'using self_actor = int;' >"$tree/actors/auth.hpp"
  printf '#include "actors/auth.hpp"\n#include "messages/auth.hpp"\n#include "adapters/log.hpp"\n#include <caf/all.hpp>\n// a new one\n' >"$tree/actors/auth.cpp"
  printf 'struct x { x(const x&) = delete; };\nconst char* text = "new x";\n' >"$tree/adapters/log.hpp"
  printf '#include "adapters/json/json.hpp"\n#include "adapters/log.hpp"\n#include <httplib.h>\n' >"$tree/adapters/http/server.cpp"
  printf 'const char* page = R"html(\n new Map(); #include "x"\n)html";\n' >"$tree/adapters/http/page.cpp"
  printf 'void f() { try { } catch (...) { } }\n' >"$tree/adapters/postgres/session.cpp"
}

# expect RULE FILE LINE: with LINE in FILE, the check fails and names the rule.
expect() {
  fresh
  echo "$3" >>"$tree/$2"
  local said
  if said=$(bash "$check" "$tree" 2>&1); then
    echo "not found: $3 in $2"
    failed=1
  elif ! grep -qF "rule: $1" <<<"$said" || ! grep -q 'why: ' <<<"$said" || ! grep -qF "$2:" <<<"$said"; then
    echo "found, but not named as '$1': $3 in $2"
    echo "$said"
    failed=1
  fi
}

fresh
bash "$check" "$tree" || { echo "a good tree is refused"; failed=1; }
rm -rf "${tree:?}"/*
bash "$check" "$tree" >/dev/null && { echo "an empty tree is taken"; failed=1; }

expect "messages/values includes only" messages/values/ids.hpp '#include "messages/auth.hpp"'
expect "CAF is included only" messages/values/ids.hpp '#include <caf/all.hpp>'
expect "messages include only messages" messages/auth.hpp '#include "adapters/log.hpp"'
expect "config includes only values" config/settings.cpp '#include "adapters/log.hpp"'
expect "actors include ports" actors/auth.cpp '#include "adapters/json/json.hpp"'
expect "actors do not include config" actors/auth.cpp '#include "config/settings.hpp"'
expect "an actor does not include the header of another" actors/leases.cpp '#include "actors/auth.hpp"'
expect "a port includes only" adapters/log.hpp '#include "adapters/http/server.hpp"'
expect "a port includes only" adapters/log.hpp '#include "messages/auth.hpp"'
expect "an adapter includes ports" adapters/http/server.cpp '#include "messages/auth.hpp"'
expect "an adapter includes ports" adapters/http/server.cpp '#include "adapters/postgres/session.hpp"'
expect "an adapter includes ports" adapters/http/server.cpp '#include "actors/auth.hpp"'
expect "an adapter includes ports" adapters/postgres/session.cpp '#include "adapters/json/node.hpp"'
expect "includes are written from the root" adapters/http/server.cpp '#include "routes.hpp"'
expect "CAF is included only" adapters/http/server.cpp '#include <caf/actor.hpp>'
expect "libpqxx is included only" actors/auth.cpp '#include <pqxx/pqxx>'
expect "cpp-httplib is included only" adapters/postgres/session.cpp '#  include <httplib.h>'
expect "RapidJSON is included only" adapters/http/server.cpp '#include <rapidjson/document.h>'
expect "valijson is included only" adapters/http/server.cpp '#include <valijson/schema.hpp>'
expect "spdlog is included only" main.cpp '#include <spdlog/spdlog.h>'
expect "prometheus-cpp is included only" adapters/http/server.cpp '#include <prometheus/counter.h>'
expect "toml++ is included only" main.cpp '#include <toml++/toml.h>'
expect "CLI11 is included only" main.cpp '#include <CLI/CLI.hpp>'
expect "libcurl is included only" adapters/http/server.cpp '#include <curl/curl.h>'
expect "RE2 is included only" adapters/http/server.cpp '#include <re2/re2.h>'
expect "OpenSSL is included only" adapters/http/server.cpp '#include <openssl/evp.h>'
expect "Boost is included only" adapters/postgres/session.cpp '#include <boost/asio.hpp>'
expect "no catch (...)" adapters/http/server.cpp 'void f() { try { } catch ( ... ) { } }'
expect "no raw new" actors/auth.cpp 'int* p = new int(3);'
expect "no raw new" actors/auth.cpp 'void f(int* p) { delete p; }'
expect "no raw new" actors/auth.cpp 'void f(int* p) { delete[] p; }'
exit $failed
