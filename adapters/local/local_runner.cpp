#include "adapters/local/local_runner.hpp"

#include "adapters/closed_directory.hpp"
#include "adapters/local/change_watcher.hpp"
#include "adapters/local/leftovers.hpp"
#include "adapters/local/processes.hpp"
#include "adapters/local/run_files.hpp"
#include "adapters/local/shim_starter.hpp"
#include "messages/values/time.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

extern "C" { // the header of glibc 2.36 forgets to say so
#include <sys/pidfd.h>
}

namespace rdev {

namespace {

using namespace local;
namespace fs = std::filesystem;

constexpr const char* restarted = "the machine was restarted";
constexpr const char* never_started = "the process that was to stand over the command died while it was starting it";

failure unavailable(const std::string& what) {
  const int code = errno;
  return {code == ENOSPC ? fault::no_space : fault::unavailable, what + ": " + std::strerror(code)};
}

std::string real_machine() {
  auto boot = read_small_file("/proc/sys/kernel/random/boot_id").value_or("unknown");
  std::erase(boot, '\n');
  std::array<char, 64> ns{};
  const auto n = ::readlink("/proc/self/ns/pid", ns.data(), ns.size());
  return boot + "/" + std::string(ns.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
}

// What stands in the file `path`; made with `fresh` if it is not there. Two servers that share the folder may get here
// at once: the first link counts.
result<std::string> identity_in(const std::string& path, const std::string& fresh) {
  if (auto text = read_small_file(path); text && text->empty())
    return failure{fault::invalid, path + " is empty: it was being written when the machine went down; remove it"};
  else if (text)
    return *text;
  const auto temporary = path + "." + node_id::make().text();
  if (!write_small_file(temporary, fresh, 0600))
    return unavailable("cannot write " + temporary);
  const bool linked = ::link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST;
  const int code = errno;
  ::unlink(temporary.c_str());
  errno = code;
  if (!linked)
    return unavailable("cannot write " + path);
  return read_small_file(path).value_or(fresh);
}

class local_runner final : public process_runner {
public:
  local_runner(const local_runner_config& config, account who, std::string scope, std::string machine,
               const std::string& mark)
      : run_dir_(config.dir + "/run"), min_free_bytes_(config.min_free_bytes),
        starter_({config.shim, config.dir + "/projects", std::move(who), config.pass_env}), scope_(std::move(scope)),
        machine_(std::move(machine)), tag_(machine_ + "/" + mark) {
  }

  std::string scope() override {
    return scope_;
  }

  std::string boot_tag() override {
    return tag_;
  }

  std::string why_gone(const std::string& start_intent) override {
    if (start_intent == tag_)
      return {};
    return start_intent.starts_with(machine_ + "/") ? "the folder of all run folders was deleted" : restarted;
  }

  result<run_status> start(const launch& what) override {
    const auto folder = folder_of(what.id);
    if (auto known = status(what.id); known && known->state != run_state::absent)
      return known;
    // Another node has made all run folders anew: nothing that is started under our old mark could be attached to.
    if (const auto mark = read_small_file(run_dir_ + "/scope"); !mark || !tag_.ends_with("/" + *mark))
      return failure{fault::unavailable, "the run folders were deleted: restart this server"};
    if (!enough_room())
      return failure{fault::no_space, "less than runner.min_free_bytes are free in " + run_dir_};
    if (::mkdir(folder.c_str(), 0711) != 0 && errno != EEXIST)
      return unavailable("cannot make " + folder);
    ::chmod(folder.c_str(), 0711); // whatever the umask: the command reads its script by path
    watcher_.add(what.id, folder);
    if (auto ordered = starter_.start(what, folder, tag_); !ordered)
      return std::move(ordered.error());
    return status(what.id);
  }

  result<run_status> status(const command_id& id) override {
    const auto folder = folder_of(id);
    run_status out;
    if (const auto ended = fill_end(folder, out); !ended || *ended)
      return ended ? result<run_status>(out) : ended.error();
    start_record record;
    switch (wait_for_start(folder, record)) {
    case start_file::absent:
      return out;
    case start_file::unreadable:
      return unavailable("cannot read the start file of " + folder);
    case start_file::being_written:
      // If whoever began to start it is only slow, he sees that the start is no longer his.
      if (!replace_start(folder, start_mark::lost))
        return unavailable("cannot write to " + run_dir_);
      record.mark = start_mark::lost;
      break;
    case start_file::there:
      break;
    }
    if (record.mark == start_mark::cancelled) {
      out.state = run_state::tombstone;
      return out;
    }
    const bool folder_there = ::access(folder.c_str(), F_OK) == 0;
    if (record.mark == start_mark::run && folder_there) {
      fill_sizes(folder, out);
      const auto alive = lives(record);
      if (!alive)
        return alive.error();
      if (*alive) {
        out.state = run_state::running;
        out.ending = ::access((folder + "/cancel").c_str(), F_OK) == 0;
        watcher_.add(id, folder);
        return out;
      }
      if (const auto ended = fill_end(folder, out); !ended || *ended) // it ended between the two looks
        return ended ? result<run_status>(out) : ended.error();
    }
    out.state = run_state::lost;
    out.reason = record.mark == start_mark::ended  ? "its end was recorded before"
                 : record.mark == start_mark::lost ? never_started
                 : record.boot_tag != tag_         ? restarted
                 : !folder_there                   ? "the run folder of the command was deleted"
                                                   : "the process that stood over the command was killed";
    return out;
  }

  result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) override {
    const auto path = folder_of(id) + (which == stream::out ? "/out" : "/err");
    const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
      return errno == ENOENT ? result<std::string>(std::string{}) : unavailable("cannot open " + path);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0)
      return unavailable("cannot look at " + path);
    const auto size = static_cast<std::uint64_t>(info.st_size);
    std::string out(std::min<std::uint64_t>(most, size - std::min(size, offset)), '\0');
    const auto n = out.empty() ? 0 : ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0)
      return unavailable("cannot read " + path);
    out.resize(static_cast<std::size_t>(n));
    return out;
  }

