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

class keys final : public key_store {
public:
  explicit keys(std::shared_ptr<key_store> inner) : inner_(std::move(inner)) {
  }
  result<std::vector<api_key>> find_by_prefix(std::span<const std::string> prefixes) override {
    return inner_->find_by_prefix(prefixes);
  }
  result<std::optional<api_key>> find(const key_id& id) override {
    return inner_->find(id);
  }
  result<std::vector<running_command>> find_running(std::span<const command_id> commands) override {
    return inner_->find_running(commands);
  }
  result<page<api_key>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects,
                             std::optional<std::chrono::seconds> unused_for) override {
    return inner_->list(at, projects, unused_for);
  }
  result<mint_receipt> create(const api_key& key, std::chrono::seconds overlap, const key_writer& writer) override {
    return in_store("key", [&] { return inner_->create(key, overlap, writer); });
  }
  result<change_receipt> change(const api_key& key, const key_writer& writer) override {
    return in_store("key", [&] { return inner_->change(key, writer); });
  }
  result<change_receipt> revoke(const key_id& id, const key_writer& writer) override {
    return in_store("key", [&] { return inner_->revoke(id, writer); });
  }
  result<std::vector<anomaly>> note_uses(const std::vector<key_use>& uses) override {
    return inner_->note_uses(uses);
  }
  result<done> note_anomalies(const std::vector<anomaly>& seen) override {
    return inner_->note_anomalies(seen);
  }
  result<int> announce_expiries() override {
    return inner_->announce_expiries();
  }
  result<epoch_news> news_since(std::int64_t since) override {
    return inner_->news_since(since);
  }
  result<done> saw(const node_id& node, std::int64_t epoch) override {
    return inner_->saw(node, epoch);
  }
  result<std::optional<std::int64_t>> least_seen(const node_id& except, std::chrono::milliseconds grace) override {
    return inner_->least_seen(except, grace);
  }
  result<done> set_admin(const key_digest& hash) override {
    return inner_->set_admin(hash);
  }
  result<bool> settle_pepper(const std::optional<key_digest>& check) override {
    return inner_->settle_pepper(check);
  }

private:
  std::shared_ptr<key_store> inner_;
};

class bans final : public ban_store {
public:
  explicit bans(std::shared_ptr<ban_store> inner) : inner_(std::move(inner)) {
  }
  result<std::vector<ban>> impose(std::span<const new_ban> batch) override {
    return in_store("ban", [&] { return inner_->impose(batch); });
  }
  result<std::vector<ban>> all(std::chrono::milliseconds memory) override {
    return inner_->all(memory);
  }
  result<std::int64_t> version() override {
    return inner_->version();
  }
  result<page<ban>> list(const page_request& at) override {
    return inner_->list(at);
  }
  result<std::optional<ban>> lift(const ban_id& id, const key_writer& writer) override {
    return in_store("ban", [&] { return inner_->lift(id, writer); });
  }

private:
  std::shared_ptr<ban_store> inner_;
};

class records final : public audit_log {
public:
  explicit records(std::shared_ptr<audit_log> inner) : inner_(std::move(inner)) {
  }
  result<done> append(std::span<const new_audit_record> batch) override {
    return in_store("record", [&] { return inner_->append(batch); });
  }

private:
  std::shared_ptr<audit_log> inner_;
};

class chain final : public audit_chain_store {
public:
  explicit chain(std::shared_ptr<audit_chain_store> inner) : inner_(std::move(inner)) {
  }
  // Looks that find nothing do not count.
  result<sealing> seal(const node_id& node, int most) override {
    auto out = inner_->seal(node, most);
    if (out && out->sealed > 0 && pass("seal.after"))
      return failure{fault::unknown_outcome, "failpoint seal.after"};
    return out;
  }
  result<sealing> retire(const node_id& node) override {
    return inner_->retire(node);
  }
  result<std::chrono::milliseconds> oldest_unsealed() override {
    return inner_->oldest_unsealed();
  }

private:
  std::shared_ptr<audit_chain_store> inner_;
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
std::shared_ptr<key_store> around(std::shared_ptr<key_store> inner) {
  return std::make_shared<keys>(std::move(inner));
}
std::shared_ptr<ban_store> around(std::shared_ptr<ban_store> inner) {
  return std::make_shared<bans>(std::move(inner));
}
std::shared_ptr<audit_log> around(std::shared_ptr<audit_log> inner) {
  return std::make_shared<records>(std::move(inner));
}
std::shared_ptr<audit_chain_store> around(std::shared_ptr<audit_chain_store> inner) {
  return std::make_shared<chain>(std::move(inner));
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
std::shared_ptr<key_store> around(std::shared_ptr<key_store> inner) {
  return inner;
}
std::shared_ptr<ban_store> around(std::shared_ptr<ban_store> inner) {
  return inner;
}
std::shared_ptr<audit_log> around(std::shared_ptr<audit_log> inner) {
  return inner;
}
std::shared_ptr<audit_chain_store> around(std::shared_ptr<audit_chain_store> inner) {
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
