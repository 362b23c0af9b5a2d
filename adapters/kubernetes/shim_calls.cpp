#include "adapters/kubernetes/shim_calls.hpp"

#include "adapters/crypto.hpp"
#include "adapters/kubernetes/api.hpp"

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr auto answer_limit = milliseconds(15'000); // for the first record of a connection
constexpr auto turn_limit = milliseconds(15'000);
constexpr auto quick_limit = milliseconds(3'000); // for the first record of a shell that waited for its order
constexpr auto spare_limit = std::chrono::seconds(60);
constexpr int most_opening = 6; // to one pod at once
constexpr int http_server_error = 500;

std::string circuit_of(const pod& where) {
  return "pod:" + where.name;
}

std::string container_of(const pod& where) {
  return where.name + "/" + where.uid + "/" + where.container_id;
}

milliseconds since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
}

} // namespace

// A connection whose shell waits for its order, and then one like any other.
class shim_calls::spare final : public exec_listener {
public:
  const pod where;
  const std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  std::shared_ptr<exec_session> session; // set before anybody else sees this

  explicit spare(pod w) : where(std::move(w)) {
  }

  void on_open() override {
  }
  bool on_bytes(stream which, std::string_view bytes) override {
    const auto to = target();
    return to == nullptr || to->on_bytes(which, bytes);
  }
  void on_end(const exec_end& how) override {
    std::shared_ptr<exec_listener> to;
    {
      std::lock_guard guard(mutex_);
      over_ = true;
      to.swap(to_);
    }
    if (to)
      to->on_end(how);
  }

  [[nodiscard]] bool over() const {
    std::lock_guard guard(mutex_);
    return over_;
  }
  // False: too late, it has ended.
  bool hand_to(std::shared_ptr<exec_listener> to) {
    std::lock_guard guard(mutex_);
    if (!over_)
      to_ = std::move(to);
    return !over_;
  }

private:
  std::shared_ptr<exec_listener> target() {
    std::lock_guard guard(mutex_);
    return to_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<exec_listener> to_;
  bool over_ = false;
};

shim_calls::shim_calls(std::string name_space, std::string run_folder, std::unique_ptr<exec_transport> execs,
                       std::shared_ptr<circuits> breakers)
    : name_space_(std::move(name_space)), run_folder_(std::move(run_folder)), breakers_(std::move(breakers)),
      execs_(std::move(execs)) {
}

shim_channel shim_calls::channel() const {
  return {to_hex(sha256(random_bytes(32))).substr(0, 32), run_folder_};
}

result<done> shim_calls::take_turn(const std::string& pod) {
  std::unique_lock lock(mutex_);
  if (!turn_ended_.wait_for(lock, turn_limit, [&] { return opening_[pod] < most_opening; }))
    return failure{fault::unavailable, "too many connections to pod " + pod + " are being opened"};
  ++opening_[pod];
  return done{};
}

void shim_calls::end_turn(const std::string& pod) {
  {
    std::lock_guard guard(mutex_);
    if (--opening_[pod] == 0)
      opening_.erase(pod);
  }
  turn_ended_.notify_all();
}

result<shim_calls::both> shim_calls::admit(const pod& where) {
  if (!answers(where)) // before a probe of one of them is used up for nothing
    return failure{fault::unavailable, "pod " + where.name + " or the API server is left alone: a circuit is open"};
  const auto api = breakers_->admit(api_circuit);
  if (!api)
    return api.error();
  const auto pod = breakers_->admit(circuit_of(where));
  if (pod)
    return both{*api, *pod};
  breakers_->ended(api_circuit, *api, false, milliseconds(0));
  return pod.error();
}

result<shim_calls::opened> shim_calls::open(const place& where, const shim_channel& on, std::string order,
                                            std::array<std::uint64_t, 2> from, std::function<void()> changed) {
  if (auto quick = open_quickly(where, on, order, from, changed))
    return std::move(*quick);
  if (auto turn = take_turn(where.where.name); !turn)
    return std::move(turn.error());
  const auto passes = admit(where.where);
  if (!passes) {
    end_turn(where.where.name);
    return passes.error();
  }
  const auto begin = std::chrono::steady_clock::now();
  auto to = std::make_shared<attachment>(on.nonce, where.shim, from, std::move(changed));
  auto session = connect(where.where, to);
  if (!session) {
    end_turn(where.where.name);
    return failure{fault::unavailable, "the server stops"};
  }
  session->send(std::move(order));
  to->use(std::move(session));
  auto first = to->first_record(answer_limit);
  end_turn(where.where.name);
  const auto took = since(begin);
  const auto refusal = first ? std::nullopt : to->refusal();
  // Whom it failed at: the API server did not answer at all or is overloaded, or what is behind it.
  const bool never_there = refusal && (refusal->http_status == 0 || refusal->http_status == 429);
  breakers_->ended(api_circuit, passes->api, !never_there, milliseconds(0));
  const bool its_fault = !first && !never_there && !(refusal && refusal->http_status < http_server_error);
  breakers_->ended(circuit_of(where.where), passes->pod, !its_fault, took);
  if (first) {
    prepare_spare(where.where);
    return opened{std::move(to), std::move(*first)};
  }
  to->close();
  return std::move(first.error());
}

std::shared_ptr<exec_session> shim_calls::connect(const pod& where, std::shared_ptr<exec_listener> listener) {
  std::shared_ptr<exec_transport> execs;
  {
    std::lock_guard guard(ending_);
    execs = execs_;
  }
  return execs ? execs->open({name_space_, where.name, where.container, shim_argv()}, std::move(listener)) : nullptr;
}

std::shared_ptr<shim_calls::spare> shim_calls::take_spare(const pod& where) {
  std::lock_guard guard(mutex_);
  const auto found = spares_.find(container_of(where));
  if (found == spares_.end())
    return nullptr;
  auto out = std::move(found->second);
  spares_.erase(found);
  return out;
}

// Not while others wait for their turn: they come first.
void shim_calls::prepare_spare(const pod& where) {
  std::lock_guard guard(mutex_);
  if (opening_.contains(where.name) || spares_.contains(container_of(where)))
    return;
  auto fresh = std::make_shared<spare>(where);
  fresh->session = connect(where, fresh);
  if (fresh->session)
    spares_.emplace(container_of(where), std::move(fresh));
}

std::optional<shim_calls::opened> shim_calls::open_quickly(const place& where, const shim_channel& on,
                                                           const std::string& order, std::array<std::uint64_t, 2> from,
                                                           const std::function<void()>& changed) {
  const auto ready = take_spare(where.where);
  if (!ready)
    return std::nullopt;
  auto to = std::make_shared<attachment>(on.nonce, where.shim, from, changed);
  if (!ready->hand_to(to))
    return std::nullopt;
  ready->session->send(order);
  to->use(ready->session);
  auto first = to->first_record(quick_limit);
  if (!first) { // it may have been taken all the same: who gets the same order again says what became of it
    to->close();
    return std::nullopt;
  }
  prepare_spare(where.where);
  return opened{std::move(to), std::move(*first)};
}

result<std::string> shim_calls::ask(const place& where, const shim_channel& on, std::string order) {
  auto begun = open(where, on, std::move(order), {}, [] {});
  if (!begun)
    return std::move(begun.error());
  begun->to->close();
  return std::move(begun->first);
}

bool shim_calls::answers(const pod& where) const {
  return breakers_->admits(circuit_of(where)) && breakers_->admits(api_circuit);
}

void shim_calls::forget(const pod& where) {
  if (const auto ready = take_spare(where); ready)
    ready->session->close();
  breakers_->forget(circuit_of(where));
}

void shim_calls::tidy() {
  const auto too_old = std::chrono::steady_clock::now() - spare_limit;
  std::vector<std::shared_ptr<spare>> old;
  {
    std::lock_guard guard(mutex_);
    std::erase_if(spares_, [&](auto& one) {
      const bool goes = one.second->over() || one.second->since < too_old;
      if (goes)
        old.push_back(std::move(one.second));
      return goes;
    });
  }
  for (const auto& one : old)
    one->session->close();
}

void shim_calls::stop() {
  std::shared_ptr<exec_transport> last;
  std::lock_guard guard(ending_);
  last.swap(execs_);
}

} // namespace rdev::kubernetes
