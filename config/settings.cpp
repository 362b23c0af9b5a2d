#include "config/settings.hpp"

#include "config/keys.hpp"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace rdev::config {

namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    out.emplace_back(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return out;
}

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const auto& item : items)
    out += (&item == items.data() ? "" : ",") + item;
  return out;
}

std::string variable_of(const std::string& key) {
  std::string out = "RDEV_";
  for (const char c : key)
    out += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::string nearest(std::string_view wrong, const std::vector<std::string>& names) {
  return *std::min_element(names.begin(), names.end(),
                           [&](const auto& a, const auto& b) { return distance(wrong, a) < distance(wrong, b); });
}

class loader {
public:
  explicit loader(const inputs& in) : in_(in) {
  }

  std::variant<settings, std::vector<std::string>> load() {
    read_toml(default_file, "the built-in defaults");
    if (in_.file)
      read_file(*in_.file);
    read_environment();
    for (const auto& [key, value] : in_.flags)
      set(key, value, "the command line");
    check_together();
    if (in_.judge)
      for (auto& one : in_.judge(out_))
        problem(std::move(one));
    if (!problems_.empty())
      return problems_;
    for (const auto& [key, text] : effective_)
      out_.effective.append(key).append(" = ").append(text).append("\n");
    return std::move(out_);
  }

private:
  using items = std::vector<std::string>;
  using given = std::variant<std::string, items>;

  void set(const std::string& key, const given& value, const std::string& source) {
    const auto known = std::find_if(all_keys().begin(), all_keys().end(), [&](const auto& k) { return k.name == key; });
    if (known == all_keys().end())
      return problem(key + " (" + source + "): there is no such setting; did you mean " + nearest(key, known_keys()) +
                     "?");
    const auto* list = std::get_if<items>(&value);
    const auto text = list != nullptr ? joined(*list) : std::get<std::string>(value);
    std::string wrong;
    if (const auto* set_list = std::get_if<list_setter>(&known->set))
      wrong = (*set_list)(out_, list != nullptr ? *list : split(text));
    else
      wrong = list != nullptr ? "must be one value, not a list" : std::get<setter>(known->set)(out_, text);
    if (!wrong.empty())
      problem(key + " (" + source + "): '" + text + "' " + wrong);
    effective_[key] = text;
  }

  void problem(std::string text) {
    problems_.push_back(std::move(text));
  }

  void read_file(const std::string& path) {
    std::ifstream file(path);
    if (!file || std::filesystem::is_directory(path))
      return problem("--config: cannot read " + path);
    std::ostringstream all;
    all << file.rdbuf();
    read_toml(all.str(), path);
  }

  void read_toml(std::string_view toml_text, const std::string& source) {
    const auto parsed = toml::parse(toml_text);
    if (!parsed)
      return problem(source + ": line " + std::to_string(parsed.error().source().begin.line) + ": " +
                     std::string(parsed.error().description()));
    read_table(parsed.table(), "", source);
  }

  void read_table(const toml::table& part, const std::string& prefix, const std::string& source) {
    for (const auto& [key, node] : part) {
      const auto name = prefix + std::string(key.str());
      if (const auto* below = node.as_table())
        read_table(*below, name + ".", source);
      else if (const auto value = value_of(node))
        set(name, *value, source);
      else
        problem(name + " (" + source + "): has a type that no setting has");
    }
  }

  static std::optional<std::string> text_of(const toml::node& node) {
    if (const auto* s = node.as_string())
      return s->get();
    if (const auto* n = node.as_integer())
      return std::to_string(n->get());
    if (const auto* b = node.as_boolean())
      return b->get() ? "true" : "false";
    return std::nullopt;
  }

  static std::optional<given> value_of(const toml::node& node) {
    const auto* array = node.as_array();
    if (array == nullptr) {
      auto text = text_of(node);
      return text ? std::optional<given>(std::move(*text)) : std::nullopt;
    }
    items out;
    for (const auto& item : *array) {
      auto one = text_of(item);
      if (!one)
        return std::nullopt;
      out.push_back(std::move(*one));
    }
    return given(std::move(out));
  }

  void read_environment() {
    std::map<std::string, std::string> by_variable;
    for (const auto& key : known_keys())
      by_variable[variable_of(key)] = key;
    if (const auto rps = in_.environment.find("RATE_LIMIT_RPS"); rps != in_.environment.end())
      set("limits.rps", rps->second, "RATE_LIMIT_RPS");
    if (const auto file = in_.environment.find("KUBECONFIG"); file != in_.environment.end())
      set("kubernetes.kubeconfig", file->second, "KUBECONFIG");
    for (const auto& [name, value] : in_.environment) {
      if (const auto known = by_variable.find(name); known != by_variable.end())
        set(known->second, value, name);
      else if (looks_like_ours(name))
        problem(name + ": there is no such setting; did you mean " + variable_of(nearest_of(name)) + "?");
    }
    read_secrets();
  }

  static std::string nearest_of(const std::string& variable) {
    auto keys = known_keys();
    return *std::min_element(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
      return distance(variable, variable_of(a)) < distance(variable, variable_of(b));
    });
  }

  // Only names that begin like a section: other programs have variables of the same family.
  static bool looks_like_ours(const std::string& name) {
    for (const auto& key : known_keys())
      if (name.starts_with(variable_of(key.substr(0, key.find('.'))) + "_"))
        return true;
    return false;
  }

  void read_secrets() {
    const auto get = [&](const char* name) {
      const auto found = in_.environment.find(name);
      return found == in_.environment.end() ? std::string{} : found->second;
    };
    out_.database.url = secret(get("DATABASE_URL"));
    if (out_.database.url.empty() && !get("DB_HOST").empty())
      out_.database.url = secret(conninfo(get));
    out_.secrets_keys = secret(get("RDEV_SECRETS_KEYS"));
    out_.key_pepper = secret(get("RDEV_KEY_PEPPER"));
    const auto admin = get("RDEV_ADMIN_KEY");
    const bool printable = std::all_of(admin.begin(), admin.end(), [](char c) { return c >= 32 && c <= 126; });
    const bool trimmed =
        admin.empty() || (admin.front() != ' ' && admin.back() != ' '); // a header could not carry them
    if (!admin.empty() && (admin.size() < 32 || admin.size() > 256 || !printable || !trimmed))
      problem("RDEV_ADMIN_KEY: must be 32 to 256 printable characters, without a blank at its ends");
    out_.admin_key = secret(admin);
    if (!out_.database.url.empty() && out_.secrets_keys.empty())
      problem("RDEV_SECRETS_KEYS: is needed with DATABASE_URL; make one with: echo \"k1:$(openssl rand -base64 32)\"");
  }

  template <class Get>
  static std::string conninfo(const Get& get) {
    std::string out;
    const std::pair<const char*, const char*> parts[] = {{"host", "DB_HOST"},
                                                         {"port", "DB_PORT"},
                                                         {"user", "DB_USER"},
                                                         {"password", "DB_PASSWORD"},
                                                         {"dbname", "DB_NAME"}};
    for (const auto& [keyword, variable] : parts) {
      const auto value = get(variable);
      if (value.empty())
        continue;
      out += std::string(out.empty() ? "" : " ") + keyword + "='";
      for (const char c : value)
        out += (c == '\'' || c == '\\') ? std::string("\\") + c : std::string(1, c);
      out += "'";
    }
    return out;
  }

  void check_together() {
    if (out_.leases.lease < 2 * out_.leases.renew)
      problem("leases.lease: must be at least twice leases.renew");
    if (out_.commands.default_timeout > out_.commands.max_timeout)
      problem("commands.default_timeout: must not be above commands.max_timeout");
    if (out_.lockout.first_ban > out_.lockout.longest_ban)
      problem("lockout.first_ban: must not be above lockout.longest_ban");
    if (out_.claude.argv.empty() || out_.claude.argv.front().empty())
      problem("claude.argv: must name a program");
    auto host = out_.server.listen.substr(0, out_.server.listen.rfind(':'));
    if (host.size() > 2 && host.front() == '[')
      host = host.substr(1, host.size() - 2);
    const auto address = ip_address::parse(host);
    const bool loopback = host == "localhost" || (address && (ip_network::parse("127.0.0.0/8")->contains(*address) ||
                                                              ip_network::parse("::1")->contains(*address)));
    if (!loopback && out_.runner.kind == "local" && !out_.runner.local.allow_network)
      problem("server.listen: the local runner lets every key with projects:execute run programs on this machine; to "
              "listen "
              "beyond loopback all the same set runner.local.allow_network = true");
    if (out_.server.data_dir.empty())
      out_.server.data_dir = default_data_dir();
    for (auto* place : {&out_.server.data_dir, &out_.runner.local.dir})
      if (!place->empty())
        *place = std::filesystem::absolute(*place).lexically_normal().string();
    if (out_.server.node.empty())
      out_.server.node = host_name();
  }

  std::string default_data_dir() {
    if (::geteuid() == 0)
      return "/var/lib/rdev";
    const auto state = in_.environment.find("XDG_STATE_HOME");
    if (state != in_.environment.end() && !state->second.empty())
      return state->second + "/rdev";
    const auto home = in_.environment.find("HOME");
    if (home != in_.environment.end() && !home->second.empty())
      return home->second + "/.local/state/rdev";
    problem("server.data_dir: must be given, since HOME is not set");
    return {};
  }

  static std::string host_name() {
    char name[256] = {};
    return ::gethostname(name, sizeof name - 1) == 0 ? name : "node";
  }

  const inputs& in_;
  settings out_;
  std::map<std::string, std::string> effective_; // by key, as it was given last
  std::vector<std::string> problems_;
};

} // namespace

std::variant<settings, std::vector<std::string>> load(const inputs& in) {
  return loader(in).load();
}

std::vector<std::string> known_keys() {
  std::vector<std::string> out;
  for (const auto& k : all_keys())
    out.push_back(k.name);
  return out;
}

} // namespace rdev::config
