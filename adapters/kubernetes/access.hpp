// How to reach a cluster and as whom: from a kubeconfig, or from inside a pod.
#pragma once

#include "messages/values/result.hpp"
#include "messages/values/secret.hpp"

#include <cstdint>
#include <string>

namespace rdev::kubernetes {

struct cluster_access {
  std::string host; // a name, or an address without brackets
  std::uint16_t port = 443;
  std::string base_path;       // of the server's URL, without a slash at its end; mostly empty
  std::string authority;       // PEM: who may vouch for the server; empty = the system's
  std::string certificate;     // PEM: ours, or empty
  secret private_key;          // PEM
  secret token;                // a bearer token, or empty
  std::string token_file;      // or where it stands: it changes, so it is read for every connection
  std::string given_namespace; // of the context or the pod
};

// The bearer token as it is now; empty = none.
result<secret> token_of(const cluster_access& access);

// `path` is a file, `context` one of its contexts (empty = its current one). Faults are `invalid` and say what to mend.
// What would run a program (exec, auth-provider) or skip the check of the server's certificate is refused.
result<cluster_access> read_kubeconfig(const std::string& path, const std::string& context);
// The same from text; files that it names are relative to `folder`. An outside parser: it has limits.
result<cluster_access> parse_kubeconfig(const std::string& text, const std::string& folder, const std::string& context);

// As a pod sees its cluster: the service account that is mounted into it, and KUBERNETES_SERVICE_HOST and _PORT.
result<cluster_access> in_cluster(const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

} // namespace rdev::kubernetes
