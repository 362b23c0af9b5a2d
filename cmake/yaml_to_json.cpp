// Build step: a YAML file as JSON, embedded in a C++ file. usage: yaml_to_json IN OUT
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <iostream>

namespace {

void quote(std::ostream& out, const std::string& s) {
  out << '"';
  for (const char c : s) {
    if (c == '"' || c == '\\')
      out << '\\' << c;
    else if (c == '\n')
      out << "\\n";
    else
      out << c;
  }
  out << '"';
}

// A plain scalar is a number, a boolean or null if it reads like one; a quoted one (tag `!`) is always a string.
void scalar(std::ostream& out, const YAML::Node& node) {
  const auto& text = node.Scalar();
  long long number = 0;
  bool truth = false;
  if (node.Tag() != "!" && YAML::convert<long long>::decode(node, number) &&
      text.find_first_not_of("-0123456789") == std::string::npos)
    out << number;
  else if (node.Tag() != "!" && (text == "true" || text == "false") && YAML::convert<bool>::decode(node, truth))
    out << (truth ? "true" : "false");
  else
    quote(out, text);
}

void write(std::ostream& out, const YAML::Node& node) {
  const char* comma = "";
  if (node.IsMap()) {
    out << '{';
    for (const auto& member : node) {
      out << comma;
      quote(out, member.first.Scalar());
      out << ':';
      write(out, member.second);
      comma = ",";
    }
    out << '}';
  } else if (node.IsSequence()) {
    out << '[';
    for (const auto& item : node) {
      out << comma;
      write(out, item);
      comma = ",";
    }
    out << ']';
  } else if (node.IsNull()) {
    out << "null";
  } else {
    scalar(out, node);
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return 2;
  try {
    const auto document = YAML::LoadFile(argv[1]);
    std::ofstream out(argv[2]);
    out << "#include \"adapters/http/openapi.hpp\"\n\nnamespace rdev::http {\n\nconst std::string_view openapi_json = "
           "R\"rdev_api(";
    write(out, document);
    out << ")rdev_api\";\n\n} // namespace rdev::http\n";
    return out ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << argv[1] << ": " << e.what() << '\n';
    return 1;
  }
}
