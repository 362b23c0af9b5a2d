#include "adapters/http/routes.hpp"

#include "adapters/http/characters.hpp"
#include "adapters/http/recipes.hpp"

#include <algorithm>

namespace rdev::http {

namespace {

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> out;
  path.remove_prefix(path.starts_with('/') ? 1 : 0);
  for (;;) {
    const auto slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos)
      return out;
    path.remove_prefix(slash + 1);
  }
}

// A route and its pattern, cut up.
struct cut_route {
  const route* what;
  std::vector<std::string_view> parts;
};

const std::vector<cut_route>& cut_routes() {
  static const auto all = [] {
    std::vector<cut_route> out;
    for (const auto& r : routes())
      out.push_back({&r, segments(r.pattern)});
    return out;
  }();
  return all;
}

bool fits(const std::vector<std::string_view>& wanted, const std::vector<std::string_view>& path) {
  return std::equal(wanted.begin(), wanted.end(), path.begin(), path.end(),
                    [](std::string_view w, std::string_view p) { return w.starts_with('{') || w == p; });
}

parameters parameters_of(const std::vector<std::string_view>& wanted, const std::vector<std::string_view>& path) {
  parameters out;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i].starts_with('{'))
      out.emplace(wanted[i].substr(1, wanted[i].size() - 2), path[i]);
  return out;
}

} // namespace

const std::vector<route>& routes() {
  static const std::vector<route> all{
      {"GET", "/projects", scope::projects_read, "listProjects", list_projects_of},
      {"POST", "/projects", scope::projects_write, "createProject", create_project_of, body_rule::needed},
      {"GET", "/projects/{id}", scope::projects_read, "getProject", get_project_of},
      {"DELETE", "/projects/{id}", scope::projects_write, "deleteProject", delete_project_of},
      {"POST", "/projects/{id}/start", scope::projects_write, "startProject", start_project_of},
      {"POST", "/projects/{id}/stop", scope::projects_write, "stopProject", stop_project_of},
      {"POST", "/projects/{id}/restart", scope::projects_write, "restartProject", restart_project_of},
      {"POST", "/projects/{id}/shell", scope::projects_execute, "runShell", run_shell_of, body_rule::needed},
      {"POST", "/projects/{id}/git", scope::projects_execute, "runGit", run_git_of, body_rule::needed},
      {"POST", "/projects/{id}/claude", scope::projects_execute, "runClaude", run_claude_of, body_rule::needed},
      {"GET", "/projects/{id}/events", scope::projects_read, "streamEvents", open_stream_of},
      {"GET", "/commands", scope::projects_read, "listCommands", list_commands_of},
      {"GET", "/commands/{id}", scope::projects_read, "getCommand", get_command_of},
      {"GET", "/commands/{id}/output", scope::projects_read, "getOutput", output_of},
      {"POST", "/commands/{id}/cancel", scope::projects_execute, "cancelCommand", cancel_command_of},
      {"GET", "/queue", scope::projects_read, "getQueue", queue_of},
      {"GET", "/keys", scope::keys_read, "listKeys", list_keys_of},
      {"POST", "/keys", scope::keys_write, "createKey", create_key_of, body_rule::needed},
      {"GET", "/keys/{id}", scope::keys_read, "getKey", get_key_of},
      {"PATCH", "/keys/{id}", scope::keys_write, "changeKey", change_key_of, body_rule::needed},
      {"DELETE", "/keys/{id}", scope::keys_write, "revokeKey", revoke_key_of},
      {"POST", "/keys/{id}/rotate", scope::keys_write, "rotateKey", rotate_key_of, body_rule::optional},
      {"GET", "/bans", scope::admin, "listBans", list_bans_of},
      {"DELETE", "/bans/{id}", scope::admin, "liftBan", lift_ban_of},
      {"GET", "/audit", scope::audit_read, "listAudit", list_audit_of},
      {"GET", "/audit/verify", scope::audit_read, "verifyAudit", verify_audit_of},
      {"GET", "/audit/keys", scope::audit_read, "listAuditKeys", list_audit_keys_of},
      {"GET", "/webhooks", scope::webhooks_read, "listWebhooks", list_webhooks_of},
      {"POST", "/webhooks", scope::webhooks_write, "createWebhook", create_webhook_of, body_rule::needed},
      {"GET", "/webhooks/{id}", scope::webhooks_read, "getWebhook", get_webhook_of},
      {"PATCH", "/webhooks/{id}", scope::webhooks_write, "changeWebhook", change_webhook_of, body_rule::needed},
      {"DELETE", "/webhooks/{id}", scope::webhooks_write, "deleteWebhook", delete_webhook_of},
      {"POST", "/webhooks/{id}/test", scope::webhooks_write, "testWebhook", test_webhook_of},
      {"POST", "/webhooks/{id}/rotate-secret", scope::webhooks_write, "rotateWebhookSecret", rotate_webhook_secret_of,
       body_rule::optional},
      {"GET", "/webhooks/{id}/deliveries", scope::webhooks_read, "listDeliveries", list_deliveries_of},
      {"GET", "/webhooks/{id}/deliveries/{did}", scope::webhooks_read, "getDelivery", get_delivery_of},
      {"POST", "/webhooks/{id}/deliveries/{did}/redeliver", scope::webhooks_write, "redeliver", redeliver_of},
      {"POST", "/webhooks/{id}/redeliver", scope::webhooks_write, "replayDeliveries", replay_deliveries_of,
       body_rule::optional},
      {"GET", "/health", std::nullopt, "health"},
      {"GET", "/ready", std::nullopt, "ready"},
      {"GET", "/metrics", std::nullopt, "metrics"},
      {"GET", "/docs", std::nullopt, "docs"},
      {"GET", "/openapi.json", std::nullopt, "openapi"},
  };
  return all;
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<parameters> parse_query(std::string_view text) {
  parameters out;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const auto equals = pair.find('=');
    const auto name = percent_decoded(pair.substr(0, equals), true);
    const auto value =
        percent_decoded(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1), true);
    if (!name || !value)
      return std::nullopt;
    if (!name->empty())
      out.try_emplace(*name, *value);
  }
  return out;
}

