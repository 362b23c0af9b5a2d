#include "adapters/memory/memory_runner.hpp"

#include "messages/values/time.hpp"

#include <algorithm>
#include <csignal>

namespace rdev::memory {

runner::entry& runner::of(const command_id& id) {
  const auto [it, fresh] = entries_.try_emplace(id);
  if (fresh) {
    it->second.on_cancel.state = run_state::exited;
    it->second.on_cancel.exit_code = 128 + SIGTERM;
    it->second.on_cancel.signal = SIGTERM;
  }
  return it->second;
}

const runner::entry* runner::known(const command_id& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

// The counts are of now, whatever the state.
run_status runner::seen(const entry& e) {
  auto out = e.status;
  out.out_bytes = e.files[0].size();
  out.err_bytes = e.files[1].size();
  out.out_total = e.totals[0];
  out.err_total = e.totals[1];
  return out;
}

void runner::finish(entry& e) {
  const bool lost_output = e.status.output_lost;
  const bool ending = e.status.ending;
  e.status = *e.end;
  e.status.output_lost = lost_output;
  e.status.ending = false;
  e.status.killed_by_us = e.end->killed_by_us || (ending && e.end->state == run_state::exited);
}

void runner::prints(const command_id& id, stream which, std::string_view bytes) {
  {
    std::lock_guard guard(mutex_);
    auto& e = of(id);
    const auto i = static_cast<std::size_t>(which);
    e.totals[i] += bytes.size();
    const auto room =
        e.max_bytes == 0 ? bytes.size() : e.max_bytes - std::min<std::uint64_t>(e.max_bytes, e.files[i].size());
    e.files[i] += bytes.substr(0, static_cast<std::size_t>(room));
  }
  tell(id);
}

void runner::ends(const command_id& id, const run_status& how) {
  {
    std::lock_guard guard(mutex_);
    auto& e = of(id);
    e.end = how;
    if (e.status.state == run_state::running)
      finish(e);
  }
  tell(id);
}

void runner::exits(const command_id& id, int code) {
  run_status how;
  how.state = run_state::exited;
  how.exit_code = code;
  ends(id, how);
}

void runner::dies_of(const command_id& id, int signal) {
  run_status how;
  how.state = run_state::exited;
  how.exit_code = 128 + signal;
  how.signal = signal;
  ends(id, how);
}

void runner::vanishes(const command_id& id, std::string reason) {
  run_status how;
  how.state = run_state::lost;
  how.reason = std::move(reason);
  ends(id, how);
}

void runner::ends_on_cancel(const command_id& id, int exit_code, int signal, int survivors) {
  std::lock_guard guard(mutex_);
  auto& how = of(id).on_cancel;
  how.exit_code = exit_code;
  how.signal = signal;
  how.survivors = survivors;
}

void runner::resists_cancel(const command_id& id) {
  std::lock_guard guard(mutex_);
  of(id).resists = true;
}

void runner::disk_is_full(const command_id& id) {
  std::lock_guard guard(mutex_);
  of(id).status.output_lost = true;
}

void runner::lose_run_folder(const command_id& id) {
  std::lock_guard guard(mutex_);
  auto& e = of(id);
  e.status = {};
  e.files = {};
  e.totals = {};
  e.end.reset();
}

void runner::reboot(std::string tag) {
  std::lock_guard guard(mutex_);
  boot_tag_ = std::move(tag);
  for (auto& [id, e] : entries_)
    if (e.status.state == run_state::running) {
      e.status.state = run_state::lost;
      e.status.reason = "the machine was restarted";
    }
}

void runner::leaves_survivors(const command_id& id, int count) {
  std::lock_guard guard(mutex_);
  of(id).survivors = count;
}

void runner::on_start(std::function<void(const launch&)> script) {
  std::lock_guard guard(mutex_);
  on_start_ = std::move(script);
}

void runner::fail_next_of(std::string_view call, fault what, int times) {
  std::lock_guard guard(mutex_);
  faults_[std::string(call)] = {what, times};
}

std::optional<failure> runner::strikes(std::string_view call) {
  const auto planned = faults_.find(call);
  if (planned == faults_.end() || planned->second.second <= 0)
    return std::nullopt;
  --planned->second.second;
  return failure{planned->second.first, "a fault planned by the test"};
}

int runner::starts(const command_id& id) const {
  std::lock_guard guard(mutex_);
  const auto* e = known(id);
  return e == nullptr ? 0 : e->starts;
}

std::optional<launch> runner::launched(const command_id& id) const {
  std::lock_guard guard(mutex_);
  const auto* e = known(id);
  return e == nullptr ? std::nullopt : e->launched;
}

std::vector<std::chrono::milliseconds> runner::cancels(const command_id& id) const {
  std::lock_guard guard(mutex_);
  const auto* e = known(id);
  return e == nullptr ? std::vector<std::chrono::milliseconds>{} : e->cancels;
}

int runner::sweeps(const command_id& id) const {
  std::lock_guard guard(mutex_);
  const auto* e = known(id);
  return e == nullptr ? 0 : e->sweeps;
}

bool runner::forgotten(const command_id& id) const {
  std::lock_guard guard(mutex_);
  const auto* e = known(id);
  return e != nullptr && e->forgotten;
}

std::string runner::scope() {
  return {};
}

std::string runner::boot_tag() {
  std::lock_guard guard(mutex_);
  return boot_tag_;
}

std::string runner::why_gone(const std::string& start_intent) {
  return start_intent == boot_tag() ? "" : "the machine was restarted";
}

result<run_status> runner::start(const launch& what) {
  std::function<void(const launch&)> script;
  {
    std::lock_guard guard(mutex_);
    if (auto why = strikes("start"))
      return std::move(*why);
    auto& e = of(what.id);
    if (e.status.state != run_state::absent)
      return seen(e);
    if (what.valid_until > std::chrono::milliseconds(0) && boot_clock_now() > what.valid_until)
      return failure{fault::deadline, "the order to start the command came too late"};
    ++e.starts;
    e.launched = what;
    e.max_bytes = what.max_bytes;
    e.status.state = run_state::running;
    if (e.end)
      finish(e);
    script = on_start_;
  }
  if (script)
    script(what);
  tell(what.id);
  return status(what.id);
}

result<run_status> runner::status(const command_id& id) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes("status"))
    return std::move(*why);
  const auto* e = known(id);
  return e == nullptr ? run_status{} : seen(*e);
}

