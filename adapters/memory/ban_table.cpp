#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

using std::chrono::milliseconds;

class ban_table final : public ban_store {
public:
  explicit ban_table(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::vector<ban>> impose(std::span<const new_ban> bans) override {
    return t_.call("bans.impose", bans.size(), [&]() -> result<std::vector<ban>> {
      std::vector<ban> fresh;
      for (const auto& one : bans)
        if (const auto made = impose(one))
          fresh.push_back(*made);
      ++t_.ban_version;
      return fresh;
    });
  }

  result<std::vector<ban>> all(milliseconds memory) override {
    return t_.call("bans.all", 1, [&]() -> result<std::vector<ban>> { return newest_first(t_.clock() - memory); });
  }

  result<std::int64_t> version() override {
    return t_.call("bans.version", 1, [&]() -> result<std::int64_t> { return t_.ban_version; });
  }

  result<page<ban>> list(const page_request& at) override {
    return t_.call("bans.list", 1, [&]() -> result<page<ban>> {
      const auto from = at.cursor ? ban_id::parse(*at.cursor) : std::nullopt;
      page<ban> out;
      for (const auto& one : newest_first(t_.clock())) {
        if (from && one.id >= *from)
          continue;
        if (out.items.size() == static_cast<std::size_t>(at.limit)) {
          out.next_cursor = out.items.back().id.text();
          break;
        }
        out.items.push_back(one);
      }
      return out;
    });
  }

  result<std::optional<ban>> lift(const ban_id& id, const key_writer& writer) override {
    return t_.call("bans.lift", 1, [&]() -> result<std::optional<ban>> {
      if (writer.by && !t_.key_is_good(*writer.by, writer.revision))
        return failure{fault::key_changed, "the writer's key was revoked or changed meanwhile"};
      const auto found = std::find_if(t_.bans.begin(), t_.bans.end(), [&](const auto& e) { return e.second.id == id; });
      if (found == t_.bans.end() || found->second.until <= t_.clock())
        return std::optional<ban>{};
      const auto before = read(found->second);
      found->second.until = t_.clock();
      found->second.strikes = 0;
      ++t_.ban_version;
      t_.add_audit({writer.by, writer.actor_name, "ban.lift", id.uuid(), std::nullopt, "allowed", {}, writer.from, {}});
      return std::optional(before);
    });
  }

private:
  // None: it was locked out already.
  std::optional<ban> impose(const new_ban& one) {
    const auto now = t_.clock();
    auto& row = t_.bans[one.network];
    const bool stands = row.until > now;
    row.network = one.network;
    row.strikes = stands ? std::max(row.strikes, one.strikes) : one.strikes;
    row.until = std::max(row.until, now + one.for_so_long);
    if (stands)
      return std::nullopt;
    row.id = ban_id::make();
    row.since = now;
    t_.add_audit({std::nullopt,
                  "system",
                  "auth.lockout",
                  one.network.text(),
                  std::nullopt,
                  "done",
                  {},
                  {},
                  {{"failures", std::to_string(one.failures)}}});
    t_.add_event("auth.lockout", std::nullopt, std::nullopt, std::nullopt);
    return read(row);
  }

  [[nodiscard]] ban read(const ban& row) const {
    auto out = row;
    out.left = std::chrono::duration_cast<milliseconds>(row.until - t_.clock());
    return out;
  }

  [[nodiscard]] std::vector<rdev::ban> newest_first(timestamp ended_after) const {
    std::vector<rdev::ban> out;
    for (const auto& [network, row] : t_.bans)
      if (row.until > ended_after)
        out.push_back(read(row));
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.id > b.id; });
    return out;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<ban_store> make_ban_store(std::shared_ptr<world> in) {
  return std::make_shared<ban_table>(std::move(in));
}

} // namespace rdev::memory
