#include "actors/endpoints.hpp"

#include "adapters/crypto.hpp"

#include <algorithm>
#include <utility>

namespace rdev::endpoints {

namespace {

using projects = std::optional<std::vector<std::string>>;

constexpr std::size_t secret_bytes = 32; // Standard Webhooks: 24 to 64
constexpr int attempts_at_a_change = 5;  // while others change the same endpoint

refusal not_found(const char* what) {
  return {refusal_code::not_found, std::string("there is no such ") + what, {}, {}};
}

refusal not_bound() {
  return {refusal_code::forbidden, "the key is not bound to all of these projects", {}, {}};
}

refusal bad_url(std::string problem) {
  return {refusal_code::bad_request, "the request has 1 problem; see details", {{"url", std::move(problem)}}, {}};
}

// Whether all of `these` lie within what the asker sees; none = everything.
bool within(const projects& these, const principal& who) {
  if (!who.project_ids)
    return true;
  return these && std::all_of(these->begin(), these->end(), [&](const auto& one) { return who.sees_project(one); });
}

key_writer writer_of(const request& asked) {
  return {asked.who.key, asked.who.key_name, asked.from, asked.who.family, asked.idempotency, asked.who.revision};
}

secret text_of(const secret& plain) {
  return secret("whsec_" + to_base64(plain.reveal()));
}

webhook changed(webhook now, const webhook_change& what) {
  now.url = what.url.value_or(now.url);
  now.events = what.events.value_or(now.events);
  now.projects = what.projects.value_or(now.projects);
  now.description = what.description.value_or(now.description);
  now.enabled = what.enabled.value_or(now.enabled);
  now.ordered = what.ordered.value_or(now.ordered);
  return now;
}

template <class T>
state::reply said(T what) {
  return answer<outcome>(outcome(std::move(what)));
}

state::reply refused(refusal why) {
  return answer<outcome>(std::move(why));
}

} // namespace

caf::result<answer<outcome>> state::on_request(const request& asked) {
  auto answered = std::visit(
      [&](const auto& what) -> reply {
        if constexpr (requires { carry_out(asked, what); })
          return carry_out(asked, what);
        else
          return failure{fault::internal, "an operation that is not about webhooks"};
      },
      asked.what);
  if (!answered)
    return to_error(answered.error());
  return std::move(*answered);
}

template <class Then>
state::reply state::with_visible(const request& asked, const webhook_id& id, Then then) {
  auto found = store->find(id);
  if (!found)
    return std::move(found.error());
  if (!*found || !within((*found)->projects, asked.who))
    return refused(not_found("webhook"));
  return then(std::move(**found));
}

template <class Then>
state::reply state::settled(const request& asked, change_verdict verdict, Then then) {
  switch (verdict) {
  case change_verdict::changed:
    told_of(asked);
    return then();
  case change_verdict::not_found:
    return refused(not_found("webhook"));
  case change_verdict::writer_changed:
    return failure{fault::key_changed, "the key is not what it was when it was accepted"};
  case change_verdict::stale:
    return failure{fault::unavailable, "others change the same webhook again and again"};
  }
  return failure{fault::internal, "an unknown verdict"};
}

void state::told_of(const request& asked) {
  around.trace(asked.from, "endpoints", "audit", "committed");
  self->send(around.peers->get<audit::actor>(), audit::committed{asked.from, 1});
  self->send(around.peers->get<webhooks::actor>(), webhooks::changed{});
}

state::reply state::carry_out(const request& asked, const list_webhooks& what) {
  auto all = store->list(what.at, asked.who.project_ids);
  return all ? said(std::move(*all)) : reply(std::move(all.error()));
}

state::reply state::carry_out(const request& asked, const create_webhook& what) {
  if (auto problem = sender->problem_of(what.what.url))
    return refused(bad_url(std::move(*problem)));
  webhook fresh;
  fresh.id = webhook_id::make();
  fresh.url = what.what.url;
  fresh.events = what.what.events;
  fresh.projects = what.what.projects ? what.what.projects : asked.who.project_ids;
  fresh.description = what.what.description;
  fresh.ordered = what.what.ordered;
  fresh.created_by = asked.who.key;
  if (!within(fresh.projects, asked.who))
    return refused(not_bound());
  const secret plain(random_bytes(secret_bytes));
  auto made = store->create(fresh, plain, writer_of(asked));
  if (!made)
    return std::move(made.error());
  switch (made->verdict) {
  case mint_verdict::conflict:
    return refused({refusal_code::conflict, "this Idempotency-Key was used with another body", {}, {}});
  case mint_verdict::stale:
  case mint_verdict::writer_changed:
    return settled(asked, change_verdict::writer_changed, [] { return reply(failure{}); });
  case mint_verdict::replayed:
    return said(minted_webhook{std::move(made->webhook), std::nullopt, true});
  case mint_verdict::created:
    break;
  }
  told_of(asked);
  return said(minted_webhook{std::move(made->webhook), text_of(plain), false});
}

state::reply state::carry_out(const request& asked, const get_webhook& what) {
  return with_visible(asked, what.id, [](webhook found) { return said(std::move(found)); });
}

state::reply state::carry_out(const request& asked, const change_webhook& what) {
  if (what.what.url)
    if (auto problem = sender->problem_of(*what.what.url))
      return refused(bad_url(std::move(*problem)));
  reply out = failure{fault::internal, "no attempt was made"};
  bool stale = true;
  for (int i = 0; stale && i < attempts_at_a_change; ++i) {
    stale = false;
    out = with_visible(asked, what.id, [&](webhook found) -> reply {
      auto fresh = changed(std::move(found), what.what);
      if (!within(fresh.projects, asked.who))
        return refused(not_bound());
      auto done = store->change(fresh, writer_of(asked));
      if (!done)
        return std::move(done.error());
      stale = done->verdict == change_verdict::stale;
      return settled(asked, done->verdict, [&] { return said(std::move(done->webhook)); });
    });
  }
  return out;
}

state::reply state::carry_out(const request& asked, const delete_webhook& what) {
  return with_visible(asked, what.id, [&](const webhook&) -> reply {
    auto done = store->remove(what.id, writer_of(asked));
    if (!done)
      return std::move(done.error());
    return settled(asked, done->verdict, [&] { return said(std::move(done->webhook)); });
  });
}

state::reply state::carry_out(const request& asked, const rotate_webhook_secret& what) {
  return with_visible(asked, what.id, [&](const webhook&) -> reply {
    const secret plain(random_bytes(secret_bytes));
    auto done = store->rotate(what.id, plain, what.overlap, writer_of(asked));
    if (!done)
      return std::move(done.error());
    return settled(asked, done->verdict, [&] {
      return said(minted_webhook{std::move(done->webhook), text_of(plain), false});
    });
  });
}

state::reply state::carry_out(const request& asked, const test_webhook& what) {
  return with_visible(asked, what.id, [&](const webhook&) -> reply {
    auto done = store->test(what.id, writer_of(asked));
    if (!done)
      return std::move(done.error());
    return settled(asked, done->verdict, [&] { return said(delivery_queued{std::move(done->delivery)}); });
  });
}

state::reply state::carry_out(const request& asked, const list_deliveries& what) {
  return with_visible(asked, what.webhook, [&](const webhook&) -> reply {
    auto all = store->deliveries(what);
    return all ? said(std::move(*all)) : reply(std::move(all.error()));
  });
}

state::reply state::carry_out(const request& asked, const get_delivery& what) {
  return with_visible(asked, what.webhook, [&](const webhook&) -> reply {
    auto one = store->find_delivery(what.webhook, what.id);
    if (!one)
      return std::move(one.error());
    return *one ? said(std::move(**one)) : refused(not_found("delivery"));
  });
}

state::reply state::carry_out(const request& asked, const redeliver& what) {
  return with_visible(asked, what.webhook, [&](const webhook&) -> reply {
    auto done = store->redeliver(what.webhook, what.id, writer_of(asked));
    if (!done)
      return std::move(done.error());
    if (done->verdict == change_verdict::not_found)
      return refused(not_found("delivery"));
    return settled(asked, done->verdict, [&] { return said(delivery_queued{std::move(done->delivery)}); });
  });
}

state::reply state::carry_out(const request& asked, const replay_deliveries& what) {
  return with_visible(asked, what.webhook, [&](const webhook&) -> reply {
    auto done = store->replay(what, writer_of(asked));
    if (!done)
      return std::move(done.error());
    return settled(asked, done->verdict, [&] { return said(deliveries_queued{done->deliveries}); });
  });
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around,
                              std::shared_ptr<webhook_registry> store, std::shared_ptr<webhook_sender> sender) {
  self->state.around = around;
  self->state.store = std::move(store);
  self->state.sender = std::move(sender);
  return {
      [=](const request& what) { return self->state.on_request(what); },
  };
}

} // namespace rdev::endpoints
