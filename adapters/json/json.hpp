// JSON without library types: a writer, a read-only tree, and schema validation. The library stays in this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rdev::json {

// Writes compact JSON (no blank after a colon) into a string of its own. Strings must be valid UTF-8; invalid bytes
// become U+FFFD.
class writer {
public:
  writer();
  ~writer();
  writer(writer&&) noexcept;
  writer& operator=(writer&&) noexcept;
  writer& begin_object();
  writer& end_object();
  writer& begin_array();
  writer& end_array();
  writer& key(std::string_view name);
  writer& string(std::string_view v);
  // The same for text that is known to be valid UTF-8.
  writer& valid_string(std::string_view v);
  writer& integer(std::int64_t v);
  writer& unsigned_integer(std::uint64_t v);
  writer& number(double v);
  writer& boolean(bool v);
  writer& null();
  // A value that is JSON already.
  writer& raw(std::string_view json);
  // What has been written; the writer is empty afterwards.
  std::string take();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

struct parse_error {
  std::optional<std::size_t> offset; // none: it is JSON, but not of a kind that is taken
  std::string problem;
};

// A node of a parsed document; cheap to copy, keeps the document alive.
class value {
public:
  value();
  [[nodiscard]] bool exists() const; // false: no such member
  [[nodiscard]] bool is_null() const;
  [[nodiscard]] bool is_object() const;
  [[nodiscard]] bool is_array() const;
  [[nodiscard]] bool is_string() const;
  [[nodiscard]] bool is_boolean() const;
  [[nodiscard]] bool is_integer() const;
  [[nodiscard]] bool is_number() const;
  [[nodiscard]] value operator[](std::string_view member) const;
  [[nodiscard]] value at(std::size_t i) const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::vector<std::string> members() const;
  // Empty view, 0 or false when the node is of another type.
  [[nodiscard]] std::string_view as_string() const;
  [[nodiscard]] std::int64_t as_integer() const;
  [[nodiscard]] double as_number() const;
  [[nodiscard]] bool as_boolean() const;
  [[nodiscard]] std::string text() const;
  // The one text for this value that RFC 8785 (JSON Canonicalization Scheme) allows. Of numbers that are no integers
  // the last digit may be another: parse() does not always give the nearest double.
  [[nodiscard]] std::string canonical() const;

  struct impl;
  explicit value(std::shared_ptr<const impl> p);

private:
  std::shared_ptr<const impl> impl_;
};

// Adds a string of valid UTF-8 in quotes, as RFC 8785 writes it.
void add_canonical_string(std::string& to, std::string_view v);
// The canonical form of a text. False: parse() does not take it; nothing was added.
bool add_canonical(std::string& to, std::string_view text);

// Refuses depth over 64, lists over 10000 items, objects over 1000 members, invalid UTF-8 and trailing text; never
// recurses over the input.
std::variant<value, parse_error> parse(std::string_view text);

struct schema_problem {
  std::string field; // `command`, `env.NAME`, `scopes[2]`; empty = the body itself
  std::string problem;
};

// A compiled JSON schema (draft 4 as OpenAPI 3.0 uses it). Thread-safe once built.
class schema {
public:
  // `document` is an OpenAPI document, `pointer` the place of the schema in it (`/components/schemas/ShellRequest`);
  // local `$ref`s are followed. Throws std::invalid_argument for a schema that cannot be compiled: a bug of ours.
  schema(const value& document, std::string_view pointer);
  ~schema();
  schema(schema&&) noexcept;
  schema& operator=(schema&&) noexcept;
  // All problems at once; empty = valid.
  [[nodiscard]] std::vector<schema_problem> problems_of(const value& instance) const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace rdev::json
