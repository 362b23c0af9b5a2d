#include "adapters/kubernetes/kubernetes_runner.hpp"

#include "adapters/kubernetes/places.hpp"
#include "messages/values/time.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr auto read_limit = milliseconds(15'000); // for bytes that must be there
constexpr std::size_t most_forgotten = 256;       // in one order
constexpr std::size_t most_told = 10'000;
constexpr const char* forgotten_reason = "its end was recorded before";

failure away(const std::string& why) {
  return {fault::unavailable, why};
}

// What a start intent says: `POD/UID/CONTAINER/MARK`.
struct tag {
  std::string pod;
  std::string uid;
  std::string container;
  std::string mark;
};

std::string text_of(const pod& where, const std::string& mark) {
  auto container = where.container_id;
  container.erase(0, container.find("://") == std::string::npos ? 0 : container.find("://") + 3);
  return where.name + "/" + where.uid + "/" + container + "/" + mark;
}

std::optional<tag> parse_tag(const std::string& text) {
  tag out;
  std::size_t at = 0;
  for (auto* part : {&out.pod, &out.uid, &out.container}) {
    const auto end = text.find('/', at);
    if (end == std::string::npos)
      return std::nullopt;
    *part = text.substr(at, end - at);
    at = end + 1;
  }
  out.mark = text.substr(at);
  return out;
}

class kubernetes_runner final : public process_runner {
public:
  kubernetes_runner(const runner_config& config, std::unique_ptr<exec_transport> execs, std::shared_ptr<pods> seen,
                    std::shared_ptr<circuits> breakers, rdev::log& log)
      : scope_(config.scope), seen_(std::move(seen)),
        calls_(config.name_space, config.run_folder, std::move(execs), std::move(breakers)),
        places_(calls_, *seen_, log,
                {[this](const std::string& project, const auto& kept) { remember(project, kept); },
                 [this] {
                   forget_everywhere();
                   calls_.tidy();
                 }}) {
  }
  ~kubernetes_runner() override {
    calls_.stop();
  }
  kubernetes_runner(const kubernetes_runner&) = delete;
  kubernetes_runner& operator=(const kubernetes_runner&) = delete;

  std::string scope() override {
    return scope_;
  }

  // Of no use to a claim: places() has one for each project.
  std::string boot_tag() override {
    return scope_;
  }

  std::optional<std::map<std::string, std::string>> places() override {
    std::map<std::string, std::string> out;
    for (const auto& [project, one] : places_.all())
      out.emplace(project, text_of(one.where, one.shim.mark));
    return out;
  }

  std::string why_waits(const std::string& project) override {
    const auto known = places_.known(project);
    if (known && calls_.answers(known->where))
      return {};
    const auto now = seen_->of_project(project);
    const std::string pod = now ? "pod " + now->name : "the pod of project '" + project + "'";
    if (known)
      return pod + ": it does not answer, or the API server does not";
    if (!seen_->known())
      return pod + ": the cluster has not been seen yet";
    if (!now)
      return pod + ": there is none";
    if (now->usable)
      return pod + ": it has not answered yet";
    return pod + ": " + now->what.reason.value_or(now->what.phase.empty() ? "not ready" : now->what.phase);
  }

  std::string why_gone(const std::string& start_intent) override {
    const auto intent = parse_tag(start_intent);
    if (!intent)
      return "it was started by another kind of runner";
    if (!seen_->known())
      return {};
    const auto now = seen_->named(intent->pod);
    if (!now)
      return "the pod was deleted";
    if (now->uid != intent->uid)
      return "the pod was replaced";
    const auto same_container = text_of(*now, "").find("/" + intent->container + "/") != std::string::npos;
    if (!same_container)
      return "the container was restarted";
    if (!now->container_runs)
      return now->why_not.empty() ? "the container ended" : now->why_not;
    const auto known = places_.known(now->what.id);
    if (known && known->where.uid == intent->uid && known->shim.mark != intent->mark)
      return "the run folder was made anew";
    return {};
  }

  void expect(const command_id& id, const std::string& project, std::array<std::uint64_t, 2> stored) override {
    std::lock_guard guard(mutex_);
    auto& home = homes_[id];
    home.project = project;
    home.stored = stored;
  }

  result<run_status> start(const launch& what) override {
    if (what.valid_until.count() != 0 && boot_clock_now() > what.valid_until)
      return failure{fault::deadline, "the order to start came too late"};
    const auto now = attached_to(what.id);
    if (now && now->good())
      return now->status();
    std::array<std::uint64_t, 2> from{};
    {
      std::lock_guard guard(mutex_);
      auto& home = homes_[what.id];
      if (home.forgotten)
        return lost(forgotten_reason);
      home.project = what.project;
      from = home.stored;
    }
    const auto where = places_.of(what.project);
    if (!where)
      return where.error();
    const auto on = calls_.channel();
    return connect(what.id, *where, on, start_order(on, where->shim, what, from), from);
  }