std::optional<match> find_route(std::string_view method, std::string_view path) {
  if (!path.starts_with('/'))
    return match{};
  auto parts = segments(path);
  std::vector<std::string> decoded;
  decoded.reserve(parts.size()); // views into it are kept
  for (auto& part : parts) {
    if (part.find('%') == std::string_view::npos)
      continue;
    auto one = percent_decoded(part, false);
    if (!one)
      return std::nullopt;
    part = decoded.emplace_back(std::move(*one));
  }
  const auto wanted = method == "HEAD" ? std::string_view("GET") : method;
  match out;
  for (const auto& [r, pattern] : cut_routes()) {
    if (!fits(pattern, parts))
      continue;
    if (r->method == wanted) {
      out.found = r;
      out.path = parameters_of(pattern, parts);
      return out;
    }
    out.allowed.push_back(r->method);
    if (r->method == "GET")
      out.allowed.emplace_back("HEAD");
  }
  return out;
}

int status_of(refusal_code code) {
  switch (code) {
  case refusal_code::bad_request:
    return 400;
  case refusal_code::unauthorized:
  case refusal_code::key_revoked:
  case refusal_code::key_expired:
    return 401;
  case refusal_code::ip_not_allowed:
  case refusal_code::forbidden:
    return 403;
  case refusal_code::not_found:
    return 404;
  case refusal_code::method_not_allowed:
    return 405;
  case refusal_code::request_timeout:
    return 408;
  case refusal_code::conflict:
    return 409;
  case refusal_code::gone:
    return 410;
  case refusal_code::length_required:
    return 411;
  case refusal_code::payload_too_large:
    return 413;
  case refusal_code::uri_too_long:
    return 414;
  case refusal_code::unsupported_media_type:
    return 415;
  case refusal_code::too_many_requests:
    return 429;
  case refusal_code::headers_too_large:
    return 431;
  case refusal_code::internal_error:
    return 500;
  case refusal_code::service_unavailable:
    return 503;
  case refusal_code::range_not_satisfiable:
    return 416;
  }
  return 500;
}

int success_status(const outcome& what, std::string_view operation) {
  const bool accepted = std::holds_alternative<submitted>(what) || std::holds_alternative<delivery_queued>(what) ||
                        std::holds_alternative<deliveries_queued>(what) || operation == "cancelCommand";
  const bool created = std::holds_alternative<project_created>(what) || std::holds_alternative<minted_key>(what) ||
                       operation == "createWebhook";
  return accepted ? 202 : created ? 201 : 200;
}

} // namespace rdev::http
