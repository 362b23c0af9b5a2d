// Lane `endpoints`.
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

constexpr std::size_t most_replayed = 100'000;

class webhook_tables final : public webhook_registry {
public:
  explicit webhook_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<page<webhook>> list(const page_request& at, const std::optional<std::vector<std::string>>& projects) override {
    return t_.call("endpoints.list", 1, [&]() -> result<page<webhook>> {
      const auto from = at.cursor ? webhook_id::parse(*at.cursor) : std::nullopt;
      page<webhook> out;
      for (auto it = t_.webhooks.rbegin(); it != t_.webhooks.rend(); ++it) {
        if ((from && it->first >= *from) || !lies_within(it->second.what, projects))
          continue;
        if (out.items.size() == static_cast<std::size_t>(at.limit)) {
          out.next_cursor = out.items.back().id.text();
          break;
        }
        out.items.push_back(it->second.what);
      }
      return out;
    });
  }

  result<std::optional<webhook>> find(const webhook_id& id) override {
    return t_.call("endpoints.find", 1, [&]() -> result<std::optional<webhook>> {
      const auto found = t_.webhooks.find(id);
      return found == t_.webhooks.end() ? std::nullopt : std::optional(found->second.what);
    });
  }

  result<webhook_mint_receipt> create(const webhook& what, const secret& plain, const key_writer& writer) override {
    return t_.call("endpoints.create", 1, [&]() -> result<webhook_mint_receipt> {
      if (!fits(writer))
        return webhook_mint_receipt{mint_verdict::writer_changed, {}};
      if (t_.webhooks.contains(what.id))
        return failure{fault::unknown_outcome, "a webhook of this id exists"};
      if (writer.idempotency) {
        const auto& row = t_.claim_idempotency(writer.family, writer.from, *writer.idempotency, what.id.uuid());
        if (row.resource != what.id.uuid())
          return row.body_digest == writer.idempotency->body_digest ? replayed(what, row)
                                                                    : webhook_mint_receipt{mint_verdict::conflict, {}};
      }
      auto& row = t_.webhooks[what.id];
      row.what = what;
      row.what.created_at = t_.clock();
      row.what.revision = 0;
      row.current = plain;
      row.since = t_.events.size();
      audit("webhook.create", what.id, writer, detail_of(what));
      return webhook_mint_receipt{mint_verdict::created, row.what};
    });
  }

  result<webhook_receipt> change(const webhook& what, const key_writer& writer) override {
    return changed("endpoints.change", what.id, writer, [&](webhook_row& row) {
      auto& now = row.what;
      if (now.revision != what.revision)
        return false;
      if (what.enabled && !now.enabled) {
        now.failing_since.reset();
        for (auto& [id, waiting] : t_.due[what.id])
          waiting.due_at = std::min(waiting.due_at, t_.clock());
      }
      if (what.enabled)
        now.disabled_reason.clear();
      now.url = what.url;
      now.events = what.events;
      now.projects = what.projects;
      now.description = what.description;
      now.enabled = what.enabled;
      now.ordered = what.ordered;
      ++now.revision;
      audit("webhook.change", what.id, writer, detail_of(now));
      return true;
    });
  }

  result<webhook_receipt> rotate(const webhook_id& id, const secret& plain, std::chrono::seconds overlap,
                                 const key_writer& writer) override {
    return changed("endpoints.rotate", id, writer, [&](webhook_row& row) {
      row.former = std::move(row.current);
      row.former_until = t_.clock() + overlap;
      row.current = plain;
      ++row.what.revision;
      audit("webhook.rotate_secret", id, writer, {});
      return true;
    });
  }

  result<webhook_receipt> remove(const webhook_id& id, const key_writer& writer) override {
    return changed("endpoints.remove", id, writer, [&](webhook_row& row) {
      audit("webhook.delete", id, writer, detail_of(row.what));
      t_.deliveries.erase(id);
      t_.due.erase(id);
      t_.webhook_leases.erase(id);
      t_.webhooks.erase(id);
      return true;
    });
  }

  result<page<delivery>> deliveries(const list_deliveries& what) override {
    return t_.call("endpoints.deliveries", 1, [&]() -> result<page<delivery>> {
      const auto from = what.at.cursor ? delivery_id::parse(*what.at.cursor) : std::nullopt;
      page<delivery> out;
      auto rows = matching(what.webhook, what.which);
      std::reverse(rows.begin(), rows.end());
      for (auto& one : rows) {
        if (from && one.id >= *from)
          continue;
        if (out.items.size() == static_cast<std::size_t>(what.at.limit)) {
          out.next_cursor = out.items.back().id.text();
          break;
        }
        out.items.push_back(std::move(one));
      }
      return out;
    });
  }

  result<std::optional<delivery>> find_delivery(const webhook_id& webhook, const delivery_id& id) override {
    return t_.call("endpoints.find_delivery", 1,
                   [&]() -> result<std::optional<delivery>> { return seen(webhook, id); });
  }

  result<delivery_receipt> test(const webhook_id& id, const key_writer& writer) override {
    return t_.call("endpoints.test", 1, [&]() -> result<delivery_receipt> {
      if (!fits(writer))
        return delivery_receipt{change_verdict::writer_changed, {}};
      const auto found = t_.webhooks.find(id);
      if (found == t_.webhooks.end())
        return delivery_receipt{change_verdict::not_found, {}};
      t_.add_event(std::string(test_event_name), std::nullopt, std::nullopt, writer.by);
      const auto made = t_.add_delivery(found->second, t_.events.size() - 1);
      audit("webhook.test", id, writer, {{"delivery", made.uuid()}});
      return delivery_receipt{change_verdict::changed, *seen(id, made)};
    });
  }