  result<run_status> status(const command_id& id) override {
    if (const auto now = attached_to(id); now && now->good())
      return now->status();
    std::string project;
    std::array<std::uint64_t, 2> from{};
    {
      std::lock_guard guard(mutex_);
      const auto home = homes_.find(id);
      if (home == homes_.end())
        return run_status{};
      if (home->second.forgotten)
        return lost(forgotten_reason);
      project = home->second.project;
      from = home->second.stored;
    }
    if (const auto before = attached_to(id))
      from = before->next();
    return attach(id, project, from);
  }

  result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) override {
    auto now = attached_to(id);
    if (!now || most == 0)
      return std::string{};
    if (now->forgot(which, offset)) {
      auto from = now->next();
      from.at(which == stream::out ? 0 : 1) = offset;
      std::string project;
      {
        std::lock_guard guard(mutex_);
        project = homes_[id].project;
      }
      if (auto again = attach(id, project, from); !again)
        return std::move(again.error());
      now = attached_to(id);
      now->wait_for(which, offset, read_limit);
    }
    return now->read(which, offset, most);
  }

  result<run_status> cancel(const command_id& id, milliseconds grace) override {
    if (const auto now = attached_to(id); now && now->complete())
      return now->status();
    std::string project;
    {
      std::lock_guard guard(mutex_);
      const auto home = homes_.find(id);
      if (home == homes_.end())
        return away("nobody has said where the command runs");
      if (home->second.forgotten)
        return lost(forgotten_reason);
      project = home->second.project;
    }
    const auto where = places_.of(project);
    if (!where)
      return where.error();
    const auto on = calls_.channel();
    const auto said = calls_.ask(*where, on, cancel_order(on, where->shim, id, grace));
    if (!said)
      return said.error();
    auto state = parse_state(*said, where->shim);
    if (!state)
      return refused(*said, *where);
    if (state->state == run_state::running || state->state == run_state::exited) {
      auto now = status(id);
      if (now && now->state == run_state::running)
        now->ending = true;
      return now;
    }
    return std::move(*state);
  }

  result<int> end_leftovers(const command_id& id) override {
    std::string project;
    {
      std::lock_guard guard(mutex_);
      project = homes_[id].project;
    }
    const auto where = places_.of(project);
    if (!where) {
      const auto now = seen_->of_project(project);
      const bool nothing_runs = seen_->known() && (!now || !now->container_runs);
      return nothing_runs ? result<int>(0) : result<int>(where.error());
    }
    const auto on = calls_.channel();
    const auto said = calls_.ask(*where, on, leftovers_order(on, id));
    if (!said)
      return said.error();
    constexpr std::string_view word = "survivors ";
    if (!said->starts_with(word))
      return refused(*said, *where);
    int survivors = 0;
    std::from_chars(said->data() + word.size(), said->data() + said->size(), survivors);
    return survivors;
  }

  result<done> forget(const command_id& id) override {
    const auto now = attached_to(id);
    if (now && !now->complete())
      return failure{fault::invalid, "a running command cannot be forgotten"};
    std::lock_guard guard(mutex_);
    attachments_.erase(id);
    auto& home = homes_[id];
    if (home.forgotten)
      return done{};
    home.forgotten = true;
    to_forget_[home.project].push_back(id);
    return done{};
  }

  result<std::vector<command_id>> kept() override {
    std::lock_guard guard(mutex_);
    std::vector<command_id> out;
    for (const auto& [id, home] : homes_)
      if (!home.forgotten)
        out.push_back(id);
    return out;
  }

  result<done> drop_marks(std::chrono::seconds older_than) override {
    for (const auto& [project, where] : places_.all())
      forget_in(where, older_than);
    return done{};
  }

  void watch(std::function<void(const command_id&)> changed) override {
    std::lock_guard guard(calling_);
    call_ = std::move(changed);
  }

