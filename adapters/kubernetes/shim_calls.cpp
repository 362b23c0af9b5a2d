#include "adapters/kubernetes/shim_calls.hpp"

#include "adapters/crypto.hpp"
#include "adapters/kubernetes/api.hpp"

namespace rdev::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr auto answer_limit = milliseconds(15'000); // for the first record of a connection
constexpr auto turn_limit = milliseconds(15'000);
constexpr int most_opening = 6; // to one pod at once
constexpr int http_server_error = 500;

std::string circuit_of(const pod& where) {
  return "pod:" + where.name;
}

milliseconds since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
}

} // namespace

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
  if (auto turn = take_turn(where.where.name); !turn)
    return std::move(turn.error());
  const auto passes = admit(where.where);
  if (!passes) {
    end_turn(where.where.name);
    return passes.error();
  }
  const auto begin = std::chrono::steady_clock::now();
  auto to = std::make_shared<attachment>(on.nonce, where.shim, from, std::move(changed));
  auto session = execs_->open({name_space_, where.where.name, where.where.container, shim_argv()}, to);
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
  if (first)
    return opened{std::move(to), std::move(*first)};
  to->close();
  return std::move(first.error());
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
  breakers_->forget(circuit_of(where));
}

void shim_calls::stop() {
  execs_.reset();
}

} // namespace rdev::kubernetes
