#include "tests/fuzz/targets.hpp"

#include "adapters/audit/dump.hpp"
#include "adapters/crypto.hpp"
#include "adapters/http/bodies.hpp"
#include "adapters/http/characters.hpp"
#include "adapters/http/request_reader.hpp"
#include "adapters/http/routes.hpp"
#include "adapters/json/json.hpp"
#include "adapters/kubernetes/access.hpp"
#include "adapters/kubernetes/discovery.hpp"
#include "adapters/kubernetes/shim_protocol.hpp"
#include "adapters/webhooks/endpoint_url.hpp"
#include "config/settings.hpp"
#include "config/units.hpp"
#include "messages/values/addresses.hpp"
#include "messages/values/ids.hpp"
#include "messages/values/output.hpp"
#include "messages/values/time.hpp"
#include "tests/fuzz/must.hpp"
#include "tests/fuzz/redactions.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace rdev::fuzz {

namespace {

// ---- values
void ids(std::string_view input) {
  if (const auto id = command_id::parse(input)) {
    must(id->text() == input, "an id is written as it was read");
    must(command_id::from_uuid(id->uuid()) == id, "a UUID is read as it was written");
  }
  if (const auto bytes = from_uuid_text(input))
    must(from_uuid_text(to_uuid_text(*bytes)) == bytes, "a UUID is read as it was written");
}

void times(std::string_view input) {
  if (const auto t = from_rfc3339(input))
    must(from_rfc3339(to_rfc3339(*t)) == std::chrono::floor<std::chrono::milliseconds>(*t),
         "a time survives in milliseconds");
}

void addresses(std::string_view input) {
  if (const auto a = ip_address::parse(input))
    must(ip_address::parse(a->text()) == a, "an address is read as it was written");
  if (const auto n = ip_network::parse(input)) {
    must(n->contains(n->address), "a network holds its own address");
    must(n->contains(*n), "a network holds itself");
    must(ip_network::parse(n->text()).has_value(), "a network is read as it was written");
  }
  const std::array trusted{*ip_network::parse("10.0.0.0/8"), *ip_network::parse("::1")};
  const auto client = client_address(*ip_address::parse("10.0.0.1"), input, trusted);
  must(ip_address::parse(client.text()) == client, "the client has an address");
}

void event_ids(std::string_view input) {
  if (const auto p = from_event_id(input))
    must(to_event_id(*p) == input, "an event id is written as it was read");
}

void frames(std::string_view input) {
  chunk c;
  c.bytes = std::make_shared<const std::string>(input);
  for (const auto how : {framing::line, framing::chunk}) {
    std::string all;
    cut_frames(c, 0, how, [&](const frame& f) {
      must(f.bytes.size() <= max_frame_bytes, "a frame has a bound");
      all.append(f.bytes);
      if (f.eol)
        all += '\n';
    });
    must(all == input, "frames make up the stream");
  }
  std::size_t sum = 0;
  for (const auto n : chunk_sizes(input))
    sum += n;
  must(sum == input.size(), "chunks make up the stream");
  must(storable_prefix(input, false) <= input.size(), "no more is stored than there is");
}

// ---- crypto
void keys(std::string_view input) {
  const auto prefix = key_prefix_of(input);
  must(prefix.empty() || input.starts_with(prefix), "a key begins with its prefix");
  static const auto checks =
      *credentials::make("", std::move(*make_sealer("k1:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=")));
  must(!checks->command_of(input), "nobody can make up the credential of a command");
  (void)http::duration_from(input);
}

void sealed(std::string_view input) {
  static const auto sealer = std::move(*make_sealer("k1:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="));
  must(!sealer->open(input, "place"), "nobody can make up a sealed value");
  const auto plain = sealer->open(sealer->seal(input, "place"), "place");
  must(plain && *plain == input, "what was sealed can be opened");
  (void)make_sealer(input);
}

// ---- json and bodies
void json_text(std::string_view input) {
  const auto parsed = json::parse(input);
  const auto* v = std::get_if<json::value>(&parsed);
  if (v == nullptr)
    return;
  must(valid_utf8(v->text()), "what was taken is UTF-8");
  const auto again = json::parse(v->text());
  must(std::holds_alternative<json::value>(again), "what was taken can be written and read");
  const bool has_fraction = v->text().find_first_of(".eE") != std::string::npos; // its last bit may change
  must(has_fraction || std::get<json::value>(again).text() == v->text(), "and is the same then");
}

void webhook_body(std::string_view schema, const http::checked_body& body) {
  const auto clean = [](std::string_view text) { return text.find('\0') == std::string_view::npos; };
  const auto known = [](const std::vector<std::string>& events) {
    must(std::all_of(events.begin(), events.end(), [](const auto& one) { return valid_event_filter(one); }),
         "every filter can match an event");
  };
  if (schema == "ReplayRequest") {
    if (const auto made = http::replay_deliveries_from({}, body))
      known(std::get<replay_deliveries>(*made).which.events);
  } else if (schema == "WebhookChange") {
    if (const auto made = http::change_webhook_from({}, body, {}); made && std::get<change_webhook>(*made).what.events)
      known(*std::get<change_webhook>(*made).what.events);
  } else if (schema != "WebhookRequest") {
    return;
  } else if (const auto made = http::create_webhook_from(body, {})) {
    const auto& what = std::get<create_webhook>(*made).what;
    must(clean(what.url) && clean(what.description), "a NUL is refused");
    must(!what.projects || !what.projects->empty(), "who is bound is bound to something");
    known(what.events);
  }
}

answer<operation> read_body(std::string_view schema, const http::checked_body& body) {
  if (schema == "ProjectRequest")
    return http::create_project_from(body, {});
  if (schema == "KeyRequest")
    return http::create_key_from(body, now_utc(), {});
  if (schema == "KeyChange")
    return http::change_key_from(key_id(), body, now_utc(), {});
  if (schema == "RotateRequest")
    return http::rotate_key_from(key_id(), body);
  if (schema == "WebhookRequest")
    return http::create_webhook_from(body, {});
  if (schema == "WebhookChange")
    return http::change_webhook_from({}, body, {});
  if (schema == "ReplayRequest")
    return http::replay_deliveries_from({}, body);
  const auto type = schema == "GitRequest"      ? command_type::git
                    : schema == "ClaudeRequest" ? command_type::claude
                                                : command_type::shell;
  return http::submit_from(type, "demo", body, {std::chrono::hours(1), {}, {}, {}});
}

void bodies(std::string_view input) {
  for (const auto* schema : {"ShellRequest", "GitRequest", "ClaudeRequest", "ProjectRequest", "KeyRequest", "KeyChange",
                             "RotateRequest", "WebhookRequest", "WebhookChange", "ReplayRequest"}) {
    const auto body = http::parse_body(schema, input);
    if (!body) {
      must(!body.why().details.empty(), "a refusal says why");
      continue;
    }
    const auto made = read_body(schema, *body);
    must(!made || body->problems.empty(), "what does not fit its schema is refused");
    must(made ||
             made.why().details.size() >= std::min<std::size_t>(100, std::max<std::size_t>(1, body->problems.size())),
         "what the schema found is told, whatever the rules find");
    webhook_body(schema, *body);
  }
}

// ---- the audit log
void audit_line(std::string_view line) {
  const auto read = audit_chain::read_sealed_record(line);
  if (!read) {
    must(!read.error().message.empty(), "a refusal says why");
    return;
  }
  const auto whole = std::get<json::value>(json::parse(line));
  auto record = audit_chain::canonical(read->record);
  record.insert(record.rfind(R"(,"target":")"), R"(,"seal":)" + whole["seal"].canonical());
  const bool has_fraction = read->record.detail.find_first_of(".eE") != std::string::npos; // its last bit may change
  must(has_fraction || record == whole.canonical(), "what is hashed is what the line says");
}

void audit_dumps(std::string_view input) {
  std::stringbuf lines{std::string(input)};
  const auto found = audit_chain::verify_dump(lines, {});
  must(found.seen.checked == 0 || found.first > 0, "what was checked begins somewhere");
  must(found.first == 0 || found.seen.sealed_through - found.first + 1 == found.seen.checked, "numbers have no gaps");
  must(found.why.empty() || found.bad_line > 0, "what is no record is in some line");
  must(found.seen.first_bad || found.seen.checked <= std::count(input.begin(), input.end(), '\n') + 1,
       "a line is one record");
  audit_line(input.substr(0, input.find('\n')));
}

// ---- http
void request_lines(std::string_view input) {
  const auto question = input.find('?');
  const auto path = input.substr(0, question);
  const auto query = question == std::string_view::npos ? std::string_view{} : input.substr(question + 1);
  for (const auto* method : {"GET", "POST", "DELETE", "PUT"}) {
    const auto m = http::find_route(method, path);
    if (!m || m->found == nullptr || m->found->make == nullptr)
      continue;
    http::call c;
    c.path = m->path;
    c.query = http::parse_query(query).value_or(http::parameters{});
    c.last_event_id = query;
    const auto made = m->found->make(c);
    must(made || !made.why().message.empty(), "a refusal says why");
  }
}

// What a reader makes of `input` that comes in pieces whose sizes `sizes` gives, over and over; 0 = all of the rest.
std::vector<std::string> readings(std::string_view input, std::span<const std::size_t> sizes) {
  constexpr http::request_limits limits{256, 64, 100};
  http::request_reader reader(limits);
  std::vector<std::string> out;
  for (std::size_t piece = 0; !input.empty(); ++piece) {
    const auto size = sizes[piece % sizes.size()];
    const auto part = input.substr(0, size == 0 ? input.size() : size);
    input.remove_prefix(part.size());
    reader.feed(part);
    for (bool more = true; more;) {
      auto got = reader.next();
      more = false;
      if (const auto* r = std::get_if<http::request>(&got)) {
        must(r->body.size() <= limits.body_bytes && r->head.size() <= limits.head_bytes &&
                 r->target.size() <= limits.target_bytes,
             "the limits hold");
        must(r->framed || r->body.empty(), "a body has a frame");
        must(r->target.starts_with('/') || r->target.starts_with('?') || r->target == "*",
             "the target has origin form");
        std::string text(r->method);
        text.append(" ").append(r->target).append(r->keep_alive ? " + " : " - ").append(r->body);
        for (const auto& [name, value] : r->fields) {
          must(!name.empty() && std::all_of(name.begin(), name.end(), http::token_character), "a name is a token");
          must(std::none_of(name.begin(), name.end(), [](char c) { return c != http::lower(c); }), "in lower case");
          must(std::all_of(value.begin(), value.end(), http::text_character), "a value holds no control character");
          text.append("\n").append(name).append(":").append(value);
        }
        out.push_back(text);
        more = true;
      } else if (const auto* wrong = std::get_if<http::request_reader::refused>(&got)) {
        out.push_back("! " + wrong->why.message);
        reader.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        must(std::holds_alternative<http::request_reader::refused>(reader.next()), "nothing is read behind a refusal");
        return out;
      } else if (reader.wants_continue()) {
        must(!reader.wants_continue(), "who waits is told once");
      }
    }
  }
  if (reader.idle())
    out.emplace_back("idle");
  return out;
}

void requests(std::string_view input) {
  constexpr std::array<std::size_t, 1> whole{0};
  constexpr std::array<std::size_t, 1> bytes{1};
  constexpr std::array<std::size_t, 3> pieces{7, 2, 31};
  const auto seen = readings(input, whole);
  must(readings(input, bytes) == seen && readings(input, pieces) == seen, "it does not matter how the bytes were cut");
}

// ---- config
void settings_text(std::string_view input) {
  (void)config::parse_duration(input);
  (void)config::parse_size(input);
  config::inputs in;
  in.environment["HOME"] = "/home/someone";
  for (const auto& key : config::known_keys()) {
    in.flags = {{key, std::string(input)}};
    const auto loaded = config::load(in);
    const auto* wrong = std::get_if<std::vector<std::string>>(&loaded);
    must(wrong == nullptr || !wrong->empty(), "a refusal says why");
  }
}

// ---- kubernetes
void kubeconfigs(std::string_view input) {
  const auto got = kubernetes::parse_kubeconfig(std::string(input), "/nonexistent", "");
  if (!got)
    return must(got.error().code == fault::invalid && !got.error().message.empty(), "a refusal says what to mend");
  must(!got->host.empty() && got->port != 0, "there is somebody to ask");
  must(got->host.find_first_of(" /@?#\r\n") == std::string::npos, "a host is a name or an address");
  must(got->base_path.find_first_of(" ?#\r\n") == std::string::npos, "a path is a path");
}

void cluster_objects(std::string_view input) {
  const auto parsed = json::parse(input);
  const auto* object = std::get_if<json::value>(&parsed);
  if (object == nullptr)
    return;
  (void)kubernetes::read_stateful_set(*object);
  const auto strict = kubernetes::read_pod(*object, false);
  const auto adopted = kubernetes::read_pod(*object, true);
  must(!strict || adopted, "who takes others' pods takes ours, too");
  if (!adopted)
    return;
  must(valid_project_id(adopted->what.id) && !adopted->name.empty(), "a pod belongs to a project");
  must(!adopted->usable || (adopted->container_runs && !adopted->leaving && !adopted->container_id.empty()),
       "commands are started only where something runs");
}

// All records that come, and the bytes between them.
std::string said(std::string_view input, std::size_t piece) {
  kubernetes::record_splitter splitter("0123456789abcdef");
  std::string bytes;
  std::string records;
  while (!input.empty()) {
    const auto part = input.substr(0, piece);
    input.remove_prefix(part.size());
    for (auto got = splitter.take(part);; got = splitter.take({})) {
      bytes += got.bytes;
      if (!got.record)
        break;
      must(got.record->find('\n') == std::string::npos, "a record is a line");
      records += std::to_string(bytes.size()) + " " + *got.record + "\n";
    }
  }
  return records;
}

void shim_records(std::string_view input) {
  must(said(input, 1) == said(input, 4096) && said(input, 7) == said(input, 4096),
       "it does not matter how the bytes were cut");
  const kubernetes::shim_place here{"m.1.b", std::chrono::milliseconds(5)};
  if (const auto got = kubernetes::parse_state(input, here)) {
    must(got->state != run_state::exited || (got->ended_ago && *got->ended_ago >= std::chrono::milliseconds(0)),
         "an end lies in the past");
    must(got->signal >= 0, "a signal has a number");
  }
  if (const auto got = kubernetes::parse_greeting(input))
    must(!got->mark.empty(), "a place has a mark");
}

// ---- webhooks
// What a URL that is taken leads to without a question to the network, for the most liberal of readers (inet_aton()
// knows octal, hexadecimal and short forms); none: a name.
std::optional<ip_address> literal_of(const std::string& host) {
  in_addr v4{};
  if (::inet_aton(host.c_str(), &v4) != 0)
    return ip_address::parse(::inet_ntoa(v4));
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0)
    return std::nullopt;
  const auto out = webhook_sending::address_in(*found->ai_addr);
  ::freeaddrinfo(found);
  return out;
}

void endpoint_urls(std::string_view input) {
  static const webhook_sending::address_guard closed({});
  static const webhook_sending::address_guard open({*ip_network::parse("127.0.0.0/8"), *ip_network::parse("fd00::/8")});
  const auto read = webhook_sending::read_url(input);
  const auto problem = webhook_sending::problem_of(input, closed);
  if (!read.problem.empty())
    return must(problem && webhook_sending::problem_of(input, open), "what cannot be read is not taken");
  must(problem || !webhook_sending::problem_of(input, open), "what is allowed besides takes nothing away");
  must(!read.url.host.empty() && read.url.port >= 1 && read.url.port <= 65535, "there is somebody to connect to");
  must(input.find(read.url.host) != std::string_view::npos, "the host is the one that is written there");
  if (const auto literal = literal_of(read.url.host)) {
    must(ip_address::parse(read.url.host) == literal, "an address is written so that all read the same");
    must(problem.has_value() == closed.problem_of(*literal, read.url.encrypted).has_value(), "an address is judged");
  }
  must(problem || read.url.encrypted, "without allowed networks there is TLS");
}

constexpr std::array<std::string_view, 9> url_seeds{"https://example.com:8443/a/b?c=d%20",
                                                    "https://127.0.0.1/",
                                                    "http://[::ffff:127.0.0.1]:80/",
                                                    "https://0x7f.1/",
                                                    "https://017700000001",
                                                    "https://user@2130706433:443#x",
                                                    "https://[64:ff9b::7f00:1%25lo]/",
                                                    "https://8.8.8.8/",
                                                    "https://xn--bcher-kva.localhost./"};
constexpr std::array<std::string_view, 3> id_seeds{
    "cmd_01j9x2k4e7f8g9h0j1k2m3n4p5", "0192f0c1-7a2b-7c3d-8e4f-0123456789ab", "cmd_7zzzzzzzzzzzzzzzzzzzzzzzzz"};
constexpr std::array<std::string_view, 2> time_seeds{"2026-11-23T08:19:58.123456Z", "2024-02-29T00:00:00Z"};
constexpr std::array<std::string_view, 4> address_seeds{"10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.1/104",
                                                        "198.51.100.1, 10.0.0.2, x"};
constexpr std::array<std::string_view, 2> event_seeds{"3-17", "4294967295-0"};
constexpr std::array<std::string_view, 2> frame_seeds{"one\ntwo\r\n\nthree", "\xe2\x82\xac\xf0\x9f\x9a\x80\xff\n"};
constexpr std::array<std::string_view, 4> key_seeds{
    "rdev_0aZ9bY8c_The0quick1brown2fox3jumps4o1NZWuZ", "rdev_AAAAAAAA_", "30d",
    "rdevcmd_06dc3k2v7h5r9m0q8s1t4w6x2y_00000000000000000000000000000000000000000000000000000000000000ff"};
constexpr std::array<std::string_view, 2> sealed_seeds{"\1\2k1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "k2:YWFh,k1:"};
constexpr std::array<std::string_view, 4> json_seeds{R"({"a":[1,-2.5e3,true,null,"\u00e9\ud83d\ude80"],"b":{"c":""}})",
                                                     R"(["\udc00"])", "[[[[]]]]",
                                                     "[0.000000000000000000000000000000000000001e-300,1e308]"};
constexpr std::array<std::string_view, 10> body_seeds{
    R"({"command":["ls","-l"],"timeout_seconds":5,"priority":"high","env":{"A":"1"},"workdir":"a/b"})",
    R"({"args":["status"],"env":{"RDEV_X":""}})",
    R"({"prompt":"do it","workdir":"/workspace/../x"})",
    R"({"id":"demo","labels":{"a":"b","c=d":"e"}})",
    R"({"name":"n","scopes":["admin","x"],"project_ids":["a"],"allowed_ips":["10.0.0.0/8"],"expires_at":"2030-01-31T12:00:00Z","rate_limit":5})",
    R"({"allowed_ips":null,"expires_at":null,"concurrency_limit":3})",
    R"({"overlap":"24h"})",
    R"({"url":"https://a.b/c","events":["command.*","key.revoked"],"projects":["a"],"description":"d","ordered":true})",
    R"({"url":"http://[::1]:8080/","projects":null,"enabled":false})",
    R"({"status":"blocked","events":["*"],"from":"2030-01-31T12:00:00Z","to":"2030-02-31T12:00:00.5Z"})"};
constexpr std::array<std::string_view, 6> line_seeds{
    "/projects/demo/events?stream_id=cmd_01j9x2k4e7f8g9h0j1k2m3n4p5&framing=chunk",
    "/commands?limit=7&status=lost&project=demo",
    "/projects/%2e%2e%2f/shell",
    "/commands/cmd_01j9x2k4e7f8g9h0j1k2m3n4p5/output?after=3&stream=stdout",
    "/webhooks/wh_01j9x2k4e7f8g9h0j1k2m3n4p5/deliveries?status=failed&event=command.*&from=2030-01-31T12:00:00Z",
    "/webhooks/wh_01j9x2k4e7f8g9h0j1k2m3n4p5/deliveries/dlv_01j9x2k4e7f8g9h0j1k2m3n4p5/redeliver"};
constexpr std::array<std::string_view, 8> request_seeds{
    "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nGET http://x/b HTTP/1.0\r\nConnection: a, Keep-Alive\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n00000001\r\nh\r\n3f\r\n",
    "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "\r\nHEAD / HTTP/1.1\r\nhost:\r\nX-Long: "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
    "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc"};
constexpr std::array<std::string_view, 5> settings_seeds{"127.0.0.1:8080", "[::1]:0", "30m", "16KiB", "10.0.0.0/8,::1"};

constexpr std::array<std::string_view, 3> kubeconfig_seeds{
    "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, user: u, namespace: "
    "n}}]\n"
    "clusters: [{name: c, cluster: {server: \"https://[::1]:6443/base\", certificate-authority-data: YWJj}}]\n"
    "users: [{name: u, user: {token: secret}}]\n",
    "current-context: a\ncontexts:\n- name: a\n  context: &x {cluster: c, user: u}\n- <<: *x\nclusters:\n- name: c\n"
    "  cluster: {server: https://h, insecure-skip-tls-verify: true}\n",
    "users: [{name: u, user: {exec: {command: x}}}]\ncurrent-context: b\n"};
constexpr std::array<std::string_view, 2> object_seeds{
    R"({"metadata":{"name":"p-0","uid":"u","labels":{"rdev.orchard9.ai/project":"true","rdev.orchard9.ai/project-id":"demo","app.kubernetes.io/managed-by":"rdev"}},"spec":{"replicas":1,"containers":[{"name":"project"}]},"status":{"phase":"Running","containerStatuses":[{"name":"project","ready":true,"restartCount":1,"containerID":"containerd://c","state":{"running":{}}}]}})",
    R"({"metadata":{"name":"p-0","deletionTimestamp":"x","annotations":{"rdev.orchard9.ai/labels":"{\"a\":\"b\"}"},"labels":{"rdev.orchard9.ai/project":"true","rdev.orchard9.ai/project-id":"demo"}},"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}],"initContainerStatuses":[{"name":"clone","state":{"waiting":{"reason":"X"}},"lastState":{"terminated":{"exitCode":128,"message":"m"}}}]}})"};
constexpr std::array<std::string_view, 6> record_seeds{
    "new exited 137 signal cancel 12.34 0",
    "end exited 0 exit - 99.99 0 ; 3 3 0 0 whole",
    "lost the pod was deleted",
    "here m.12.b 1234.56 cmd_01j9x2k4e7f8g9h0j1k2m3n4p5 x",
    "end lost why ; 1 2 3 4 short",
    "abc\036RDEV 0123456789abcdef running\nbytes\036RDEV 0123456789abcdeX no\n\036RDEV 0123456789abcdef end running ; "
    "1 1 0 0 "
    "whole\n"};

// Two records and their links.
constexpr std::array<std::string_view, 4> dump_seeds{
    R"({"action":"key.create","actor_key":"key_01m8gafspseka9w2vj3rnzgpkn","actor_name":"a","at":"2026-11-28T05:38:19.961120Z","client_ip":"","detail":{},"id":"aud_01m8gafspseka9w2vj3rnzgpke","outcome":"done","project":null,"reason":"","request_id":"","target":"x","trace_id":"","seal":{"hash":"d5dcc871c85e3ab2604f49800be306a955f6ed988471be7ee97140714a103c3b","prev_hash":"0000000000000000000000000000000000000000000000000000000000000000","row_hash":"a01749f1b44fcce52cd82749aec4af82cf018e096bea3168d25287354c784cd7","seq":1}}
{"action":"key.create","actor_key":null,"actor_name":"a","at":"2026-11-28T05:38:19.961121Z","client_ip":"","detail":{"n":1},"id":"aud_01m8gafspseka9w2vj3rnzgpkf","outcome":"done","project":"demo","reason":"","request_id":"","target":"x","trace_id":"","seal":{"hash":"df587a91519e2804986d8d4a0022ceb6503f331f4b7c78d3600cc45115b8126a","prev_hash":"d5dcc871c85e3ab2604f49800be306a955f6ed988471be7ee97140714a103c3b","row_hash":"ee8e8a5aea6408a18cabf11830c889131ccdf1cdbe73d9df6818202f6caedf96","seq":2}}
)",
    R"({"action":"key.create","actor_key":null,"actor_name":"a","at":"2026-11-28T05:38:19.961121Z","client_ip":"","detail":{"n":1},"id":"aud_01m8gafspseka9w2vj3rnzgpkf","outcome":"done","project":"demo","reason":"","request_id":"","target":"x","trace_id":"","seal":{"hash":"df587a91519e2804986d8d4a0022ceb6503f331f4b7c78d3600cc45115b8126a","prev_hash":"d5dcc871c85e3ab2604f49800be306a955f6ed988471be7ee97140714a103c3b","row_hash":"ee8e8a5aea6408a18cabf11830c889131ccdf1cdbe73d9df6818202f6caedf96","seq":2}})",
    R"({"seal":{"hash":"","prev_hash":"","row_hash":"","seq":1}})", "\n{}\n"};

constexpr std::array<target, 18> all{{{"ids", ids, id_seeds},
                                      {"times", times, time_seeds},
                                      {"addresses", addresses, address_seeds},
                                      {"event_ids", event_ids, event_seeds},
                                      {"frames", frames, frame_seeds},
                                      {"keys", keys, key_seeds},
                                      {"sealed", sealed, sealed_seeds},
                                      {"json_text", json_text, json_seeds},
                                      {"bodies", bodies, body_seeds},
                                      {"request_lines", request_lines, line_seeds},
                                      {"requests", requests, request_seeds},
                                      {"settings_text", settings_text, settings_seeds},
                                      {"kubeconfigs", kubeconfigs, kubeconfig_seeds},
                                      {"cluster_objects", cluster_objects, object_seeds},
                                      {"shim_records", shim_records, record_seeds},
                                      {"endpoint_urls", endpoint_urls, url_seeds},
                                      {"audit_dumps", audit_dumps, dump_seeds},
                                      {"redactions", redactions, redaction_seeds}}};

} // namespace

std::span<const target> targets() {
  return all;
}

} // namespace rdev::fuzz