private:
  // Where a command runs, and what is known of it beside that.
  struct known_command {
    std::string project;
    std::array<std::uint64_t, 2> stored{}; // of its output, when we heard of it
    bool forgotten = false;                // its pod is to be told, or has been
  };

  static run_status lost(std::string reason) {
    run_status out;
    out.state = run_state::lost;
    out.reason = std::move(reason);
    return out;
  }

  std::shared_ptr<attachment> attached_to(const command_id& id) {
    std::lock_guard guard(mutex_);
    const auto found = attachments_.find(id);
    return found == attachments_.end() ? nullptr : found->second;
  }

  void tell(const command_id& id) {
    std::lock_guard guard(calling_);
    if (call_)
      call_(id);
  }

  result<run_status> connect(const command_id& id, const place& where, const shim_channel& on, std::string order,
                             std::array<std::uint64_t, 2> from) {
    auto begun = calls_.open(where, on, std::move(order), from, [this, id] { tell(id); });
    if (!begun)
      return std::move(begun.error());
    return keep(id, begun->to, begun->first, where);
  }

  // What a shim says that does not do what it was told.
  failure refused(const std::string& said, const place& where) {
    if (said.starts_with("elsewhere")) {
      places_.changed(where);
      return away("the container has changed");
    }
    if (said == "late")
      return {fault::deadline, "the order to start came too late"};
    if (said.starts_with("fail "))
      return {fault::no_space, "in pod " + where.where.name + ": " + said.substr(5)};
    return {fault::internal, "the shim in pod " + where.where.name + " says something else than it may"};
  }

  result<run_status> keep(const command_id& id, const std::shared_ptr<attachment>& to, const std::string& first,
                          const place& where) {
    const auto state = parse_state(first, where.shim);
    if (!state) {
      to->close();
      return refused(first, where);
    }
    if (state->state == run_state::absent) {
      to->close();
      return *state;
    }
    std::shared_ptr<attachment> before;
    {
      std::lock_guard guard(mutex_);
      before = std::exchange(attachments_[id], to);
    }
    if (before)
      before->close();
    return to->status();
  }

  result<run_status> attach(const command_id& id, const std::string& project, std::array<std::uint64_t, 2> from) {
    const auto where = places_.of(project);
    if (!where) {
      if (seen_->known() && !seen_->of_project(project))
        return lost("the pod was deleted");
      return where.error();
    }
    const auto on = calls_.channel();
    return connect(id, *where, on, attach_order(on, id, from), from);
  }

  // ---- what is kept in pods

  void remember(const std::string& project, const std::vector<command_id>& kept) {
    std::lock_guard guard(mutex_);
    for (const auto& id : kept)
      if (!homes_.contains(id))
        homes_[id].project = project;
  }

  void forget_everywhere() {
    for (const auto& [project, where] : places_.all()) {
      bool something = false;
      {
        std::lock_guard guard(mutex_);
        const auto found = to_forget_.find(project);
        something = found != to_forget_.end() && !found->second.empty();
      }
      if (something)
        forget_in(where, std::chrono::hours(1));
    }
  }

  void forget_in(const place& where, std::chrono::seconds drop_marks) {
    std::vector<command_id> ids;
    {
      std::lock_guard guard(mutex_);
      auto& waiting = to_forget_[where.where.what.id];
      const auto n = std::min(waiting.size(), most_forgotten);
      ids.assign(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
      waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
    }
    const auto on = calls_.channel();
    const auto said = calls_.ask(where, on, forget_order(on, ids, drop_marks));
    std::lock_guard guard(mutex_);
    if (!said) {
      auto& waiting = to_forget_[where.where.what.id];
      waiting.insert(waiting.end(), ids.begin(), ids.end());
      return;
    }
    // The pods know by themselves now; of the last ones we know it, too, without asking.
    told_.insert(told_.end(), ids.begin(), ids.end());
    for (; told_.size() > most_told; told_.pop_front())
      homes_.erase(told_.front());
    if (drop_marks < std::chrono::seconds(0))
      for (; !told_.empty(); told_.pop_front())
        homes_[told_.front()].forgotten = false;
  }

  std::string scope_;
  std::shared_ptr<pods> seen_;

  std::mutex calling_; // while call_ is called or changed
  std::function<void(const command_id&)> call_;

  std::mutex mutex_; // of what follows
  std::map<command_id, known_command> homes_;
  std::map<command_id, std::shared_ptr<attachment>> attachments_;
  std::map<std::string, std::vector<command_id>> to_forget_; // by project
  std::deque<command_id> told_;                              // what pods have forgotten, the latest last

  shim_calls calls_;
  known_places places_; // last: its thread uses all of the above
};

} // namespace

std::shared_ptr<process_runner> make_kubernetes_runner(const runner_config& config,
                                                       std::unique_ptr<exec_transport> execs,
                                                       std::shared_ptr<pods> seen, std::shared_ptr<circuits> breakers,
                                                       rdev::log& log) {
  return std::make_shared<kubernetes_runner>(config, std::move(execs), std::move(seen), std::move(breakers), log);
}

} // namespace rdev::kubernetes
