// The outbox the plain way, for tests that say exactly what it holds and what goes wrong with it. For one thread.
#pragma once

#include "adapters/webhook_store.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace rdev::test {

class plain_outbox final : public webhook_outbox {
public:
  using milliseconds = std::chrono::milliseconds;

  struct waiting {
    due_delivery what;
    milliseconds due_at{0};
  };
  struct row {
    owned_webhook what;
    bool ours = true; // this node has its lease
    std::int64_t sequence = 0;
    std::vector<waiting> waits;
  };

  explicit plain_outbox(std::function<milliseconds()> clock) : clock_(std::move(clock)) {
  }

  // ---- what is in it
  webhook_id add_endpoint(bool ordered = false) {
    row one;
    one.what.webhook.id = webhook_id::make();
    one.what.webhook.url = "https://hooks.example/" + one.what.webhook.id.text();
    one.what.webhook.events = {"*"};
    one.what.webhook.ordered = ordered;
    one.what.secrets.current = secret("0123456789abcdef01234567");
    one.what.token = 7;
    rows.push_back(std::move(one));
    return rows.back().what.webhook.id;
  }
  row& at(const webhook_id& id) {
    return *std::find_if(rows.begin(), rows.end(), [&](const auto& r) { return r.what.webhook.id == id; });
  }
  // The endpoint as own() shows it.
  owned_webhook seen(const webhook_id& id) {
    auto out = at(id).what;
    const auto all = sorted(at(id));
    out.has_due = out.webhook.enabled && !all.empty() && all.front().due_at <= clock_();
    return out;
  }
  // What a user does: the revision grows.
  void change(const webhook_id& id, const std::function<void(webhook&)>& how) {
    auto& one = at(id).what.webhook;
    const bool was_enabled = one.enabled;
    how(one);
    ++one.revision;
    if (one.enabled && !was_enabled) {
      one.disabled_reason.clear();
      for (auto& w : at(id).waits)
        w.due_at = clock_();
    }
  }
  void put(const webhook_id& id, int n = 1) {
    for (int i = 0; i < n; ++i)
      make_delivery(at(id), a_fact());
  }
  static event_fact a_fact() {
    event_fact out;
    out.id = message_id::make();
    out.event = "command.completed";
    return out;
  }

  // A fact was committed.
  void tell(int n = 1) {
    facts.resize(facts.size() + static_cast<std::size_t>(n));
  }
  void let_go() {
    facts.insert(facts.end(), kept_back.begin(), kept_back.end());
    kept_back.clear();
  }

  // ---- the port
  result<fan_out> spread(int most) override {
    if (auto bad = called("spread", 1))
      return *bad;
    fan_out out;
    for (; out.events < most && !facts.empty(); ++out.events) {
      const auto next = facts.front();
      facts.pop_front();
      for (auto& r : rows) {
        if (next.about == r.what.webhook.id)
          continue;
        make_delivery(r, a_fact());
        if (std::find(out.webhooks.begin(), out.webhooks.end(), r.what.webhook.id) == out.webhooks.end())
          out.webhooks.push_back(r.what.webhook.id);
      }
    }
    out.more = !facts.empty();
    out.held = !kept_back.empty();
    return out;
  }
  result<ownership> own(const node_id&) override {
    if (auto bad = called("own", 1))
      return *bad;
    ownership out;
    for (auto& r : rows)
      if (r.ours)
        out.mine.push_back(seen(r.what.webhook.id));
    out.left = left;
    out.share = share;
    return out;
  }
  result<done> release(const node_id&, std::span<const webhook_id> webhooks) override {
    if (auto bad = called("release", webhooks.size()))
      return *bad;
    for (const auto& id : webhooks) {
      at(id).ours = false;
      released.push_back(id);
    }
    return done{};
  }
  result<std::vector<due_delivery>> due(const webhook_id& id, std::int64_t token, int most) override {
    if (auto bad = called("due", static_cast<std::size_t>(most)))
      return *bad;
    std::vector<due_delivery> out;
    const auto& r = at(id);
    if (r.what.token != token || !r.what.webhook.enabled)
      return out;
    for (auto& one : sorted(r)) {
      if (out.size() == static_cast<std::size_t>(most))
        break;
      one.what.due_in = one.due_at - clock_();
      out.push_back(std::move(one.what));
    }
    return out;
  }
  result<std::vector<bool>> record(std::span<const attempt_record> batch) override {
    if (auto bad = called("record", batch.size()))
      return *bad;
    std::vector<bool> out;
    for (const auto& one : batch) {
      records.push_back(one);
      out.push_back(written(one));
    }
    return out;
  }
  result<int> disable_failing(milliseconds failing_for) override {
    if (auto bad = called("disable_failing", static_cast<std::size_t>(failing_for.count())))
      return *bad;
    for (const auto& id : failing_too_long)
      disable(at(id), "has failed for too long");
    return static_cast<int>(std::exchange(failing_too_long, {}).size());
  }
  result<std::int64_t> pending() override {
    if (auto bad = called("pending", 1))
      return *bad;
    std::int64_t out = 0;
    for (const auto& r : rows)
      out += static_cast<std::int64_t>(r.waits.size());
    return out;
  }

