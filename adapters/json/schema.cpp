#include "adapters/json/node.hpp"

#include "messages/values/output.hpp"

#include <valijson/adapters/rapidjson_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include <rapidjson/pointer.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

namespace rdev::json {

namespace {

constexpr std::size_t most_problems = 100; // that are told at once

using valijson::adapters::RapidJsonAdapter;

// OpenAPI 3.0 says `nullable: true` where JSON schema lists the type `null`.
void translate_nullable(rapidjson::Value& node, rapidjson::Document::AllocatorType& alloc) {
  if (node.IsArray())
    for (auto& item : node.GetArray())
      translate_nullable(item, alloc);
  if (!node.IsObject())
    return;
  for (auto& member : node.GetObject())
    translate_nullable(member.value, alloc);
  const auto nullable = node.FindMember("nullable");
  const auto type = node.FindMember("type");
  if (nullable == node.MemberEnd() || !nullable->value.IsBool() || !nullable->value.GetBool() ||
      type == node.MemberEnd() || !type->value.IsString())
    return;
  rapidjson::Value both(rapidjson::kArrayType);
  both.PushBack(rapidjson::Value(type->value, alloc), alloc);
  both.PushBack(rapidjson::Value("null", alloc), alloc);
  type->value = both;
}

// std::regex recurses over the text it searches: a long one would overflow the stack. No text that a pattern of ours
// takes is as long as this, so a longer one is shown to the patterns by its beginning only.
constexpr std::size_t longest_for_patterns = 1024;

void remove_patterns(rapidjson::Value& node) {
  if (node.IsArray())
    for (auto& item : node.GetArray())
      remove_patterns(item);
  if (!node.IsObject())
    return;
  if (const auto pattern = node.FindMember("pattern"); pattern != node.MemberEnd() && pattern->value.IsString())
    node.RemoveMember(pattern);
  for (auto& member : node.GetObject())
    remove_patterns(member.value);
}

// Cuts long texts; answers whether there were any.
bool shorten(rapidjson::Value& node, rapidjson::Document::AllocatorType& alloc) {
  bool any = false;
  if (node.IsArray())
    for (auto& item : node.GetArray())
      any = shorten(item, alloc) || any;
  if (node.IsObject())
    for (auto& member : node.GetObject())
      any = shorten(member.value, alloc) || any;
  if (!node.IsString() || node.GetStringLength() <= longest_for_patterns)
    return any;
  std::string text(node.GetString(), longest_for_patterns);
  while (!valid_utf8(text))
    text.pop_back();
  node.SetString(text.data(), static_cast<rapidjson::SizeType>(text.size()), alloc);
  return true;
}

// The part of `node` that one step of a problem's context leads to: `[env]`, `[2]`; null: there is none.
const rapidjson::Value* part_of(const rapidjson::Value* node, const std::string& step) {
  const auto name = step.substr(1, step.size() - 2);
  if (node == nullptr || !(node->IsArray() || node->IsObject()))
    return nullptr;
  if (node->IsArray()) {
    const auto at = std::strtoul(name.c_str(), nullptr, 10);
    return at < node->Size() ? &(*node)[static_cast<rapidjson::SizeType>(at)] : nullptr;
  }
  const rapidjson::Value key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  const auto found = node->FindMember(key);
  return found != node->MemberEnd() ? &found->value : nullptr;
}

// `<root>[env][A]` or `<root>[scopes][2]` becomes `env.A` or `scopes[2]`.
std::string field_of(const std::vector<std::string>& context, const rapidjson::Value& instance) {
  std::string out;
  const auto* node = &instance;
  for (std::size_t i = 1; i < context.size(); ++i) {
    const auto& step = context[i];
    if (node != nullptr && node->IsArray())
      out += step;
    else
      out += (out.empty() ? "" : ".") + step.substr(1, step.size() - 2);
    node = part_of(node, step);
  }
  return out;
}

// An echo only says that something further down failed, which has a line of its own.
bool is_echo(std::string_view text) {
  constexpr std::array echoes{"Failed to validate against schema associated with property name",
                              "Failed to validate item #", "Failed to validate against child schema #",
                              "Failed to validate against additional properties schema"};
  return std::any_of(echoes.begin(), echoes.end(),
                     [&](const char* echo) { return text.find(echo) != std::string_view::npos; });
}

// "Missing required property 'x'." names the field only in its text.
std::optional<std::string> name_behind(const std::string& text, std::string_view beginning) {
  const auto found = text.find(beginning);
  const auto last = text.rfind('\'');
  if (found == std::string::npos || last == std::string::npos || last < found + beginning.size())
    return std::nullopt;
  return text.substr(found + beginning.size(), last - found - beginning.size());
}

// The part of the schema that a problem is about: what it allows is what the client wants to know.
class explainer {
public:
  explicit explainer(const rapidjson::Value& document) : document_(document) {
  }

