#include "adapters/kubernetes/access.hpp"

#include "adapters/crypto.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace rdev::kubernetes {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t largest_file = 1024 * 1024;

failure wrong(const std::string& what) {
  return {fault::invalid, "kubeconfig: " + what};
}

result<std::string> read_file(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error)
    return failure{fault::invalid, "cannot read " + path + ": " + error.message()};
  if (size > largest_file)
    return failure{fault::invalid, path + " is larger than 1 MiB"};
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file)
    return failure{fault::invalid, "cannot read " + path};
  return text.str();
}

std::string without_blanks(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  return text;
}

std::string text_of(const YAML::Node& node, const char* key) {
  const auto child = node[key];
  return child && child.IsScalar() ? child.Scalar() : std::string{};
}

// The named entry of a list such as `users`, whose content is under `inner`.
std::optional<YAML::Node> entry(const YAML::Node& all, const char* list, const char* inner, const std::string& name) {
  if (const auto& entries = all[list]; entries && entries.IsSequence())
    for (const auto& one : entries)
      if (one.IsMap() && text_of(one, "name") == name && one[inner] && one[inner].IsMap())
        return one[inner];
  return std::nullopt;
}

class reader {
public:
  explicit reader(std::string folder) : folder_(std::move(folder)) {
  }

  result<cluster_access> read(const YAML::Node& all, std::string context_name) {
    if (!all.IsMap())
      return wrong("it is no YAML map");
    if (context_name.empty())
      context_name = text_of(all, "current-context");
    if (context_name.empty())
      return wrong("it has no current-context: set kubernetes.context to one of its contexts");
    const auto context = entry(all, "contexts", "context", context_name);
    if (!context)
      return wrong("there is no context '" + context_name + "'");
    const auto cluster_name = text_of(*context, "cluster");
    const auto user_name = text_of(*context, "user");
    const auto cluster = entry(all, "clusters", "cluster", cluster_name);
    if (!cluster)
      return wrong("context '" + context_name + "' names the cluster '" + cluster_name + "', which is not there");
    out_.given_namespace = text_of(*context, "namespace");
    read_cluster(*cluster, cluster_name);
    if (user_name.empty())
      return finish();
    const auto user = entry(all, "users", "user", user_name);
    if (!user)
      return wrong("context '" + context_name + "' names the user '" + user_name + "', which is not there");
    read_user(*user, user_name);
    return finish();
  }

private:
  result<cluster_access> finish() {
    if (problem_)
      return wrong(*problem_);
    return std::move(out_);
  }

  void complain(const std::string& what) {
    if (!problem_)
      problem_ = what;
  }

  void read_cluster(const YAML::Node& cluster, const std::string& name) {
    if (text_of(cluster, "insecure-skip-tls-verify") == "true")
      return complain("cluster '" + name +
                      "' has insecure-skip-tls-verify: rdev always checks the server's certificate; give "
                      "certificate-authority-data instead");
    for (const char* key : {"tls-server-name", "proxy-url"})
      if (!text_of(cluster, key).empty())
        return complain("cluster '" + name + "' has " + key + ", which rdev does not support");
    read_server(text_of(cluster, "server"), name);
    out_.authority = inline_or_file(cluster, "certificate-authority-data", "certificate-authority");
  }