  result<run_status> cancel(const command_id& id, std::chrono::milliseconds grace) override {
    const auto folder = folder_of(id);
    descriptor start;
    const auto claimed = take_start(folder, start);
    if (claimed == claim::failed)
      return unavailable("cannot write to " + run_dir_);
    if (claimed == claim::won) {
      start_record tombstone;
      tombstone.mark = start_mark::cancelled;
      if (!write_start(start, tombstone)) {
        const auto why = unavailable("cannot write to " + run_dir_);
        ::unlink((folder + std::string(start_suffix)).c_str()); // empty, it would be taken for a start that failed
        return why;
      }
      return status(id);
    }
    auto now = status(id);
    start_record record;
    if (!now || now->state != run_state::running || wait_for_start(folder, record) != start_file::there)
      return now;
    const auto temporary = folder + "/cancel.tmp";
    // The first grace counts. The signal is sent again: who wrote the file may have died before it was sent.
    if (!now->ending && (!write_small_file(temporary, std::to_string(grace.count()), 0600) ||
                         ::rename(temporary.c_str(), (folder + "/cancel").c_str()) != 0))
      return unavailable("cannot write to " + folder);
    // By descriptor, and only if it is still the same process: its number may have been given away.
    const descriptor shim(::pidfd_open(record.shim, 0));
    if (shim && starttime_of(record.shim) == record.starttime)
      ::pidfd_send_signal(shim.get(), SIGTERM, nullptr, 0);
    return status(id);
  }

  result<int> end_leftovers(const command_id& id) override {
    start_record record;
    const auto found = wait_for_start(folder_of(id), record);
    const bool ours = found == start_file::there && record.mark == start_mark::run && record.boot_tag == tag_;
    if (found == start_file::there && record.mark == start_mark::ended)
      return 0; // what runs on may do so
    const auto left = local::end_leftovers(id.text(), ours ? std::optional(record) : std::nullopt);
    return left ? result<int>(*left) : unavailable("cannot see which processes there are");
  }

  result<done> forget(const command_id& id) override {
    auto now = status(id);
    if (now && now->state == run_state::running)
      return failure{fault::invalid, "a running command cannot be forgotten"};
    watcher_.remove(id);
    if (!mark_ended(folder_of(id)))
      return unavailable("cannot write to " + run_dir_);
    std::error_code error;
    fs::remove_all(folder_of(id), error);
    if (error)
      return failure{fault::unavailable, "cannot remove a run folder: " + error.message()};
    return done{};
  }

  result<std::vector<command_id>> kept() override {
    std::vector<command_id> out;
    const auto good = each_entry([&](const fs::directory_entry& entry) {
      const auto& path = entry.path();
      const bool start = path.extension() == start_suffix;
      const auto id = command_id::parse((start ? path.stem() : path.filename()).string());
      // The start file of a command whose folder was deleted says still that it may run.
      if (id && (!start || (!folder_of_start_exists(path) && !is_ended_mark(path.string()))))
        out.push_back(*id);
    });
    return good ? result<std::vector<command_id>>(std::move(out)) : good.error();
  }

  result<done> drop_marks(std::chrono::seconds older_than) override {
    const auto limit = fs::file_time_type::clock::now() - older_than;
    return each_entry([&](const fs::directory_entry& entry) {
      const auto& path = entry.path();
      const bool mark = path.extension() == start_suffix && is_ended_mark(path.string());
      std::error_code gone;
      if ((mark || path.extension() == temporary_suffix) && fs::last_write_time(path, gone) < limit && !gone)
        fs::remove(path, gone);
    });
  }

