// What a schema cannot say about the fields of a request. Each rule looks at one value and answers what is wrong with
// it and how to mend it, or nothing; what stands in docs/openapi.yaml (types, lengths, patterns, words) is not looked
// at again. Whoever reads a request asks all of them, so that it is refused once, with everything that is wrong with
// it.
#pragma once

#include "messages/values/keys.hpp"
#include "messages/values/time.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rdev::rules {

using problem = std::optional<std::string>;

// Bytes of an argument, or of NAME=value: a process on Linux can be given no longer one (MAX_ARG_STRLEN without the
// NUL).
inline constexpr std::size_t longest_argument = 131'071;
// Bytes of all of them together, each with its NUL: no process can be given more, whatever its limits are.
inline constexpr std::size_t most_given = std::size_t{6} * 1024 * 1024;
inline constexpr std::size_t longest_variable_name = 128;
inline constexpr std::chrono::hours longest_overlap{30 * 24};

// ---- commands
problem of_text(std::string_view text); // that is kept or handed on: a script, a prompt, a name, a description
problem of_argument(std::string_view text);
problem of_program(std::string_view name); // the first of a list that is run without a shell
problem of_variable_name(std::string_view name);
problem of_variable(std::string_view name, std::string_view value); // whatever its name is
problem of_given(std::size_t bytes);                                // arguments and variables of one process
problem of_workdir(std::string_view path);
problem of_timeout(std::chrono::seconds wanted, std::chrono::seconds most);
// A good working directory, relative to the workspace.
std::string within_workspace(std::string_view path);

// ---- projects
problem of_project_id(std::string_view id);
problem of_label(std::string_view name);
problem of_repository(std::string_view url);

// ---- keys and webhooks
inline constexpr const char* two_ends = "give either expires_in or expires_at, not both";
problem of_bound_key(const scopes& granted); // of a key that is bound to projects
problem of_network(std::string_view text);
problem of_end(timestamp at, timestamp now);
// Of a key that ends at `end` (none: never); `most` = keys.max_lifetime, 0 = any.
problem of_lifetime(std::optional<timestamp> end, timestamp now, std::chrono::seconds most);
problem of_overlap(std::chrono::seconds wanted);

} // namespace rdev::rules
