// Lane `webhooks`. Events of this world are committed in their order, so nothing ever has to wait for an open
// transaction.
#include "adapters/json/json.hpp"
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

using std::chrono::milliseconds;

class outbox_tables final : public webhook_outbox {
public:
  explicit outbox_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<fan_out> spread(int most) override {
    return t_.call("webhooks.spread", 1, [&]() -> result<fan_out> {
      fan_out out;
      std::set<webhook_id> grown;
      for (; t_.events_spread < t_.events.size() && out.events < most; ++t_.events_spread, ++out.events)
        for (auto& [id, row] : t_.webhooks)
          if (wants(row, t_.events_spread)) {
            t_.add_delivery(row, t_.events_spread);
            grown.insert(id);
          }
      out.webhooks.assign(grown.begin(), grown.end());
      out.more = t_.events_spread < t_.events.size();
      return out;
    });
  }

  result<ownership> own(const node_id& node) override {
    return t_.call("webhooks.own", 1, [&]() -> result<ownership> {
      ownership out;
      out.share = share();
      if (t_.node_lives(node)) {
        out.left = std::chrono::duration_cast<milliseconds>(t_.nodes.at(node).expires_at - t_.clock());
        take(node, out.share);
      }
      for (const auto& [id, lease] : t_.webhook_leases)
        if (const auto row = t_.webhooks.find(id); row != t_.webhooks.end() && lease.node == node)
          out.mine.push_back({row->second.what, secrets_of(row->second), lease.token, has_due(row->second)});
      return out;
    });
  }

  result<done> release(const node_id& node, std::span<const webhook_id> webhooks) override {
    return t_.call("webhooks.release", webhooks.size(), [&]() -> result<done> {
      for (const auto& id : webhooks)
        if (const auto found = t_.webhook_leases.find(id);
            found != t_.webhook_leases.end() && found->second.node == node)
          t_.webhook_leases.erase(found);
      return done{};
    });
  }

  result<std::vector<due_delivery>> due(const webhook_id& id, std::int64_t token, int most) override {
    return t_.call("webhooks.due", 1, [&]() -> result<std::vector<due_delivery>> {
      std::vector<due_delivery> out;
      const auto row = t_.webhooks.find(id);
      if (!holds(id, token) || row == t_.webhooks.end() || !row->second.what.enabled)
        return out;
      std::vector<std::tuple<timestamp, delivery_id>> order;
      for (const auto& [delivery, waiting] : t_.due[id])
        order.emplace_back(row->second.what.ordered ? timestamp{} : waiting.due_at, delivery);
      std::sort(order.begin(), order.end());
      order.resize(std::min(order.size(), static_cast<std::size_t>(std::max(most, 0))));
      for (const auto& [at, delivery] : order)
        out.push_back(due_of(id, delivery));
      return out;
    });
  }

  result<std::vector<bool>> record(std::span<const attempt_record> batch) override {
    return t_.call("webhooks.record", batch.size(), [&]() -> result<std::vector<bool>> {
      std::vector<bool> out;
      for (const auto& one : batch)
        out.push_back(write(one));
      return out;
    });
  }

  result<int> disable_failing(milliseconds failing_for) override {
    return t_.call("webhooks.disable_failing", 1, [&]() -> result<int> {
      int n = 0;
      for (auto& [id, row] : t_.webhooks)
        if (row.what.failing_since && *row.what.failing_since <= t_.clock() - failing_for)
          n += disable(row, "it has failed since " + to_rfc3339(*row.what.failing_since)) ? 1 : 0;
      return n;
    });
  }

  result<std::int64_t> pending() override {
    return t_.call("webhooks.pending", 1, [&]() -> result<std::int64_t> {
      std::size_t n = 0;
      for (const auto& [id, rows] : t_.due)
        n += t_.webhooks.contains(id) ? rows.size() : 0;
      return static_cast<std::int64_t>(n);
    });
  }

private:
  [[nodiscard]] bool wants(const webhook_row& row, std::size_t event) const {
    const auto& what = t_.events[event];
    if (event < row.since || what.event == test_event_name || !passes(what.event, row.what.events))
      return false;
    if (what.event == "webhook.disabled" && what.data.find(row.what.id.uuid()) != std::string::npos)
      return false;
    const auto& projects = row.what.projects;
    return !projects ||
           (what.project && std::find(projects->begin(), projects->end(), *what.project) != projects->end());
  }

