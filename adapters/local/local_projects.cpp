#include "adapters/local/local_projects.hpp"

#include "adapters/local/run_files.hpp"
#include "adapters/local/shim_starter.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace rdev {

namespace {

namespace fs = std::filesystem;
using local::read_small_file;
using local::write_small_file;

constexpr std::chrono::milliseconds lock_patience{5000};
constexpr std::chrono::milliseconds lock_pause{10};
constexpr const char* being_removed = ".removed-"; // no project id begins with a dot

failure unavailable(const std::string& what) {
  const int code = errno;
  return {code == ENOSPC ? fault::no_space : fault::unavailable, what + ": " + std::strerror(code)};
}

// The folder `name` in `parent`, opened although its owner may have made it unreadable; a link is not followed.
descriptor open_folder(int parent, const char* name) {
  descriptor out(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (out || errno != EACCES)
    return out;
  const descriptor place(::openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (place && ::chmod(("/proc/self/fd/" + std::to_string(place.get())).c_str(), 0700) == 0)
    out = descriptor(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return out;
}

// Empties a folder of `parent` and removes it. Folders in it that are not empty are moved up into `parent` under names
// of their own, for their turn: no depth that commands can make is too deep. Nothing is followed.
bool remove_level(int parent, const std::string& name, std::vector<std::string>& turns) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 ||
      errno == ENOENT)
    return true;
  auto folder = open_folder(parent, name.c_str());
  if (!folder)
    return false;
  ::fchmod(folder.get(), 0700);
  DIR* dir = ::fdopendir(folder.get());
  if (dir == nullptr)
    return false;
  const int fd = folder.release(); // closed with the stream
  while (const auto* entry = ::readdir(dir)) {
    const char* inner = entry->d_name;
    if (std::strcmp(inner, ".") == 0 || std::strcmp(inner, "..") == 0 || ::unlinkat(fd, inner, 0) == 0 ||
        ::unlinkat(fd, inner, AT_REMOVEDIR) == 0)
      continue;
    open_folder(fd, inner); // to move a folder its owner must be able to write to it
    auto turn = turns.front() + "-" + std::to_string(turns.size());
    if (::renameat(fd, inner, parent, turn.c_str()) == 0)
      turns.push_back(std::move(turn));
  }
  ::closedir(dir);
  return ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0;
}

// What cannot be removed keeps its name of a grave and gets its turn again at the next start.
void remove_tree(int parent, const char* name) {
  std::vector<std::string> turns{name};
  for (std::size_t i = 0; i < turns.size(); ++i)
    remove_level(parent, std::string(turns[i]), turns);
}

// Labels are lines `name=value`: what would break a line is written with a backslash.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '=')
      out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

// A line of labels, back into name and value.
std::pair<std::string, std::string> label_of(std::string_view line) {
  std::pair<std::string, std::string> out;
  auto* part = &out.first;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size())
      *part += line[++i] == 'n' ? '\n' : line[i];
    else if (line[i] == '=' && part == &out.first)
      part = &out.second;
    else
      *part += line[i];
  }
  return out;
}

