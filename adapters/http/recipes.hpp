// What the routes with a key make of a call. In project_recipes.cpp, key_recipes.cpp and webhook_recipes.cpp.
#pragma once

#include "adapters/http/call.hpp"

namespace rdev::http {

// ---- projects and commands
answer<operation> list_projects_of(const call& c);
answer<operation> create_project_of(const call& c);
answer<operation> get_project_of(const call& c);
answer<operation> delete_project_of(const call& c);
answer<operation> start_project_of(const call& c);
answer<operation> stop_project_of(const call& c);
answer<operation> restart_project_of(const call& c);
answer<operation> run_shell_of(const call& c);
answer<operation> run_git_of(const call& c);
answer<operation> run_claude_of(const call& c);
answer<operation> open_stream_of(const call& c);
answer<operation> list_commands_of(const call& c);
answer<operation> get_command_of(const call& c);
answer<operation> output_of(const call& c);
answer<operation> cancel_command_of(const call& c);
answer<operation> queue_of(const call& c);

// ---- keys and bans
answer<operation> list_keys_of(const call& c);
answer<operation> create_key_of(const call& c);
answer<operation> get_key_of(const call& c);
answer<operation> change_key_of(const call& c);
answer<operation> revoke_key_of(const call& c);
answer<operation> rotate_key_of(const call& c);
answer<operation> list_bans_of(const call& c);
answer<operation> lift_ban_of(const call& c);

// ---- the audit log
answer<operation> list_audit_of(const call& c);
answer<operation> verify_audit_of(const call& c);
answer<operation> list_audit_keys_of(const call& c);

// ---- webhooks
answer<operation> list_webhooks_of(const call& c);
answer<operation> create_webhook_of(const call& c);
answer<operation> get_webhook_of(const call& c);
answer<operation> change_webhook_of(const call& c);
answer<operation> delete_webhook_of(const call& c);
answer<operation> test_webhook_of(const call& c);
answer<operation> rotate_webhook_secret_of(const call& c);
answer<operation> list_deliveries_of(const call& c);
answer<operation> get_delivery_of(const call& c);
answer<operation> redeliver_of(const call& c);
answer<operation> replay_deliveries_of(const call& c);

} // namespace rdev::http
