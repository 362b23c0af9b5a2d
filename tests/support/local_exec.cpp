#include "tests/support/local_exec.hpp"

#include "adapters/descriptor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <mutex>
#include <thread>

namespace rdev::test {

namespace {

using kubernetes::exec_listener;
using kubernetes::exec_session;
using kubernetes::exec_target;
using kubernetes::exec_transport;

struct pipe_ends {
  pipe_ends() {
    std::array<int, 2> fds{-1, -1};
    if (::pipe2(fds.data(), O_CLOEXEC) == 0) {
      read = descriptor(fds[0]);
      write = descriptor(fds[1]);
    }
  }
  descriptor read;
  descriptor write;
};

class session final : public exec_session {
public:
  session(const std::vector<std::string>& argv, std::shared_ptr<exec_listener> listener)
      : listener_(std::move(listener)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    spawn(argv);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~session() override {
    stop();
  }
  // Nothing is heard of it any more. Not from within a call.
  void stop() {
    if (!thread_.joinable())
      return;
    thread_.request_stop();
    wake();
    thread_.join();
    int status = 0;
    ::waitpid(pid_, &status, WNOHANG);
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  void send(std::string bytes) override {
    std::lock_guard guard(mutex_);
    unsent_ += bytes;
    wake();
  }
  void resume() override {
    std::lock_guard guard(mutex_);
    paused_ = false;
    wake();
  }
  void close() override {
    std::lock_guard guard(mutex_);
    closed_ = true;
    wake();
  }

private:
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
  }

  void spawn(const std::vector<std::string>& argv) {
    std::vector<std::string> copy = argv;
    std::vector<char*> words;
    for (auto& word : copy)
      words.push_back(word.data());
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions{};
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in_.read.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, out_.write.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, err_.write.get(), 2);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t how{};
    ::posix_spawnattr_init(&how);
    sigset_t none;
    ::sigemptyset(&none);
    sigset_t reset;
    ::sigfillset(&reset);
    ::posix_spawnattr_setsigmask(&how, &none);
    ::posix_spawnattr_setsigdefault(&how, &reset);
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    ::posix_spawnp(&pid_, words[0], &actions, &how, words.data(), environ);
    ::posix_spawnattr_destroy(&how);
    ::posix_spawn_file_actions_destroy(&actions);
    in_.read = {};
    out_.write = {};
    err_.write = {};
    ::fcntl(in_.write.get(), F_SETFL, O_NONBLOCK);
  }

  void run(const std::stop_token& stop) {
    listener_->on_open();
    while (!stop.stop_requested()) {
      bool paused = false;
      bool writes = false;
      {
        std::lock_guard guard(mutex_);
        if (closed_)
          break;
        paused = paused_;
        writes = !unsent_.empty();
      }
      const int reads_out = !paused && out_.read ? out_.read.get() : -1;
      const int reads_err = !paused && err_.read ? err_.read.get() : -1;
      if (!paused && reads_out < 0 && reads_err < 0)
        break;
      std::array<pollfd, 4> fds{{{wake_.get(), POLLIN, 0},
                                 {writes ? in_.write.get() : -1, POLLOUT, 0},
                                 {reads_out, POLLIN, 0},
                                 {reads_err, POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), -1);
      if (fds[0].revents != 0) {
        std::uint64_t n = 0;
        [[maybe_unused]] const auto got = ::read(wake_.get(), &n, sizeof n);
      }
      if (fds[1].revents != 0)
        write();
      if (fds[2].revents != 0)
        read(out_.read, stream::out);
      if (fds[3].revents != 0)
        read(err_.read, stream::err);
    }
    in_.write = {}; // the process sees the end of its input; what it writes is read by nobody
    listener_->on_end({false, 0, "closed"});
    listener_.reset();
  }

  void write() {
    std::lock_guard guard(mutex_);
    const auto n = ::write(in_.write.get(), unsent_.data(), unsent_.size());
    unsent_.erase(0, n > 0 ? static_cast<std::size_t>(n) : unsent_.size());
  }

  void read(descriptor& from, stream which) {
    std::array<char, 32 * 1024> buffer{};
    const auto n = ::read(from.get(), buffer.data(), buffer.size());
    if (n <= 0) {
      from = {};
      return;
    }
    set_paused(true); // resume() may come before the call returns
    if (listener_->on_bytes(which, {buffer.data(), static_cast<std::size_t>(n)}))
      set_paused(false);
  }

  void set_paused(bool value) {
    std::lock_guard guard(mutex_);
    paused_ = value;
  }

  std::shared_ptr<exec_listener> listener_;
  descriptor wake_;
  pipe_ends in_;
  pipe_ends out_;
  pipe_ends err_;
  pid_t pid_ = -1;
  std::mutex mutex_;
  std::string unsent_;
  bool paused_ = false;
  bool closed_ = false;
  std::jthread thread_; // last: it uses all of the above
};

class local_exec final : public exec_transport {
public:
  explicit local_exec(std::vector<std::string> shell) : shell_(std::move(shell)) {
    ::signal(SIGPIPE, SIG_IGN);
  }
  ~local_exec() override {
    for (const auto& one : all_)
      one->stop();
  }
  local_exec(const local_exec&) = delete;
  local_exec& operator=(const local_exec&) = delete;

  std::shared_ptr<exec_session> open(const exec_target& target, std::shared_ptr<exec_listener> listener) override {
    auto argv = shell_;
    argv.insert(argv.end(), target.argv.begin() + 1, target.argv.end());
    auto out = std::make_shared<session>(argv, std::move(listener));
    std::lock_guard guard(mutex_);
    all_.push_back(out);
    return out;
  }

private:
  std::vector<std::string> shell_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<session>> all_; // their threads end with the transport
};

} // namespace

std::unique_ptr<exec_transport> make_local_exec(std::vector<std::string> shell) {
  return std::make_unique<local_exec>(std::move(shell));
}

} // namespace rdev::test