  [[nodiscard]] int share() const {
    const auto living =
        std::count_if(t_.nodes.begin(), t_.nodes.end(), [&](const auto& e) { return t_.node_lives(e.first); });
    const auto enabled =
        std::count_if(t_.webhooks.begin(), t_.webhooks.end(), [](const auto& e) { return e.second.what.enabled; });
    const auto nodes = std::max<std::ptrdiff_t>(living, 1);
    return static_cast<int>((enabled + nodes - 1) / nodes);
  }

  void take(const node_id& node, int most) {
    auto mine = std::count_if(t_.webhook_leases.begin(), t_.webhook_leases.end(), [&](const auto& e) {
      return e.second.node == node && t_.webhooks.contains(e.first) && t_.webhooks.at(e.first).what.enabled;
    });
    for (const auto& [id, row] : t_.webhooks) {
      const auto lease = t_.webhook_leases.find(id);
      const bool taken = lease != t_.webhook_leases.end() && t_.node_lives(lease->second.node);
      if (row.what.enabled && !taken && mine < most) {
        t_.webhook_leases[id] = {node, ++t_.last_token};
        ++mine;
      }
    }
  }

  [[nodiscard]] signing_secrets secrets_of(const webhook_row& row) const {
    return {row.current, row.former_until > t_.clock() ? row.former : std::nullopt};
  }

  bool has_due(const webhook_row& row) {
    const auto& waiting = t_.due[row.what.id];
    if (!row.what.enabled || waiting.empty())
      return false;
    const auto is_due = [&](const auto& e) { return e.second.due_at <= t_.clock(); };
    return row.what.ordered ? is_due(*waiting.begin()) : std::any_of(waiting.begin(), waiting.end(), is_due);
  }

  [[nodiscard]] bool holds(const webhook_id& id, std::int64_t token) const {
    const auto lease = t_.webhook_leases.find(id);
    return lease != t_.webhook_leases.end() && lease->second.token == token;
  }

  due_delivery due_of(const webhook_id& webhook, const delivery_id& id) {
    const auto& row = t_.deliveries.at(webhook).at(id);
    const auto& waiting = t_.due.at(webhook).at(id);
    const auto& event = t_.events[row.event];
    due_delivery out;
    out.id = id;
    out.sequence = row.what.sequence;
    out.attempts = waiting.attempts;
    out.due_in = std::chrono::ceil<milliseconds>(waiting.due_at - t_.clock());
    out.what = {event.id, event.event, event.at, event.project, event.command, "", event.key, event.data};
    if (event.command && t_.commands.contains(*event.command))
      out.what.command_type = name_of(t_.commands.at(*event.command).what.type);
    return out;
  }

  bool write(const attempt_record& one) {
    auto& waiting = t_.due[one.webhook];
    const auto due = waiting.find(one.delivery);
    if (!holds(one.webhook, one.token) || due == waiting.end())
      return false;
    auto& row = t_.deliveries.at(one.webhook).at(one.delivery);
    row.what.attempts.push_back(one.what);
    row.what.attempts.back().at = t_.clock() - one.ago;
    const bool ended = one.outcome == attempt_outcome::delivered || one.outcome == attempt_outcome::failed;
    if (ended) {
      row.given_up = one.outcome == attempt_outcome::failed;
      waiting.erase(due);
    } else {
      ++due->second.attempts;
      due->second.due_at = t_.clock() + (one.outcome == attempt_outcome::retry ? one.retry_in : milliseconds(0));
    }
    auto& webhook = t_.webhooks.at(one.webhook);
    if (one.outcome == attempt_outcome::delivered)
      webhook.what.failing_since.reset();
    else if (!webhook.what.failing_since)
      webhook.what.failing_since = t_.clock();
    if (one.outcome == attempt_outcome::disable)
      disable(webhook, one.what.error.empty() ? "the endpoint is gone" : one.what.error);
    return true;
  }

  // Whether it was enabled.
  bool disable(webhook_row& row, const std::string& reason) {
    if (!row.what.enabled)
      return false;
    row.what.enabled = false;
    row.what.disabled_reason = reason;
    ++row.what.revision;
    const auto url = bare_url(row.what.url);
    const auto id = row.what.id.uuid();
    json::writer data;
    data.begin_object().key("webhook").string(id).key("url").string(url).key("reason").string(reason).end_object();
    t_.add_event("webhook.disabled", std::nullopt, std::nullopt, std::nullopt, data.take());
    t_.add_audit({std::nullopt,
                  "system",
                  "webhook.disable",
                  id,
                  std::nullopt,
                  "done",
                  {},
                  {},
                  {{"url", url}, {"reason", reason}}});
    return true;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<webhook_outbox> make_webhook_outbox(std::shared_ptr<world> in) {
  return std::make_shared<outbox_tables>(std::move(in));
}

} // namespace rdev::memory
