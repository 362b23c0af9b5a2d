#include "adapters/json/node.hpp"

#include "messages/values/output.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace rdev::json {

namespace {

constexpr int deepest = 64;
// Nothing that rdev reads is larger, and a validator needs a while for each.
constexpr std::size_t most_items = 10000;
constexpr std::size_t most_members = 1000;
constexpr std::size_t longest_name = 256;
constexpr rapidjson::SizeType few_members = 16;
// Not kParseFullPrecisionFlag: RapidJSON 1.1 reads out of its tables for numbers with some hundred zeros. The plain way
// may miss the nearest double by its last bit.
constexpr unsigned parse_flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

// Depth is looked at before parsing: what the parser builds would be torn down recursively.
std::optional<std::size_t> too_deep_at(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > deepest)
        return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::nullopt;
}

std::string_view name_of(const rapidjson::Value::Member& member) {
  return {member.name.GetString(), member.name.GetStringLength()};
}

// The name that two members have.
std::optional<std::string> repeated_name(const rapidjson::Value& object) {
  const auto members = object.GetObject();
  if (object.MemberCount() <= few_members) { // looked through in less time than a set takes to be made
    for (auto a = members.begin(); a != members.end(); ++a)
      for (auto b = members.begin(); b != a; ++b)
        if (name_of(*a) == name_of(*b))
          return std::string(name_of(*a));
    return std::nullopt;
  }
  std::unordered_set<std::string_view> seen;
  for (const auto& member : members)
    if (!seen.insert(name_of(member)).second)
      return std::string(name_of(member));
  return std::nullopt;
}

// What the library lets pass: numbers beyond the largest, `\udc00` without its first half, which would become text that
// is no UTF-8, and two members of one name, which two readers would read as two different things.
std::optional<std::string> problem_within(const rapidjson::Value& node) {
  if (node.IsString() && !valid_utf8({node.GetString(), node.GetStringLength()}))
    return "holds half of a surrogate pair";
  if (node.IsDouble() && !std::isfinite(node.GetDouble()))
    return "holds a number that is too large";
  if (node.IsArray()) {
    if (node.Size() > most_items)
      return "has a list of more than " + std::to_string(most_items) + " items";
    for (const auto& item : node.GetArray())
      if (auto found = problem_within(item))
        return found;
  } else if (node.IsObject()) {
    if (node.MemberCount() > most_members)
      return "has an object of more than " + std::to_string(most_members) + " members";
    for (const auto& member : node.GetObject()) {
      if (member.name.GetStringLength() > longest_name)
        return "has a member whose name is longer than " + std::to_string(longest_name) + " bytes";
      if (auto found = problem_within(member.name))
        return found;
      if (auto found = problem_within(member.value))
        return found;
    }
    if (const auto name = repeated_name(node))
      return "has the member '" + *name + "' twice";
  }
  return std::nullopt;
}

} // namespace

std::optional<parse_error> parse_into(rapidjson::Document& into, std::string_view text) {
  if (const auto at = too_deep_at(text))
    return parse_error{*at, "is nested deeper than " + std::to_string(deepest) + " levels"};
  // The library takes a NUL for the end of the text and would not see what stands behind it.
  if (const auto at = text.find('\0'); at != std::string_view::npos)
    return parse_error{at, "holds a NUL character"};
  into.Parse<parse_flags>(text.data(), text.size());
  if (into.HasParseError())
    return parse_error{into.GetErrorOffset(), rapidjson::GetParseError_En(into.GetParseError())};
  if (auto problem = problem_within(into))
    return parse_error{std::nullopt, std::move(*problem)};
  return std::nullopt;
}

std::variant<value, parse_error> parse(std::string_view text) {
  auto document = std::make_shared<rapidjson::Document>();
  if (auto wrong = parse_into(*document, text))
    return std::move(*wrong);
  const auto* root = document.get();
  return value(std::make_shared<const value::impl>(value::impl{std::move(document), root}));
}

value::value() = default;
value::value(std::shared_ptr<const impl> p) : impl_(std::move(p)) {
}

bool value::exists() const {
  return impl_ != nullptr;
}
bool value::is_null() const {
  return impl_ && impl_->node->IsNull();
}
bool value::is_object() const {
  return impl_ && impl_->node->IsObject();
}
bool value::is_array() const {
  return impl_ && impl_->node->IsArray();
}
bool value::is_string() const {
  return impl_ && impl_->node->IsString();
}
bool value::is_boolean() const {
  return impl_ && impl_->node->IsBool();
}
bool value::is_integer() const {
  return impl_ && impl_->node->IsInt64();
}
bool value::is_number() const {
  return impl_ && impl_->node->IsNumber();
}

value value::operator[](std::string_view member) const {
  if (!is_object())
    return {};
  const rapidjson::Value name(member.empty() ? "" : member.data(), static_cast<rapidjson::SizeType>(member.size()));
  const auto found = impl_->node->FindMember(name);
  if (found == impl_->node->MemberEnd())
    return {};
  return value(std::make_shared<const impl>(impl{impl_->document, &found->value}));
}

value value::at(std::size_t i) const {
  if (!is_array() || i >= impl_->node->Size())
    return {};
  return value(
      std::make_shared<const impl>(impl{impl_->document, &(*impl_->node)[static_cast<rapidjson::SizeType>(i)]}));
}

std::size_t value::size() const {
  if (is_array())
    return impl_->node->Size();
  return is_object() ? impl_->node->MemberCount() : 0;
}

std::vector<std::string> value::members() const {
  std::vector<std::string> out;
  if (is_object())
    for (const auto& m : impl_->node->GetObject())
      out.emplace_back(m.name.GetString(), m.name.GetStringLength());
  return out;
}

std::string_view value::as_string() const {
  return is_string() ? std::string_view(impl_->node->GetString(), impl_->node->GetStringLength()) : std::string_view{};
}
std::int64_t value::as_integer() const {
  return is_integer() ? impl_->node->GetInt64() : 0;
}
double value::as_number() const {
  return is_number() ? impl_->node->GetDouble() : 0;
}
bool value::as_boolean() const {
  return is_boolean() && impl_->node->GetBool();
}

std::string value::text() const {
  if (!impl_)
    return {};
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> out(buffer);
  impl_->node->Accept(out);
  return {buffer.GetString(), buffer.GetSize()};
}

} // namespace rdev::json