  // ---- what the test says, and what it sees
  struct fact {
    webhook_id about{}; // of `webhook.disabled`: that one is not told
  };
  std::vector<row> rows;
  std::deque<fact> facts;     // of which no deliveries have been made
  std::deque<fact> kept_back; // the same, behind a transaction that is still open
  milliseconds left{3'000};
  int share = 100;
  std::vector<webhook_id> failing_too_long;
  bool unreachable = false;
  std::map<std::string, int> failing; // so many calls of this name, the next ones, fail
  std::map<std::string, std::vector<std::size_t>> calls;
  std::vector<std::string> order_of_calls;
  std::vector<attempt_record> records;
  std::vector<webhook_id> released;

private:
  std::optional<failure> called(const std::string& name, std::size_t size) {
    calls[name].push_back(size);
    order_of_calls.push_back(name);
    if (!unreachable && failing[name] == 0)
      return std::nullopt;
    failing[name] -= unreachable ? 0 : 1;
    return failure{fault::unavailable, "planned"};
  }
  void make_delivery(row& r, event_fact what) const {
    waiting one;
    one.what.id = delivery_id::make();
    one.what.sequence = ++r.sequence;
    one.what.what = std::move(what);
    one.due_at = clock_();
    r.waits.push_back(std::move(one));
  }
  static std::vector<waiting> sorted(const row& r) {
    auto out = r.waits;
    std::stable_sort(out.begin(), out.end(), [&](const waiting& a, const waiting& b) {
      if (!r.what.webhook.ordered && a.due_at != b.due_at)
        return a.due_at < b.due_at;
      return a.what.sequence < b.what.sequence;
    });
    return out;
  }
  void disable(row& r, std::string why) {
    r.what.webhook.enabled = false;
    r.what.webhook.disabled_reason = std::move(why);
    ++r.what.webhook.revision;
    facts.push_back({r.what.webhook.id});
  }
  bool written(const attempt_record& one) {
    auto& r = at(one.webhook);
    const auto found =
        std::find_if(r.waits.begin(), r.waits.end(), [&](const auto& w) { return w.what.id == one.delivery; });
    if (r.what.token != one.token || found == r.waits.end())
      return false;
    switch (one.outcome) {
    case attempt_outcome::delivered:
    case attempt_outcome::failed:
      r.waits.erase(found);
      break;
    case attempt_outcome::retry:
      ++found->what.attempts;
      found->due_at = clock_() + one.retry_in;
      break;
    case attempt_outcome::disable:
      disable(r, one.what.error);
      break;
    }
    return true;
  }

  std::function<milliseconds()> clock_;
};

} // namespace rdev::test
