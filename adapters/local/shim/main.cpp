// rdev-shim: stands over one command from its start to its end, independent of the server that ordered it. It reads one
// order from stdin, says on stdout whether it has started the command, leaves the server's process tree, pumps the
// output into files and writes down how the command ended (docs/durable-exec.md). SIGTERM = end the whole tree, with
// the grace that stands in the file `cancel`; it does so by itself when the command's time is up.
#include "adapters/failpoint.hpp"
#include "adapters/local/order.hpp"
#include "adapters/local/processes.hpp"
#include "adapters/local/run_files.hpp"
#include "adapters/local/shim/child.hpp"
#include "adapters/local/shim/pump.hpp"
#include "messages/values/time.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

namespace rdev::local {

namespace {

using std::chrono::milliseconds;

constexpr int kill_rounds = 20;           // of KILL before a survivor is given up
constexpr milliseconds look_interval{20}; // between looks while a tree is being ended
constexpr milliseconds longest_sleep{60'000};
constexpr milliseconds default_grace{5000};

std::string read_stdin() {
  std::string all;
  std::array<char, 65536> piece{};
  for (;;) {
    const auto n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return all;
    all.append(piece.data(), static_cast<std::size_t>(n));
  }
}

int tell(const std::string& line) {
  write_all(STDOUT_FILENO, line + "\n");
  return 0;
}

// All processes below this one. Since it is a subreaper, those that made themselves a session of their own, changed
// their environment or lost their parent are among them.
std::vector<pid_t> descendants() {
  auto out = with_descendants({::getpid()}, living_processes());
  out.erase(out.begin());
  return out;
}

class watcher {
public:
  watcher(const order& what, pid_t main, pump out, pump err, descriptor signals)
      : what_(what), main_(main), out_(std::move(out)), err_(std::move(err)), signals_(std::move(signals)) {
    if (what.timeout_ms > 0)
      time_is_up_at_ = boot_clock_now() + milliseconds(what.timeout_ms);
  }

  // Until the command has ended and nobody writes to its pipes any more.
  void watch() {
    while (!ended_ || out_.fd() >= 0 || err_.fd() >= 0) {
      std::array<pollfd, 3> fds{{{signals_.get(), POLLIN, 0}, {out_.fd(), POLLIN, 0}, {err_.fd(), POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), static_cast<int>(patience().count()));
      if ((fds[0].revents & POLLIN) != 0)
        take_signal();
      if (time_is_up_at_ && boot_clock_now() >= *time_is_up_at_)
        begin_ending(true);
      if (fds[1].revents != 0)
        out_.move_some();
      if (fds[2].revents != 0)
        err_.move_some();
      if (ending_ && !ended_)
        go_on_ending();
    }
  }

private:
  // How long there may be nothing to do; -1 = for ever. The clock of poll() stands still while the machine sleeps.
  [[nodiscard]] milliseconds patience() const {
    if (ended_)
      return milliseconds(-1);
    if (ending_)
      return look_interval;
    if (!time_is_up_at_)
      return milliseconds(-1);
    return std::clamp(*time_is_up_at_ - boot_clock_now(), milliseconds(0), longest_sleep);
  }

  void take_signal() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM)
        begin_ending(false);
    }
    reap();
  }

  void reap() {
    int status = 0;
    for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0; pid = ::waitpid(-1, &status, WNOHANG))
      if (pid == main_ && !main_ended_) {
        main_ended_ = true;
        main_status_ = status;
        if (!ending_)
          finish(0);
      }
  }

  void begin_ending(bool time_is_up) {
    if (ending_ || ended_)
      return;
    reap();
    if (ended_)
      return;
    ending_ = true;
    timed_out_ = time_is_up;
    kill_at_ = boot_clock_now() + (time_is_up ? milliseconds(what_.grace_ms) : ordered_grace());
    const auto tree = descendants();
    signal_all(tree, SIGTERM);
    signal_all(tree, SIGCONT);
  }

  [[nodiscard]] milliseconds ordered_grace() const {
    const auto text = read_small_file(what_.folder + "/cancel");
    return text ? milliseconds(std::strtol(text->c_str(), nullptr, 10)) : default_grace;
  }

  void go_on_ending() {
    reap();
    auto tree = descendants();
    if (main_ended_ && tree.empty())
      return finish(0);
    if (boot_clock_now() < kill_at_)
      return;
    if (rounds_++ == kill_rounds)
      return finish(static_cast<int>(tree.size()));
    signal_all(tree, SIGSTOP); // so that nothing forks away between look and blow
    signal_all(descendants(), SIGKILL);
    reap();
  }

  void finish(int survivors) {
    out_.move_present();
    err_.move_present();
    out_.close_books();
    err_.close_books();
    end_record r;
    r.killed = ending_;
    r.timed_out = timed_out_;
    r.at = boot_clock_now();
    r.survivors = survivors;
    if (main_ended_ && WIFEXITED(main_status_))
      r.exit_code = WEXITSTATUS(main_status_);
    else {
      r.signal = main_ended_ && WIFSIGNALED(main_status_) ? WTERMSIG(main_status_) : SIGKILL;
      r.exit_code = 128 + r.signal;
    }
    r.out_bytes = out_.stored();
    r.out_total = out_.total();
    r.err_bytes = err_.stored();
    r.err_total = err_.total();
    r.output_lost = out_.lost() || err_.lost();
    failpoint::pass("shim.before_end");
    write_end(what_.folder, r);
    failpoint::pass("shim.after_end");
    ended_ = true;
  }