  const rapidjson::Value* part_at(const rapidjson::Value* node, const std::vector<std::string>& context) const {
    for (std::size_t i = 1; node != nullptr && i < context.size(); ++i) {
      node = resolved(node);
      const auto name = context[i].substr(1, context[i].size() - 2);
      const auto* properties = member(node, "properties");
      const auto* next = properties != nullptr ? member(properties, name.c_str()) : nullptr;
      if (next == nullptr)
        next = member(node, "items");
      node = next != nullptr ? next : member(node, "additionalProperties");
    }
    return node == nullptr ? nullptr : resolved(node);
  }

  // The members of `instance` that its schema does not know. The validator names only the first of them.
  static std::vector<std::string> strangers(const rapidjson::Value& part, const rapidjson::Value& instance) {
    std::vector<std::string> out;
    const auto* properties = member(&part, "properties");
    for (const auto& m : instance.GetObject())
      if (properties == nullptr || properties->FindMember(m.name) == properties->MemberEnd())
        out.emplace_back(m.name.GetString(), m.name.GetStringLength());
    return out;
  }

  static std::string allowed_by(const rapidjson::Value& part) {
    if (const auto* values = member(&part, "enum"); values != nullptr && values->IsArray()) {
      std::string out = "must be one of";
      for (const auto& v : values->GetArray())
        if (v.IsString())
          out += std::string(out.ends_with("of") ? " " : ", ") + v.GetString();
      return out;
    }
    const auto* description = member(&part, "description");
    const auto* type = member(&part, "type");
    if (description == nullptr && type != nullptr && type->IsString())
      return std::string("must be of type ") + type->GetString();
    return description != nullptr && description->IsString() ? std::string("must be: ") + description->GetString() : "";
  }

private:
  static const rapidjson::Value* member(const rapidjson::Value* node, const char* name) {
    if (node == nullptr || !node->IsObject())
      return nullptr;
    const auto found = node->FindMember(name);
    return found == node->MemberEnd() ? nullptr : &found->value;
  }
  const rapidjson::Value* resolved(const rapidjson::Value* node) const {
    const auto* reference = member(node, "$ref");
    if (reference == nullptr || !reference->IsString())
      return node;
    return rapidjson::Pointer(reference->GetString()).Get(document_);
  }