  result<delivery_receipt> redeliver(const webhook_id& webhook, const delivery_id& id,
                                     const key_writer& writer) override {
    return t_.call("endpoints.redeliver", 1, [&]() -> result<delivery_receipt> {
      if (!fits(writer))
        return delivery_receipt{change_verdict::writer_changed, {}};
      if (!seen(webhook, id))
        return delivery_receipt{change_verdict::not_found, {}};
      t_.due[webhook][id] = {t_.clock(), 0};
      audit("webhook.redeliver", webhook, writer, {{"delivery", id.uuid()}});
      return delivery_receipt{change_verdict::changed, *seen(webhook, id)};
    });
  }

  result<replay_receipt> replay(const replay_deliveries& what, const key_writer& writer) override {
    return t_.call("endpoints.replay", 1, [&]() -> result<replay_receipt> {
      if (!fits(writer))
        return replay_receipt{change_verdict::writer_changed, 0};
      if (!t_.webhooks.contains(what.webhook))
        return replay_receipt{change_verdict::not_found, 0};
      auto rows = matching(what.webhook, what.which);
      rows.resize(std::min(rows.size(), most_replayed));
      for (const auto& one : rows)
        t_.due[what.webhook][one.id] = {t_.clock(), 0};
      audit("webhook.redeliver", what.webhook, writer, {{"deliveries", std::to_string(rows.size())}});
      return replay_receipt{change_verdict::changed, static_cast<std::int64_t>(rows.size())};
    });
  }

private:
  [[nodiscard]] bool fits(const key_writer& writer) const {
    return !writer.by || t_.key_is_good(*writer.by, writer.revision);
  }

  static bool lies_within(const webhook& one, const std::optional<std::vector<std::string>>& projects) {
    if (!projects)
      return true;
    return one.projects && std::all_of(one.projects->begin(), one.projects->end(), [&](const auto& p) {
             return std::find(projects->begin(), projects->end(), p) != projects->end();
           });
  }

  static std::map<std::string, std::string> detail_of(const webhook& one) {
    return {{"url", bare_url(one.url)}, {"enabled", one.enabled ? "true" : "false"}};
  }

  void audit(const char* action, const webhook_id& id, const key_writer& writer,
             std::map<std::string, std::string> detail) {
    t_.add_audit(
        {writer.by, writer.actor_name, action, id.uuid(), std::nullopt, "allowed", {}, writer.from, std::move(detail)});
  }

  // `write(row)`: whether it was of the right revision.
  template <class Write>
  result<webhook_receipt> changed(const char* name, const webhook_id& id, const key_writer& writer, Write write) {
    return t_.call(name, 1, [&]() -> result<webhook_receipt> {
      if (!fits(writer))
        return webhook_receipt{change_verdict::writer_changed, {}};
      const auto found = t_.webhooks.find(id);
      if (found == t_.webhooks.end())
        return webhook_receipt{change_verdict::not_found, {}};
      const auto before = found->second.what;
      if (!write(found->second))
        return webhook_receipt{change_verdict::stale, {}};
      const auto after = t_.webhooks.find(id);
      return webhook_receipt{change_verdict::changed, after == t_.webhooks.end() ? before : after->second.what};
    });
  }

  // The same body made the first one, so it looked like `what`.
  webhook_mint_receipt replayed(webhook what, const idempotency_row& row) {
    what.id = *webhook_id::from_uuid(row.resource);
    const auto found = t_.webhooks.find(what.id);
    what.created_at = found == t_.webhooks.end() ? timestamp(std::chrono::milliseconds(what.id.unix_ms()))
                                                 : found->second.what.created_at;
    return {mint_verdict::replayed, std::move(what)};
  }

  // As a user sees it.
  std::optional<delivery> seen(const webhook_id& webhook, const delivery_id& id) {
    const auto owner = t_.webhooks.find(webhook);
    const auto& rows = t_.deliveries[webhook];
    const auto row = rows.find(id);
    if (owner == t_.webhooks.end() || row == rows.end())
      return std::nullopt;
    auto out = row->second.what;
    const auto& due = t_.due[webhook];
    const auto waiting = due.find(id);
    if (waiting == due.end()) {
      out.status = row->second.given_up ? delivery_status::failed : delivery_status::delivered;
      return out;
    }
    out.status = owner->second.what.enabled ? delivery_status::pending : delivery_status::blocked;
    if (out.status == delivery_status::pending)
      out.next_attempt_at = waiting->second.due_at;
    return out;
  }

  // Oldest first.
  std::vector<delivery> matching(const webhook_id& webhook, const delivery_filter& f) {
    std::vector<delivery> out;
    for (const auto& [id, row] : t_.deliveries[webhook]) {
      auto one = seen(webhook, id);
      if (one && (!f.status || one->status == *f.status) && (f.events.empty() || passes(one->event, f.events)) &&
          (!f.from || one->created_at >= *f.from) && (!f.to || one->created_at < *f.to))
        out.push_back(std::move(*one));
    }
    return out;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

bool passes(std::string_view event, const std::vector<std::string>& filters) {
  return std::any_of(filters.begin(), filters.end(), [&](std::string_view f) {
    return f == "*" || f == event || (f.ends_with(".*") && event.starts_with(f.substr(0, f.size() - 1)));
  });
}

std::string bare_url(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const auto host = url.find("://");
  if (host == std::string_view::npos)
    return std::string(url);
  const auto at = url.substr(0, url.find('/', host + 3)).rfind('@');
  return std::string(url.substr(0, host + 3)) +
         std::string(url.substr(at == std::string_view::npos ? host + 3 : at + 1));
}

std::shared_ptr<webhook_registry> make_webhook_registry(std::shared_ptr<world> in) {
  return std::make_shared<webhook_tables>(std::move(in));
}

} // namespace rdev::memory
