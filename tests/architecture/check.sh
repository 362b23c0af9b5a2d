#!/bin/bash
# usage: check.sh ROOT. Prints every line that breaks a rule of the house, with the rule and its reason; exit 1 if any.
set -euo pipefail
cd "$1"

sources=()
for place in main.cpp messages actors adapters config; do
  [ -e "$place" ] || continue
  while IFS= read -r file; do sources+=("$file"); done < <(find "$place" -name '*.hpp' -o -name '*.cpp' | sort)
done
[ ${#sources[@]} -gt 0 ] || { echo "there are no sources below $1"; exit 1; }

# An actor's header is one that declares a self_actor; only its parent may know it.
actor_headers=$(grep -ls 'self_actor' actors/*.hpp || true)

awk -v actor_headers="$actor_headers" '
function broken(rule, why) {
  print FILENAME ":" FNR ": " $0 "\n    rule: " rule "\n    why:  " why
  bad = 1
}
function within(folder) { return index(FILENAME, folder) == 1 }
function port(path) { return path ~ /^adapters\/[a-z_]+\.hpp$/ }
function value(path) { return index(path, "messages/values/") == 1 }
function facade(path) { return path == "adapters/http/client.hpp" || path == "adapters/json/json.hpp" }
function own(path,   folder) {
  folder = FILENAME
  sub(/^adapters\//, "", folder)
  sub(/\/.*/, "", folder)
  return index(path, "adapters/" folder "/") == 1
}

# Which of our headers a file may include.
function check_ours(path) {
  if (FILENAME == "main.cpp")
    return
  if (path !~ /^(messages|actors|adapters|config)\//)
    broken("includes are written from the root", "a reader must see at once from which room a header comes")
  else if (within("messages/values/")) {
    if (!value(path))
      broken("messages/values includes only messages/values", "the nouns stand below everything else")
  } else if (within("messages/")) {
    if (path !~ /^messages\//)
      broken("messages include only messages", "what is said must not depend on who says it")
  } else if (within("config/")) {
    if (!value(path) && path !~ /^config\//)
      broken("config includes only values", "settings are plain values; main.cpp hands them on")
  } else if (within("actors/"))
    check_actor(path)
  else if (port(FILENAME)) {
    if (!port(path) && !value(path))
      broken("a port includes only values and ports", "a port says what is needed in words of the domain")
  } else if (within("adapters/") && !port(path) && !value(path) && !own(path) && !facade(path))
    broken("an adapter includes ports, values, its own folder, http/client.hpp and json/json.hpp",
           "technologies are exchanged one at a time; protocols of actors are none of their business")
}

function check_actor(path,   mine) {
  if (path ~ /^config\//)
    broken("actors do not include config", "an actor has a config of its own; main.cpp fills it")
  else if (path ~ /^adapters\// && !port(path))
    broken("actors include ports, never a technology", "an actor must run over any adapter, in tests over none")
  else if (path in is_actor_header) {
    mine = FILENAME
    sub(/\.[ch]pp$/, ".hpp", mine)
    if (path != mine && !((FILENAME " " path) in parent))
      broken("an actor does not include the header of another", "peers are known by their protocol in messages/")
  }
}

# Where a third-party library may be seen.
function check_library(path,   i) {
  for (i = 1; i <= libraries; ++i)
    if (path ~ header[i]) {
      if (FILENAME !~ home[i])
        broken(name[i] " is included only in " place[i], "each library stays in one room, so that it can be replaced")
      return
    }
}
function library(n, pattern, where, words) {
  ++libraries
  name[libraries] = n; header[libraries] = pattern; home[libraries] = where; place[libraries] = words
}

BEGIN {
  n = split(actor_headers, list, "\n")
  for (i = 1; i <= n; ++i)
    is_actor_header[list[i]] = 1
  parent["actors/ingress.cpp actors/exchange.hpp"] = 1  # a child for each request
  parent["actors/runner.cpp actors/execution.hpp"] = 1  # a child for each command
  parent["actors/runner.hpp actors/execution.hpp"] = 1
  parent["actors/ingress.hpp actors/exchange.hpp"] = 1
  for (i = 1; i <= n; ++i) { # starts and watches them all
    parent["actors/supervisor.cpp " list[i]] = 1
    parent["actors/supervisor.hpp " list[i]] = 1
  }
  library("libpqxx", "^(pqxx|libpq)", "^adapters/postgres/", "adapters/postgres")
  library("cpp-httplib", "^httplib", "^adapters/http/", "adapters/http")
  library("RapidJSON", "^rapidjson/", "^adapters/json/", "adapters/json")
  library("valijson", "^valijson/", "^adapters/json/", "adapters/json")
  library("spdlog", "^(spdlog|fmt)/", "^adapters/telemetry/", "adapters/telemetry")
  library("prometheus-cpp", "^prometheus/", "^adapters/telemetry/", "adapters/telemetry")
  library("toml++", "^toml", "^config/", "config")
  library("CLI11", "^CLI/", "^(config|adapters/cli)/", "config and adapters/cli")
  library("OpenSSL", "^openssl/", "^adapters/crypto/", "adapters/crypto")
  library("libcurl", "^curl/", "^adapters/webhooks/", "adapters/webhooks")
  library("RE2", "^re2/", "^adapters/redaction/", "adapters/redaction")
  library("CAF", "^caf/", "^(main.cpp$|actors/|messages/[a-z_]+.hpp$)", "messages (not values), actors and main.cpp")
  library("Boost", "^boost/", "^adapters/(http|kubernetes)/", "adapters/http and adapters/kubernetes")
  library("yaml-cpp", "^yaml-cpp/", "^adapters/kubernetes/", "adapters/kubernetes")
}

FNR == 1 { raw_end = "" }

{
  code = $0
  # A raw string is text of another language, from its line to the one that ends it.
  if (raw_end != "") {
    at = index(code, raw_end)
    if (at == 0)
      next
    code = substr(code, at + length(raw_end))
    raw_end = ""
  } else if (match(code, /R"[A-Za-z_]*\(/)) {
    ending = ")" substr(code, RSTART + 2, RLENGTH - 3) "\""
    rest = substr(code, RSTART + RLENGTH)
    if (index(rest, ending) == 0) {
      raw_end = ending
      code = substr(code, 1, RSTART - 1)
    }
  }
  if (match(code, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/)) {
    path = code
    sub(/^[^"]*"/, "", path)
    sub(/".*/, "", path)
    check_ours(path)
    check_library(path)
    next
  }
  if (match(code, /^[ \t]*#[ \t]*include[ \t]*<[^>]*>/)) {
    path = code
    sub(/^[^<]*</, "", path)
    sub(/>.*/, "", path)
    check_library(path)
    next
  }
  gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
  sub(/\/\/.*/, "", code)
  if (code ~ /catch[ \t]*\([ \t]*\.\.\.[ \t]*\)/ && FILENAME !~ /^adapters\/postgres\/session\.[ch]pp$/)
    broken("no catch (...) outside adapters/postgres/session", "a bug must not be swallowed; catch what you expect")
  if (code ~ /(^|[^A-Za-z0-9_.>])new[ \t]+[A-Za-z_:(]/ || code ~ /(^|[^A-Za-z0-9_=.>])[ \t]*delete[ \t]*(\[\])?[ \t]+[A-Za-z_*(]/)
    broken("no raw new and delete", "what owns memory is an object, so that nothing is lost on any way out")
}

END { exit bad }
' "${sources[@]}"
echo "${#sources[@]} files keep the rules"