// Servers that share the folder change it one at a time. Fault `unavailable`: another one has been at it for too long.
result<descriptor> lock_of(const std::string& records_dir) {
  descriptor lock(::open(records_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock)
    return unavailable("cannot open " + records_dir);
  for (auto left = lock_patience; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; left -= lock_pause) {
    if (errno != EWOULDBLOCK || left <= std::chrono::milliseconds(0))
      return unavailable("cannot lock " + records_dir);
    std::this_thread::sleep_for(lock_pause);
  }
  return lock;
}

class local_projects final : public project_host {
public:
  local_projects(local_projects_config config, uid_t uid, gid_t gid)
      : config_(std::move(config)), uid_(uid), gid_(gid) {
  }

  result<std::vector<project>> list() override {
    std::vector<project> out;
    std::error_code error;
    for (fs::directory_iterator it(config_.projects_dir, error), end; !error && it != end; it.increment(error))
      if (auto found = look(it->path().filename().string()))
        out.push_back(std::move(*found));
    if (error)
      return failure{fault::unavailable, "cannot read the projects folder: " + error.message()};
    std::sort(out.begin(), out.end(), [](const project& a, const project& b) { return a.id < b.id; });
    return out;
  }

  result<std::optional<project>> find(const std::string& id) override {
    return look(id);
  }

  result<bool> create(const create_project& what) override {
    const auto& [id, labels, pod] = what;
    if (!valid_project_id(id))
      return failure{fault::invalid, "not a project id"};
    const auto lock = lock_of(config_.records_dir);
    if (!lock)
      return lock.error();
    const auto path = folder_of(id);
    if (fs::exists(path))
      return false;
    std::ostringstream record;
    record << now_utc().time_since_epoch().count() << '\n';
    for (const auto& [name, value] : labels)
      record << escaped(name) << '=' << escaped(value) << '\n';
    if (!write_small_file(record_of(id), record.str(), 0600))
      return unavailable("cannot write the record of a project");
    // Under another name until all is done: a death in the middle leaves no project that its user cannot enter.
    const auto cradle = config_.projects_dir + "/" + being_removed + id + "-" + now_number();
    if (::mkdir(cradle.c_str(), 0700) != 0)
      return unavailable("cannot make a project's folder");
    if (::geteuid() == 0 && ::chown(cradle.c_str(), uid_, gid_) != 0)
      return unavailable("cannot give a project's folder to its user");
    if (::rename(cradle.c_str(), path.c_str()) != 0)
      return unavailable("cannot make a project's folder");
    return true;
  }

  // Renamed first: a death in the middle leaves no half project behind.
  result<bool> remove(const std::string& id) override {
    if (!valid_project_id(id))
      return false;
    const auto lock = lock_of(config_.records_dir);
    if (!lock)
      return lock.error();
    if (!fs::exists(folder_of(id)))
      return false;
    const auto grave = config_.projects_dir + "/" + being_removed + id + "-" + now_number();
    if (::rename(folder_of(id).c_str(), grave.c_str()) != 0)
      return unavailable("cannot remove a project's folder");
    ::unlink(record_of(id).c_str());
    clear_graves();
    return true;
  }

  [[nodiscard]] bool has_power_states() const override {
    return false;
  }

  // What a removal left behind, now or before a crash.
  void clear_graves() const {
    const descriptor dir(::open(config_.projects_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::error_code error;
    for (fs::directory_iterator it(config_.projects_dir, error), end; !error && it != end; it.increment(error))
      if (const auto name = it->path().filename().string(); name.starts_with(being_removed))
        remove_tree(dir.get(), name.c_str());
  }

private:
  [[nodiscard]] std::string folder_of(const std::string& id) const {
    return config_.projects_dir + "/" + id;
  }
  [[nodiscard]] std::string record_of(const std::string& id) const {
    return config_.records_dir + "/" + id;
  }
  static std::string now_number() {
    return std::to_string(now_utc().time_since_epoch().count());
  }

  [[nodiscard]] std::optional<project> look(const std::string& id) const {
    struct stat info {};
    if (!valid_project_id(id) || ::lstat(folder_of(id).c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      return std::nullopt;
    project out;
    out.id = id;
    out.phase = "Running";
    out.last_seen = now_utc();
    std::istringstream record(read_small_file(record_of(id)).value_or(""));
    std::int64_t made = 0;
    if (record >> made)
      out.created_at = timestamp(std::chrono::microseconds(made));
    else
      out.created_at = timestamp(std::chrono::seconds(info.st_ctim.tv_sec));
    std::string line;
    while (std::getline(record, line))
      if (!line.empty()) // the rest of the first line
        out.labels.insert(label_of(line));
    return out;
  }

  local_projects_config config_;
  uid_t uid_;
  gid_t gid_;
};

} // namespace

result<std::shared_ptr<project_host>> make_local_projects(local_projects_config config) {
  std::error_code error;
  fs::create_directories(config.projects_dir, error);
  fs::create_directories(config.records_dir, error);
  if (::chmod(config.projects_dir.c_str(), 0711) != 0 || ::chmod(config.records_dir.c_str(), 0700) != 0)
    return unavailable("cannot use " + config.projects_dir);
  const auto who = local::find_account(config.user);
  if (!who)
    return who.error();
  const auto lock = lock_of(config.records_dir);
  if (!lock)
    return lock.error();
  const auto uid = who->change ? who->uid : ::geteuid();
  const auto gid = who->change ? who->gid : ::getegid();
  auto out = std::make_shared<local_projects>(std::move(config), uid, gid);
  out->clear_graves();
  return std::shared_ptr<project_host>(std::move(out));
}

} // namespace rdev