  const order& what_;
  pid_t main_;
  pump out_;
  pump err_;
  descriptor signals_;
  bool main_ended_ = false;
  int main_status_ = 0;
  std::optional<milliseconds> time_is_up_at_; // of the boot clock, as the next
  milliseconds kill_at_{0};
  bool ending_ = false;
  bool timed_out_ = false;
  bool ended_ = false;
  int rounds_ = 0;
};

std::uint64_t inode_of(const descriptor& file) {
  struct stat info {};
  return ::fstat(file.get(), &info) == 0 ? info.st_ino : 0;
}

bool write_script(const order& what) {
  if (!what.script)
    return true;
  const auto path = what.folder + "/script";
  if (!write_small_file(path, *what.script, 0400))
    return false;
  return !what.change_user || ::chown(path.c_str(), what.uid, what.gid) == 0;
}

descriptor output_file(const order& what, const char* name) {
  return descriptor(::open((what.folder + "/" + name).c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
}

bool make_pipe(descriptor& read_end, descriptor& write_end) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0)
    return false;
  read_end = descriptor(fds[0]);
  write_end = descriptor(fds[1]);
  ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
  ::fcntl(fds[0], F_SETPIPE_SZ, 1024 * 1024); // fewer turns for large outputs; the default does as well
  return true;
}

// The steps in their order: everything is written down before anything runs.
int stand_over(const order& what) {
  descriptor start;
  failpoint::pass("shim.before_take");
  switch (take_start(what.folder, start)) {
  case claim::taken:
    return tell("taken");
  case claim::failed:
    return tell(std::string("failed cannot create the start file: ") + std::strerror(errno));
  case claim::won:
    break;
  }
  // Nothing ran: it may be tried again, unless somebody has put another start file in the place of ours.
  const auto back_out = [&](const std::string& word) {
    if (!owns_start(what.folder, start))
      return tell("taken");
    ::unlink((what.folder + std::string(start_suffix)).c_str());
    return tell(word);
  };
  const auto fail = [&](const std::string& why) { return back_out("failed " + why + ": " + std::strerror(errno)); };
  // Looked at behind the take: whatever delayed us came before, and who asks may have lost the command meanwhile.
  if (what.valid_until_ms > 0 && boot_clock_now() > milliseconds(what.valid_until_ms))
    return back_out("late");
  failpoint::pass("shim.after_take");
  auto out = output_file(what, "out");
  auto err = output_file(what, "err");
  if (!out || !err || !reserve_end(what.folder) || !write_script(what))
    return fail("cannot write to the run folder");
  descriptor out_read;
  descriptor out_write;
  descriptor err_read;
  descriptor err_write;
  if (!make_pipe(out_read, out_write) || !make_pipe(err_read, err_write))
    return fail("no pipe");
  // So that the command may open its own /dev/stdout and /dev/stderr.
  if (what.change_user &&
      (::fchown(out_write.get(), what.uid, what.gid) != 0 || ::fchown(err_write.get(), what.uid, what.gid) != 0))
    return fail("cannot give the pipes to the user for commands");
  sigset_t awaited;
  ::sigemptyset(&awaited);
  ::sigaddset(&awaited, SIGCHLD);
  ::sigaddset(&awaited, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &awaited, nullptr);
  descriptor signals(::signalfd(-1, &awaited, SFD_NONBLOCK | SFD_CLOEXEC));
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const auto self = ::getpid();
  const std::array<std::uint64_t, 2> pipes{inode_of(out_write), inode_of(err_write)};
  if (!write_start(start, {start_mark::run, self, starttime_of(self).value_or(0), pipes, what.boot_tag}))
    return fail("cannot write the start file");
  failpoint::pass("shim.after_record");
  if (!owns_start(what.folder, start))
    return tell("taken"); // we were so slow that the command was given up
  const auto main = start_child(what, std::move(out_write), std::move(err_write));
  if (main < 0)
    return fail("cannot start a process");
  failpoint::pass("shim.after_start");
  tell("started");
  const descriptor nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::dup2(nowhere.get(), fd);
  watcher(what, main, pump(std::move(out_read), std::move(out), what.max_bytes),
          pump(std::move(err_read), std::move(err), what.max_bytes), std::move(signals))
      .watch();
  return 0;
}

} // namespace

} // namespace rdev::local

int main() {
  using namespace rdev::local;
  ::close_range(3, ~0U, 0);
  ::signal(SIGPIPE, SIG_IGN); // the server may be gone by the time it is told
  const auto what = decode(read_stdin());
  if (!what)
    return 1; // the order was cut off: nothing ran
  // Away from the server: its waitpid gets the first process, the second one belongs to init.
  const auto second = ::fork();
  if (second != 0)
    ::_exit(second < 0 ? 1 : 0);
  ::setsid();
  ::umask(077);
  return ::chdir("/") == 0 ? stand_over(*what) : 1;
}
