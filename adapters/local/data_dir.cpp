#include "adapters/local/data_dir.hpp"

#include "adapters/crypto.hpp"
#include "adapters/local/run_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace rdev {

namespace {

namespace fs = std::filesystem;
using local::read_small_file;
using local::write_all;

failure unusable(const std::string& what) {
  return {fault::invalid, "server.data_dir: " + what + ": " + std::strerror(errno)};
}

// Of a small text file: its first line.
std::string line_of(const std::string& path) {
  auto text = read_small_file(path).value_or("");
  return text.substr(0, text.find('\n'));
}

} // namespace

result<std::unique_ptr<data_dir>> data_dir::open(const std::string& path) {
  std::error_code error;
  const bool fresh = fs::create_directories(path, error);
  if (error)
    return failure{fault::invalid, "server.data_dir: cannot make " + path + ": " + error.message()};
  if (fresh && ::chmod(path.c_str(), 0711) != 0)
    return unusable("cannot set the rights of " + path);
  descriptor lock(::open((path + "/lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!lock)
    return unusable("cannot write to " + path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return failure{fault::unavailable, "another rdev-api uses the data dir " + path + ": stop it, or give --data-dir"};
  ::unlink((path + "/address").c_str());
  return std::make_unique<data_dir>(passkey{}, path, std::move(lock));
}

data_dir::~data_dir() {
  ::unlink(in("address").c_str());
}

result<done> data_dir::replace(const std::string& name, std::string_view text, unsigned mode) const {
  const auto temporary = in(name + ".new");
  ::unlink(temporary.c_str());
  const descriptor file(::open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode));
  if (!file || !write_all(file.get(), text) || ::fsync(file.get()) != 0 ||
      ::rename(temporary.c_str(), in(name).c_str()) != 0)
    return unusable("cannot write " + in(name));
  return done{};
}

result<secret> data_dir::secrets_keyring() const {
  const auto path = in("secrets.key");
  if (::access(path.c_str(), F_OK) == 0) {
    auto text = line_of(path);
    if (text.empty())
      return failure{fault::invalid, "the keyring " + path + " cannot be read or is empty: restore it from a backup"};
    return secret(std::move(text));
  }
  secret fresh("k1:" + to_base64(random_bytes(32)));
  auto kept = replace("secrets.key", std::string(fresh.reveal()) + "\n", 0600);
  return kept ? result<secret>(std::move(fresh)) : result<secret>(std::move(kept.error()));
}

result<node_id> data_dir::node() const {
  if (const auto known = node_id::parse(line_of(in("node"))))
    return *known;
  const auto fresh = node_id::make();
  auto kept = replace("node", fresh.text() + "\n", 0600);
  return kept ? result<node_id>(fresh) : result<node_id>(std::move(kept.error()));
}

result<done> data_dir::keep_admin_key(const secret& key) const {
  return replace("admin.key", std::string(key.reveal()) + "\n", 0600);
}

result<done> data_dir::publish_address(const std::string& address) const {
  return replace("address", address + "\n", 0644);
}

} // namespace rdev