  void watch(std::function<void(const command_id&)> changed) override {
    watcher_.on_change(std::move(changed));
  }

private:
  template <class Visit>
  result<done> each_entry(Visit visit) const {
    std::error_code error;
    for (fs::directory_iterator entry(run_dir_, error), end; !error && entry != end; entry.increment(error))
      visit(*entry);
    if (error)
      return failure{fault::unavailable, "cannot list " + run_dir_ + ": " + error.message()};
    return done{};
  }

  static bool folder_of_start_exists(const fs::path& start) {
    std::error_code none;
    return fs::exists(start.parent_path() / start.stem(), none);
  }

  [[nodiscard]] result<bool> lives(const start_record& record) const {
    if (record.boot_tag != tag_)
      return false;
    const auto started = starttime_of(record.shim);
    if (!started && errno != ESRCH)
      return unavailable("cannot see whether the process over a command lives");
    return started == record.starttime;
  }

  [[nodiscard]] std::string folder_of(const command_id& id) const {
    return run_dir_ + "/" + id.text();
  }

  [[nodiscard]] bool enough_room() const {
    struct statvfs info {};
    return ::statvfs(run_dir_.c_str(), &info) != 0 || info.f_bavail * info.f_frsize >= min_free_bytes_;
  }

  [[nodiscard]] result<bool> fill_end(const std::string& folder, run_status& out) const {
    const auto end = read_end(folder);
    if (!end && errno != ENOENT)
      return unavailable("cannot read how a command ended in " + folder);
    if (!end)
      return false;
    out.state = run_state::exited;
    out.exit_code = end->exit_code;
    out.signal = end->signal;
    out.killed_by_us = end->killed;
    out.timed_out = end->timed_out;
    out.survivors = end->survivors;
    // Of another boot the time says nothing.
    if (start_record record; read_start(folder, record) == start_file::there && record.boot_tag == tag_)
      out.ended_ago = std::max(boot_clock_now() - end->at, std::chrono::milliseconds(0));
    out.out_bytes = end->out_bytes;
    out.out_total = end->out_total;
    out.err_bytes = end->err_bytes;
    out.err_total = end->err_total;
    out.output_lost = end->output_lost;
    return true;
  }

  static void fill_sizes(const std::string& folder, run_status& out) {
    std::error_code gone;
    const auto size = [&](const char* name) {
      const auto n = fs::file_size(folder + name, gone);
      return gone ? 0 : n;
    };
    out.out_bytes = out.out_total = size("/out");
    out.err_bytes = out.err_total = size("/err");
  }

  // A start file is empty for a moment while its record is being written.
  static start_file wait_for_start(const std::string& folder, start_record& record) {
    auto found = read_start(folder, record);
    for (int i = 0; i < 200 && found == start_file::being_written; ++i) {
      ::poll(nullptr, 0, 10);
      found = read_start(folder, record);
    }
    return found;
  }

  std::string run_dir_;
  std::uint64_t min_free_bytes_;
  shim_starter starter_;
  std::string scope_;
  std::string machine_;
  std::string tag_;
  change_watcher watcher_;
};

} // namespace

result<std::shared_ptr<process_runner>> make_local_runner(const local_runner_config& config) {
  ::signal(SIGPIPE, SIG_IGN); // a shim that dies while it is given its order must not take us with it
  auto who = find_account(config.user);
  if (!who)
    return std::move(who.error());
  if (::access(config.shim.c_str(), X_OK) != 0)
    return failure{fault::invalid, "the program rdev-shim is missing: " + config.shim};
  std::error_code error;
  const auto run_dir = config.dir + "/run";
  fs::create_directories(run_dir, error);
  if (::chmod(run_dir.c_str(), 0711) != 0)
    return unavailable("cannot use " + run_dir);
  for (const auto& folder : {config.dir + "/projects", run_dir})
    if (const auto closed = who->change ? closed_directory(folder, who->uid, who->gid) : ""; !closed.empty())
      return failure{fault::invalid, "the user '" + config.user + "', as whom commands run, cannot enter " + closed +
                                         "; mend it with: chmod o+x " + closed};
  // The mark goes with the run folders: what was started in a folder that was deleted cannot be attached to.
  auto mark = identity_in(run_dir + "/scope", node_id::make().text());
  if (!mark)
    return std::move(mark.error());
  auto scope = identity_in(config.dir + "/scope", *mark);
  if (!scope)
    return std::move(scope.error());
  auto machine = config.machine.empty() ? real_machine() : config.machine;
  return std::shared_ptr<process_runner>(
      std::make_shared<local_runner>(config, std::move(*who), std::move(*scope), std::move(machine), *mark));
}

} // namespace rdev