  void read_server(const std::string& url, const std::string& name) {
    constexpr std::string_view scheme = "https://";
    if (!url.starts_with(scheme))
      return complain("the server of cluster '" + name + "' must be an https:// URL");
    const auto rest = std::string_view(url).substr(scheme.size());
    const auto slash = std::min(rest.find('/'), rest.size());
    auto authority = rest.substr(0, slash);
    out_.base_path = rest.substr(slash);
    while (out_.base_path.ends_with('/'))
      out_.base_path.pop_back();
    const auto colon = authority.rfind(':');
    if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
      const auto digits = authority.substr(colon + 1);
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out_.port);
      if (error != std::errc{} || end != digits.data() + digits.size() || out_.port == 0)
        return complain("the server of cluster '" + name + "' has a wrong port");
      authority = authority.substr(0, colon);
    }
    const bool v6 = authority.size() > 2 && authority.front() == '[' && authority.back() == ']';
    if (v6)
      authority = authority.substr(1, authority.size() - 2);
    out_.host = authority;
    const auto known = [](std::string_view text, std::string_view signs) {
      return std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               signs.find(c) != std::string_view::npos;
      });
    };
    if (out_.host.empty() || !known(out_.host, v6 ? ":." : "-._"))
      complain("the server of cluster '" + name + "' names no host");
    if (!known(out_.base_path, "/-._~%"))
      complain("the server of cluster '" + name + "' has a wrong path");
  }

  void read_user(const YAML::Node& user, const std::string& name) {
    for (const char* key : {"exec", "auth-provider"})
      if (user[key])
        return complain("user '" + name + "' has " + key +
                        ", which would run a program: rdev does not; give a token or a client certificate");
    if (!text_of(user, "username").empty())
      return complain("user '" + name + "' has a password: give a token or a client certificate");
    out_.certificate = inline_or_file(user, "client-certificate-data", "client-certificate");
    out_.private_key = secret(inline_or_file(user, "client-key-data", "client-key"));
    if (out_.certificate.empty() != out_.private_key.empty())
      return complain("user '" + name + "' has only one of client certificate and key");
    out_.token = secret(text_of(user, "token"));
    if (out_.token.empty())
      if (const auto file = text_of(user, "tokenFile"); !file.empty())
        out_.token_file = in_folder(file);
  }

  std::string inline_or_file(const YAML::Node& node, const char* data, const char* file) {
    if (const auto text = text_of(node, data); !text.empty()) {
      auto bytes = from_base64(without_blanks(text));
      if (!bytes)
        complain(std::string(data) + " is no base64");
      return bytes.value_or("");
    }
    const auto name = text_of(node, file);
    if (name.empty())
      return {};
    auto text = read_file(in_folder(name));
    if (!text)
      complain(std::string(file) + ": " + text.error().message);
    return text ? *text : std::string{};
  }

  [[nodiscard]] std::string in_folder(const std::string& name) const {
    return name.starts_with('/') ? name : folder_ + "/" + name;
  }

  std::string folder_;
  cluster_access out_;
  std::optional<std::string> problem_;
};

} // namespace

result<secret> token_of(const cluster_access& access) {
  if (access.token_file.empty())
    return access.token;
  auto text = read_file(access.token_file);
  if (!text)
    return failure{fault::unavailable, text.error().message};
  return secret(without_blanks(std::move(*text)));
}

result<cluster_access> parse_kubeconfig(const std::string& text, const std::string& folder,
                                        const std::string& context) {
  try {
    return reader(folder).read(YAML::Load(text), context);
  } catch (const YAML::Exception& e) {
    return wrong("line " + std::to_string(e.mark.line + 1) + ": " + e.msg);
  }
}

result<cluster_access> read_kubeconfig(const std::string& path, const std::string& context) {
  auto text = read_file(path);
  if (!text)
    return std::move(text.error());
  const auto folder = fs::absolute(path).parent_path().string();
  auto out = parse_kubeconfig(*text, folder, context);
  if (!out)
    return failure{fault::invalid, path + ": " + out.error().message};
  return out;
}

result<cluster_access> in_cluster(const std::string& folder) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || *host == '\0')
    return failure{fault::invalid, "KUBERNETES_SERVICE_HOST is not set, so this is no pod: set KUBECONFIG"};
  cluster_access out;
  out.host = host;
  const std::string_view digits = port == nullptr ? "443" : port;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || out.port == 0)
    return failure{fault::invalid, "KUBERNETES_SERVICE_PORT is no port"};
  auto authority = read_file(folder + "/ca.crt");
  if (!authority)
    return std::move(authority.error());
  out.authority = std::move(*authority);
  out.token_file = folder + "/token";
  if (auto token = token_of(out); !token)
    return failure{fault::invalid, token.error().message};
  if (auto name = read_file(folder + "/namespace"))
    out.given_namespace = without_blanks(std::move(*name));
  return out;
}

} // namespace rdev::kubernetes