result<std::string> runner::read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes("read"))
    return std::move(*why);
  const auto* e = known(id);
  if (e == nullptr || e->status.state == run_state::absent || e->status.state == run_state::tombstone)
    return std::string{};
  const auto& file = e->files[static_cast<std::size_t>(which)];
  return offset >= file.size() ? std::string{} : file.substr(static_cast<std::size_t>(offset), most);
}

result<run_status> runner::cancel(const command_id& id, std::chrono::milliseconds grace) {
  run_status out;
  {
    std::lock_guard guard(mutex_);
    if (auto why = strikes("cancel"))
      return std::move(*why);
    auto& e = of(id);
    e.cancels.push_back(grace);
    if (e.status.state == run_state::absent) {
      e.status.state = run_state::tombstone;
    } else if (e.status.state == run_state::running && !e.status.ending) {
      e.status.ending = true;
      if (!e.resists) {
        e.end = e.on_cancel;
        finish(e);
      }
    }
    out = seen(e);
  }
  tell(id);
  return out;
}

result<int> runner::end_leftovers(const command_id& id) {
  std::lock_guard guard(mutex_);
  auto& e = of(id);
  ++e.sweeps;
  return e.survivors;
}

result<done> runner::forget(const command_id& id) {
  std::lock_guard guard(mutex_);
  if (auto why = strikes("forget"))
    return std::move(*why);
  auto& e = of(id);
  if (e.status.state == run_state::running)
    return failure{fault::invalid, "a running command cannot be forgotten"};
  e.status = {};
  e.status.state = run_state::lost;
  e.status.reason = "its end was recorded before";
  e.files = {};
  e.totals = {};
  e.end.reset();
  e.forgotten = true;
  return done{};
}

result<std::vector<command_id>> runner::kept() {
  std::lock_guard guard(mutex_);
  if (auto why = strikes("kept"))
    return std::move(*why);
  std::vector<command_id> out;
  for (const auto& [id, e] : entries_)
    if (e.starts > 0 && !e.forgotten)
      out.push_back(id);
  return out;
}

result<done> runner::drop_marks(std::chrono::seconds older_than) {
  std::lock_guard guard(mutex_);
  if (older_than <= std::chrono::seconds(0))
    std::erase_if(entries_, [](const auto& e) { return e.second.forgotten; });
  return done{};
}

void runner::watch(std::function<void(const command_id&)> changed) {
  std::lock_guard guard(calling_);
  changed_ = std::move(changed);
}

void runner::tell(const command_id& id) {
  std::lock_guard guard(calling_);
  if (changed_)
    changed_(id);
}

} // namespace rdev::memory
