#include "adapters/json/node.hpp"

#include <valijson/adapters/rapidjson_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include <rapidjson/pointer.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace rdev::json {

namespace {

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
  if (nullable == node.MemberEnd() || !nullable->value.IsBool() || !nullable->value.GetBool() || type == node.MemberEnd() ||
      !type->value.IsString())
    return;
  rapidjson::Value both(rapidjson::kArrayType);
  both.PushBack(rapidjson::Value(type->value, alloc), alloc);
  both.PushBack(rapidjson::Value("null", alloc), alloc);
  type->value = both;
}

// `<root>[env][A]` or `<root>[scopes][2]` becomes `env.A` or `scopes[2]`.
std::string field_of(const std::vector<std::string>& context) {
  std::string out;
  for (std::size_t i = 1; i < context.size(); ++i) {
    auto part = context[i];
    if (part.size() >= 2 && part.front() == '[' && part.back() == ']')
      part = part.substr(1, part.size() - 2);
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number)
      out += "[" + part + "]";
    else
      out += (out.empty() ? "" : ".") + part;
  }
  return out;
}

// An echo only says that something further down failed, which has a line of its own.
bool is_echo(std::string_view text) {
  constexpr std::array echoes{"Failed to validate against schema associated with property name", "Failed to validate item #",
                              "Failed to validate against child schema #",
                              "Failed to validate against additional properties schema"};
  return std::any_of(echoes.begin(), echoes.end(),
                     [&](const char* echo) { return text.find(echo) != std::string_view::npos; });
}

// "… constraints: 'x'." names the field only in its text.
std::optional<std::string> quoted_name(const std::string& text) {
  const auto last = text.rfind('\'');
  const auto first = last == std::string::npos || last == 0 ? std::string::npos : text.rfind('\'', last - 1);
  if (first == std::string::npos)
    return std::nullopt;
  return text.substr(first + 1, last - first - 1);
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

  static std::string allowed_by(const rapidjson::Value& part) {
    if (const auto* values = member(&part, "enum"); values != nullptr && values->IsArray()) {
      std::string out = "must be one of";
      for (const auto& v : values->GetArray())
        if (v.IsString())
          out += std::string(out.ends_with("of") ? " " : ", ") + v.GetString();
      return out;
    }
    const auto* description = member(&part, "description");
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

schema_problem problem_of(const valijson::ValidationResults::Error& error, const explainer& why, const rapidjson::Value* root) {
  schema_problem out{field_of(error.context), error.description};
  const auto within = [&](const std::string& name) { return out.field.empty() ? name : out.field + "." + name; };
  const auto name = quoted_name(error.description);
  if (name && error.description.find("could not be validated") != std::string::npos)
    return {within(*name), "is not a field of this request: remove it"};
  if (name && error.description.find("Missing required property") != std::string::npos)
    return {within(*name), "is required"};
  const auto* part = why.part_at(root, error.context);
  const auto allowed = part != nullptr ? explainer::allowed_by(*part) : std::string{};
  if (!allowed.empty())
    out.problem = allowed;
  return out;
}

} // namespace

struct schema::impl {
  rapidjson::Document document;
  valijson::Schema compiled;
  std::string pointer;
};

schema::schema(const value& document, std::string_view pointer) : impl_(std::make_unique<impl>()) {
  const auto text = document.text();
  impl_->document.Parse(text.data(), text.size());
  translate_nullable(impl_->document, impl_->document.GetAllocator());
  const std::string path(pointer);
  impl_->pointer = path;
  const auto* part = rapidjson::Pointer(path.c_str()).Get(impl_->document);
  if (part == nullptr)
    throw std::invalid_argument("no schema at " + path);
  // References point from the document's root, so the part is compiled as a document that refers to itself.
  rapidjson::Document root;
  root.CopyFrom(impl_->document, root.GetAllocator());
  rapidjson::Value reference(rapidjson::kArrayType);
  rapidjson::Value one(rapidjson::kObjectType);
  const auto ref = "#" + path;
  one.AddMember("$ref", rapidjson::Value(ref.c_str(), root.GetAllocator()), root.GetAllocator());
  reference.PushBack(one, root.GetAllocator());
  root.AddMember("allOf", reference, root.GetAllocator());
  try {
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft4);
    parser.populateSchema(RapidJsonAdapter(root), impl_->compiled);
  } catch (const std::exception& e) {
    throw std::invalid_argument("schema at " + path + ": " + e.what());
  }
}

schema::~schema() = default;
schema::schema(schema&&) noexcept = default;
schema& schema::operator=(schema&&) noexcept = default;

std::vector<schema_problem> schema::problems_of(const value& instance) const {
  rapidjson::Document copy;
  const auto text = instance.text();
  copy.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  std::vector<schema_problem> out;
  if (validator.validate(impl_->compiled, RapidJsonAdapter(copy), &results))
    return out;
  const explainer why(impl_->document);
  const auto* root = rapidjson::Pointer(impl_->pointer.c_str()).Get(impl_->document);
  valijson::ValidationResults::Error error;
  while (results.popError(error)) {
    if (is_echo(error.description))
      continue;
    auto problem = problem_of(error, why, root);
    const bool known = std::any_of(out.begin(), out.end(), [&](const auto& p) { return p.field == problem.field; });
    if (!known)
      out.push_back(std::move(problem));
  }
  if (out.empty())
    out.push_back({"", "does not fit the schema of this request"});
  return out;
}

} // namespace rdev::json