  const rapidjson::Value& document_;
};

// The part of the instance that a problem is about.
const rapidjson::Value* instance_at(const rapidjson::Value& instance, const std::vector<std::string>& context) {
  const auto* node = &instance;
  for (std::size_t i = 1; node != nullptr && i < context.size(); ++i)
    node = part_of(node, context[i]);
  return node;
}

std::vector<schema_problem> problems_in(const valijson::ValidationResults::Error& error, const explainer& why,
                                        const rapidjson::Value* root, const rapidjson::Value& instance) {
  const auto field = field_of(error.context, instance);
  const auto within = [&](const std::string& name) { return field.empty() ? name : field + "." + name; };
  const auto* part = why.part_at(root, error.context);
  if (error.description.find("'additionalProperties' constraints: '") != std::string::npos) {
    const auto* node = instance_at(instance, error.context);
    std::vector<schema_problem> out;
    if (part != nullptr && node != nullptr && node->IsObject())
      for (const auto& name : explainer::strangers(*part, *node))
        out.push_back({within(name), "is not a field of this request: remove it"});
    return out;
  }
  if (const auto name = name_behind(error.description, "Missing required property '"))
    return {{within(*name), "is required"}};
  const auto allowed = part != nullptr ? explainer::allowed_by(*part) : std::string{};
  if (allowed.empty() && error.description.starts_with("Value type not permitted"))
    return {{field, "is of another type than is taken here"}};
  return {{field, allowed.empty() ? error.description : allowed}};
}

} // namespace

namespace {

// References point from the document's root, so a part is compiled as a document that refers to itself.
void compile(const rapidjson::Document& document, const std::string& path, valijson::Schema& out) {
  rapidjson::Document root;
  root.CopyFrom(document, root.GetAllocator());
  rapidjson::Value reference(rapidjson::kArrayType);
  rapidjson::Value one(rapidjson::kObjectType);
  const auto ref = "#" + path;
  one.AddMember("$ref", rapidjson::Value(ref.c_str(), root.GetAllocator()), root.GetAllocator());
  reference.PushBack(one, root.GetAllocator());
  root.AddMember("allOf", reference, root.GetAllocator());
  try {
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft4);
    parser.populateSchema(RapidJsonAdapter(root), out);
  } catch (const std::exception& e) {
    throw std::invalid_argument("schema at " + path + ": " + e.what());
  }
}

} // namespace

struct schema::impl {
  rapidjson::Document document;
  std::string pointer;
  valijson::Schema compiled;
  valijson::Schema without_patterns;

  // Adds what is wrong with `instance` to `out`, one problem for each field.
  void collect(const valijson::Schema& by, const rapidjson::Document& instance,
               std::vector<schema_problem>& out) const {
    valijson::Validator validator(valijson::Validator::kStrongTypes);
    valijson::ValidationResults results;
    if (validator.validate(by, RapidJsonAdapter(instance), &results))
      return;
    const explainer why(document);
    const auto* root = rapidjson::Pointer(pointer.c_str()).Get(document);
    valijson::ValidationResults::Error error;
    while (out.size() < most_problems && results.popError(error)) {
      if (is_echo(error.description))
        continue;
      for (auto& problem : problems_in(error, why, root, instance)) {
        const bool known = std::any_of(out.begin(), out.end(), [&](const auto& p) { return p.field == problem.field; });
        if (!known)
          out.push_back(std::move(problem));
      }
    }
    if (out.empty())
      out.push_back({"", "does not fit the schema of this request"});
  }
};

schema::schema(const value& document, std::string_view pointer) : impl_(std::make_unique<impl>()) {
  const auto text = document.text();
  impl_->document.Parse(text.data(), text.size());
  translate_nullable(impl_->document, impl_->document.GetAllocator());
  impl_->pointer = pointer;
  if (rapidjson::Pointer(impl_->pointer.c_str()).Get(impl_->document) == nullptr)
    throw std::invalid_argument("no schema at " + impl_->pointer);
  compile(impl_->document, impl_->pointer, impl_->compiled);
  rapidjson::Document plain;
  plain.CopyFrom(impl_->document, plain.GetAllocator());
  remove_patterns(plain);
  compile(plain, impl_->pointer, impl_->without_patterns);
}

schema::~schema() = default;
schema::schema(schema&&) noexcept = default;
schema& schema::operator=(schema&&) noexcept = default;

std::vector<schema_problem> schema::problems_of(const value& instance) const {
  const auto text = instance.text();
  rapidjson::Document whole;
  whole.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  rapidjson::Document shortened;
  shortened.CopyFrom(whole, shortened.GetAllocator());
  std::vector<schema_problem> out;
  if (shorten(shortened, shortened.GetAllocator()))
    impl_->collect(impl_->without_patterns, whole, out);
  impl_->collect(impl_->compiled, shortened, out);
  return out;
}

} // namespace rdev::json
