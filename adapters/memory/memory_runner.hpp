// A process runner for tests: no process runs, a test says what each command prints and how it ends.
#pragma once

#include "adapters/process_runner.hpp"

#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace rdev::memory {

class runner final : public process_runner {
public:
  explicit runner(std::string boot_tag = "boot-1") : boot_tag_(std::move(boot_tag)) {
  }

  // ---- the script; what is said of a command before its start comes true with it
  void prints(const command_id& id, stream which, std::string_view bytes);
  void exits(const command_id& id, int code);
  void dies_of(const command_id& id, int signal);
  void ends(const command_id& id, const run_status& how);
  // Gone without an exit status.
  void vanishes(const command_id& id, std::string reason);
  // The main process ends this way when a cancel comes (by default: of SIGTERM, at once). `resists`: not at all.
  void ends_on_cancel(const command_id& id, int exit_code, int signal, int survivors = 0);
  void resists_cancel(const command_id& id);
  void disk_is_full(const command_id& id);
  void lose_run_folder(const command_id& id);
  void reboot(std::string tag);
  // What is left of a lost command: so many processes resist.
  void leaves_survivors(const command_id& id, int count);
  // Runs after each first start, on the thread that starts: the script of commands whose ids the test cannot know.
  void on_start(std::function<void(const launch&)> script);
  // The next `times` calls named `start`, `status`, `read`, `cancel` or `forget` fail.
  void fail_next_of(std::string_view call, fault what, int times = 1);

  // ---- what happened
  [[nodiscard]] int starts(const command_id& id) const; // how often it really began
  [[nodiscard]] std::optional<launch> launched(const command_id& id) const;
  [[nodiscard]] std::vector<std::chrono::milliseconds> cancels(const command_id& id) const; // the grace of each
  [[nodiscard]] int sweeps(const command_id& id) const; // how often what was left of it was killed
  [[nodiscard]] bool forgotten(const command_id& id) const;

  std::string scope() override;
  std::string boot_tag() override;
  std::string why_gone(const std::string& start_intent) override;
  result<run_status> start(const launch& what) override;
  result<run_status> status(const command_id& id) override;
  result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) override;
  result<run_status> cancel(const command_id& id, std::chrono::milliseconds grace) override;
  result<int> end_leftovers(const command_id& id) override;
  result<done> forget(const command_id& id) override;
  result<std::vector<command_id>> kept() override;
  result<done> drop_marks(std::chrono::seconds older_than) override;
  void watch(std::function<void(const command_id&)> changed) override;

private:
  struct entry {
    run_status status;
    std::array<std::string, 2> files;
    std::array<std::uint64_t, 2> totals{};
    std::uint64_t max_bytes = 0;   // 0 = no cap
    std::optional<run_status> end; // as it will be, or was
    bool resists = false;
    int survivors = 0; // of a lost one
    run_status on_cancel;
    std::optional<launch> launched;
    int starts = 0;
    std::vector<std::chrono::milliseconds> cancels;
    int sweeps = 0;
    bool forgotten = false;
  };

  entry& of(const command_id& id);
  const entry* known(const command_id& id) const;
  void tell(const command_id& id);
  std::optional<failure> strikes(std::string_view call);
  static run_status seen(const entry& e);
  static void finish(entry& e);

  mutable std::mutex mutex_;
  std::string boot_tag_;
  std::map<command_id, entry> entries_;
  std::mutex calling_; // while changed_ is called or changed
  std::function<void(const command_id&)> changed_;
  std::function<void(const launch&)> on_start_;
  std::map<std::string, std::pair<fault, int>, std::less<>> faults_;
};

} // namespace rdev::memory
