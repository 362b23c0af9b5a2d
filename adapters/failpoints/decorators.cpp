#include "adapters/failpoints/decorators.hpp"

#include "adapters/failpoint.hpp"

namespace rdev::failpoint {

#ifdef RDEV_FAILPOINTS

namespace {

template <class Call>
auto between(const std::string& name, fault lost_answer, Call call) -> decltype(call()) {
  if (pass(name + ".before"))
    return failure{fault::unavailable, "failpoint " + name + ".before"};
  auto out = call();
  if (pass(name + ".after"))
    return failure{lost_answer, "failpoint " + name + ".after"};
  return out;
}

template <class Call>
auto in_store(const std::string& name, Call call) -> decltype(call()) {
  return between(name, fault::unknown_outcome, call);
}

template <class Call>
auto in_runner(const std::string& name, Call call) -> decltype(call()) {
  return between(name, fault::unavailable, call);
}

class commands final : public command_store {
public:
  explicit commands(std::shared_ptr<command_store> inner) : inner_(std::move(inner)) {
  }
  result<std::vector<submit_receipt>> submit(std::span<const new_command> batch) override {
    return in_store("submit", [&] { return inner_->submit(batch); });
  }
  result<std::vector<command_id>> existing(std::span<const command_id> ids) override {
    return inner_->existing(ids);
  }
  // Polls that find nothing do not count.
  result<std::vector<lease>> claim(const claim_request& request) override {
    auto out = inner_->claim(request);
    if (out && !out->empty() && pass("claim.after"))
      return failure{fault::unknown_outcome, "failpoint claim.after"};
    return out;
  }
  result<std::vector<bool>> complete(std::span<const completion> batch) override {
    return in_store("complete", [&] { return inner_->complete(batch); });
  }
  result<cancel_verdict> cancel(const cancel_order& order) override {
    return in_store("cancel", [&] { return inner_->cancel(order); });
  }
  result<std::vector<command_id>> cancel_queued(const queue_order& order, int most) override {
    return in_store("cancel", [&] { return inner_->cancel_queued(order, most); });
  }
  result<bool> vouch(const project_change& change, int revision) override {
    return inner_->vouch(change, revision);
  }
  result<done> record(const project_change& change) override {
    return inner_->record(change);
  }
  result<bool> observe(const project_health& seen) override {
    return inner_->observe(seen);
  }
  result<std::optional<idempotency_hit>> find_idempotent(const key_id& family, const request_context& from,
                                                         const rdev::idempotency& key) override {
    return inner_->find_idempotent(family, from, key);
  }

private:
  std::shared_ptr<command_store> inner_;
};

class output final : public output_store {
public:
  explicit output(std::shared_ptr<output_store> inner) : inner_(std::move(inner)) {
  }
  result<std::vector<bool>> append(std::span<const output_append> batch) override {
    return in_store("output", [&] { return inner_->append(batch); });
  }

private:
  std::shared_ptr<output_store> inner_;
};

class leases final : public lease_store {
public:
  explicit leases(std::shared_ptr<lease_store> inner) : inner_(std::move(inner)) {
  }
  result<bool> beat(const node_info& self, std::chrono::milliseconds lease) override {
    return inner_->beat(self, lease);
  }
  result<std::vector<lease>> reclaim(const node_info& self, std::span<const command_id> only) override {
    return taken("reclaim", inner_->reclaim(self, only));
  }
  result<std::vector<lease>> adopt(const node_info& self, int most, std::chrono::milliseconds foreign_after) override {
    return taken("adopt", inner_->adopt(self, most, foreign_after));
  }
  result<std::vector<held_lease>> held(const node_info& self) override {
    return inner_->held(self);
  }
  result<bool> holds(const command_id& id, std::int64_t token) override {
    return inner_->holds(id, token);
  }
  result<std::vector<command_id>> over(std::span<const command_id> ids) override {
    return inner_->over(ids);
  }
  result<done> leave(const node_id& self) override {
    return inner_->leave(self);
  }
  result<done> upkeep() override {
    return inner_->upkeep();
  }

private:
  // Scans that find nothing do not count.
  static result<std::vector<lease>> taken(const std::string& name, result<std::vector<lease>> found) {
    if (found && !found->empty() && pass(name + ".after"))
      return failure{fault::unknown_outcome, "failpoint " + name + ".after"};
    return found;
  }

