// The server's own folder: who holds it, and the small files in it that make a server the same one after a restart.
#pragma once

#include "adapters/descriptor.hpp"
#include "messages/values/ids.hpp"
#include "messages/values/result.hpp"
#include "messages/values/secret.hpp"

#include <memory>
#include <string>

namespace rdev {

class data_dir {
  struct passkey {};

public:
  // Makes it if need be (0711: the users of commands and of PostgreSQL must pass, nobody may look), locks it, and
  // withdraws the address of a former server. Fault `unavailable`: another server holds it; `invalid`: it cannot be
  // used.
  static result<std::unique_ptr<data_dir>> open(const std::string& path);
  ~data_dir();
  data_dir(const data_dir&) = delete;
  data_dir& operator=(const data_dir&) = delete;

  [[nodiscard]] std::string in(const std::string& name) const {
    return path_ + "/" + name;
  }
  // The keyring in `secrets.key`; made at first use (docs/decisions/0007).
  [[nodiscard]] result<secret> secrets_keyring() const;
  // Who this server is among the nodes of a database; made at first use.
  [[nodiscard]] result<node_id> node() const;
  // Writes the administrator's first key to `admin.key`, for the owner alone.
  [[nodiscard]] result<done> keep_admin_key(const secret& key) const;
  // `host:port` in `address`, written atomically; withdrawn at the end.
  [[nodiscard]] result<done> publish_address(const std::string& address) const;

  data_dir(passkey, std::string path, descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {
  }

private:
  [[nodiscard]] result<done> replace(const std::string& name, std::string_view text, unsigned mode) const;

  std::string path_;
  descriptor lock_;
};

} // namespace rdev