  std::shared_ptr<lease_store> inner_;
};

class outbox final : public webhook_outbox {
public:
  explicit outbox(std::shared_ptr<webhook_outbox> inner) : inner_(std::move(inner)) {
  }
  // Looks that find nothing do not count.
  result<fan_out> spread(int most) override {
    auto out = inner_->spread(most);
    if (out && !out->webhooks.empty() && pass("spread.after"))
      return failure{fault::unknown_outcome, "failpoint spread.after"};
    return out;
  }
  result<ownership> own(const node_id& node) override {
    return inner_->own(node);
  }
  result<done> release(const node_id& node, std::span<const webhook_id> webhooks) override {
    return inner_->release(node, webhooks);
  }
  result<std::vector<due_delivery>> due(const webhook_id& id, std::int64_t token, int most) override {
    auto out = inner_->due(id, token, most);
    if (out && !out->empty() && pass("due.after"))
      return failure{fault::unavailable, "failpoint due.after"};
    return out;
  }
  result<std::vector<bool>> record(std::span<const attempt_record> batch) override {
    return in_store("attempt", [&] { return inner_->record(batch); });
  }
  result<int> disable_failing(std::chrono::milliseconds failing_for) override {
    return inner_->disable_failing(failing_for);
  }
  result<std::int64_t> pending() override {
    return inner_->pending();
  }

private:
  std::shared_ptr<webhook_outbox> inner_;
};

class processes final : public process_runner {
public:
  explicit processes(std::shared_ptr<process_runner> inner) : inner_(std::move(inner)) {
  }
  std::string scope() override {
    return inner_->scope();
  }
  std::string boot_tag() override {
    return inner_->boot_tag();
  }
  std::string why_gone(const std::string& start_intent) override {
    return inner_->why_gone(start_intent);
  }
  std::optional<std::map<std::string, std::string>> places() override {
    return inner_->places();
  }
  std::string why_waits(const std::string& project) override {
    return inner_->why_waits(project);
  }
  void expect(const command_id& id, const std::string& project, std::array<std::uint64_t, 2> stored) override {
    inner_->expect(id, project, stored);
  }
  result<run_status> start(const launch& what) override {
    return in_runner("start", [&] { return inner_->start(what); });
  }
  result<run_status> status(const command_id& id) override {
    return inner_->status(id);
  }
  result<std::string> read(const command_id& id, stream which, std::uint64_t offset, std::size_t most) override {
    return inner_->read(id, which, offset, most);
  }
  result<run_status> cancel(const command_id& id, std::chrono::milliseconds grace) override {
    return in_runner("kill", [&] { return inner_->cancel(id, grace); });
  }
  result<int> end_leftovers(const command_id& id) override {
    return inner_->end_leftovers(id);
  }
  result<done> forget(const command_id& id) override {
    return in_runner("forget", [&] { return inner_->forget(id); });
  }
  result<std::vector<command_id>> kept() override {
    return inner_->kept();
  }
  result<done> drop_marks(std::chrono::seconds older_than) override {
    return inner_->drop_marks(older_than);
  }
  void watch(std::function<void(const command_id&)> changed) override {
    inner_->watch(std::move(changed));
  }

private:
  std::shared_ptr<process_runner> inner_;
};

} // namespace

std::shared_ptr<command_store> around(std::shared_ptr<command_store> inner) {
  return std::make_shared<commands>(std::move(inner));
}
std::shared_ptr<output_store> around(std::shared_ptr<output_store> inner) {
  return std::make_shared<output>(std::move(inner));
}
std::shared_ptr<lease_store> around(std::shared_ptr<lease_store> inner) {
  return std::make_shared<leases>(std::move(inner));
}
std::shared_ptr<webhook_outbox> around(std::shared_ptr<webhook_outbox> inner) {
  return std::make_shared<outbox>(std::move(inner));
}
std::shared_ptr<process_runner> around(std::shared_ptr<process_runner> inner) {
  return std::make_shared<processes>(std::move(inner));
}

#else

std::shared_ptr<command_store> around(std::shared_ptr<command_store> inner) {
  return inner;
}
std::shared_ptr<output_store> around(std::shared_ptr<output_store> inner) {
  return inner;
}
std::shared_ptr<lease_store> around(std::shared_ptr<lease_store> inner) {
  return inner;
}
std::shared_ptr<webhook_outbox> around(std::shared_ptr<webhook_outbox> inner) {
  return inner;
}
std::shared_ptr<process_runner> around(std::shared_ptr<process_runner> inner) {
  return inner;
}

#endif

} // namespace rdev::failpoint
