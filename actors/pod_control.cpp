#include "actors/pod_control.hpp"

#include <algorithm>

namespace rdev::pod_control {

namespace {

refusal not_found(const std::string& id) {
  return {refusal_code::not_found, "there is no project '" + id + "'", {}, {}};
}

refusal conflict(std::string message) {
  return {refusal_code::conflict, std::move(message), {}, {}};
}

void refuse(reply& promise, refusal why) {
  promise.deliver(answer<outcome>(std::move(why)));
}

} // namespace

caf::result<answer<project>> state::on_locate(const locate& what) {
  auto found = host->find(what.project);
  if (!found) {
    around.fault("pod_control", found.error());
    if (!host->is_remote())
      return to_error(found.error());
    project unseen; // the command waits until the cluster can be asked
    unseen.id = what.project;
    unseen.status = project_status::pending;
    unseen.ready = false;
    return answer<project>(std::move(unseen));
  }
  if (!*found)
    return answer<project>(not_found(what.project));
  if ((*found)->status == project_status::stopped)
    return answer<project>(conflict("the project is stopped: POST /projects/" + what.project + "/start first"));
  return answer<project>(std::move(**found));
}

reply state::on_request(request& asked) {
  auto promise = self->make_response_promise<answer<outcome>>();
  const auto deliver = [&](result<answer<outcome>> answered) {
    if (answered)
      promise.deliver(std::move(*answered));
    else
      fail(promise, answered.error());
  };
  const auto carry_out = [&](const auto& op) {
    using kind = std::decay_t<decltype(op)>;
    if constexpr (std::is_same_v<kind, list_projects>)
      deliver(list(asked, op));
    else if constexpr (std::is_same_v<kind, get_project>)
      deliver(show(op.id));
    else if constexpr (std::is_same_v<kind, create_project>)
      create(asked, op, promise);
    else if constexpr (std::is_same_v<kind, delete_project>)
      remove(asked, op, promise);
    else if constexpr (std::is_same_v<kind, change_project>)
      change(asked, op, promise);
    else
      promise.deliver(to_error({fault::internal, "an operation that is not about projects"}));
  };
  std::visit(carry_out, asked.what);
  return promise;
}

result<answer<outcome>> state::list(const request& asked, const list_projects& what) {
  auto all = host->list();
  if (!all)
    return std::move(all.error());
  page<project> out;
  for (auto& p : *all) {
    if (!asked.who.sees_project(p.id) || (what.at.cursor && p.id <= *what.at.cursor))
      continue;
    if (out.items.size() == static_cast<std::size_t>(what.at.limit)) {
      out.next_cursor = out.items.back().id;
      break;
    }
    out.items.push_back(std::move(p));
  }
  return answer<outcome>(outcome(std::move(out)));
}

result<answer<outcome>> state::show(const std::string& id) {
  auto found = host->find(id);
  if (!found)
    return std::move(found.error());
  if (!*found)
    return answer<outcome>(not_found(id));
  return answer<outcome>(outcome(std::move(**found)));
}

// What is done to the cluster or to a folder cannot be refused by the store, so it is asked right before, and it is not
// done unless that is on record.
void state::if_vouched(const request& asked, const std::string& action, const std::string& project, reply promise,
                       const std::function<void()>& then) {
  project_change intent{project, action, asked.who.key, asked.who.key_name, asked.from, {}};
  self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                command_queue::vouch{std::move(intent), asked.who.revision})
      .then(
          [promise, then](const command_queue::vouched& now) mutable {
            if (now.good)
              then();
            else
              promise.deliver(to_error({fault::key_changed, "the key was revoked or changed meanwhile"}));
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

void state::fail(reply& promise, const failure& why) const {
  around.fault("pod_control", why);
  promise.deliver(to_error(why));
}

void state::change(const request& asked, const change_project& what, reply promise) {
  auto found = host->find(what.id);
  if (!found)
    return void(promise.deliver(to_error(found.error())));
  if (!*found)
    return refuse(promise, not_found(what.id));
  if (!host->has_power_states())
    return refuse(promise, conflict("projects of the local runner are folders: they cannot be started or stopped"));
  const auto* action = what.verb == project_verb::stop    ? "project.stop"
                       : what.verb == project_verb::start ? "project.start"
                                                          : "project.restart";
  if_vouched(asked, action, what.id, promise, [this, asked, what, promise] { change_now(asked, what, promise); });
}

void state::change_now(const request& asked, const change_project& what, reply promise) {
  auto changed = host->change(what.id, what.verb);
  if (!changed)
    return fail(promise, changed.error());
  if (!*changed)
    return refuse(promise, conflict("the pod of this project was not made by rdev: whoever made it can change it"));
  auto now = host->find(what.id);
  if (!now || !*now)
    return void(promise.deliver(to_error({fault::unavailable, "the changed project cannot be read"})));
  record(asked, what.verb == project_verb::stop ? "project.stopped" : "project.started", **now, **now, promise);
}

void state::create(const request& asked, const create_project& what, reply promise) {
  if (!asked.who.sees_project(what.id))
    return refuse(promise, {refusal_code::forbidden, "the key is not bound to this project", {}, {}});
  if (!asked.idempotency)
    return make(asked, what, promise);
  self->request(around.peers->get<command_queue::actor>(), caf::infinite,
                command_queue::look_up{asked.who.family, asked.from, *asked.idempotency})
      .then(
          [this, asked, what, promise](const command_queue::looked_up& before) mutable {
            if (!before.hit)
              return make(asked, what, promise);
            if (!before.hit->same_body)
              return refuse(promise, conflict("this Idempotency-Key was used with another body"));
            auto found = host->find(what.id);
            if (!found)
              return void(promise.deliver(to_error(found.error())));
            project made;
            made.id = what.id;
            made.status = project_status::stopped;
            made.reason = "deleted";
            made.ready = false;
            promise.deliver(answer<outcome>(outcome(project_created{*found ? std::move(**found) : made, true})));
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

void state::make(const request& asked, const create_project& what, reply promise) {
  if (auto wrong = host->objections(what); !wrong.empty())
    return refuse(promise,
                  {refusal_code::bad_request, "such a project cannot be made here; see details", std::move(wrong), {}});
  if_vouched(asked, "project.create", what.id, promise,
             [this, asked, what, promise] { make_now(asked, what, promise); });
}

void state::make_now(const request& asked, const create_project& what, reply promise) {
  auto made = host->create(what);
  if (!made)
    return fail(promise, made.error());
  if (!*made)
    return refuse(promise, conflict("there is a project '" + what.id + "' already"));
  auto found = host->find(what.id);
  if (!found || !*found)
    return void(promise.deliver(to_error({fault::unavailable, "the new project cannot be read"})));
  record(asked, "project.created", **found, project_created{**found, false}, promise);
}

void state::remove(const request& asked, const delete_project& what, reply promise) {
  auto found = host->find(what.id);
  if (!found)
    return void(promise.deliver(to_error(found.error())));
  if (!*found)
    return refuse(promise, not_found(what.id));
  auto last = std::move(**found);
  const auto remove_it = [this, asked, last, promise] {
    if_vouched(asked, "project.delete", last.id, promise,
               [this, asked, last, promise] { remove_now(asked, last, promise); });
  };
  if (what.force)
    return remove_it();
  self->request(around.peers->get<queries::actor>(), caf::infinite,
                queries::request{asked.who, asked.from, get_queue{}})
      .then(
          [last, promise, remove_it](const answer<outcome>& answered) mutable {
            const auto* queue = answered ? std::get_if<queue_view>(&*answered) : nullptr;
            const bool busy =
                queue != nullptr && std::any_of(queue->by_project.begin(), queue->by_project.end(), [&](const auto& p) {
                  return p.project == last.id && p.depth + p.running > 0;
                });
            if (busy)
              return refuse(
                  promise,
                  conflict("commands of the project are queued or running: cancel them, or repeat with ?force=true"));
            remove_it();
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

void state::remove_now(const request& asked, const project& what, reply promise) {
  auto removed = host->remove(what.id);
  if (!removed)
    return fail(promise, removed.error());
  auto gone = what;
  gone.status = project_status::stopped;
  gone.reason = "deleted";
  healthy.erase(what.id);
  record(asked, "project.deleted", gone, what, promise);
}

void state::record(const request& asked, const std::string& event, const project& what, outcome done, reply promise) {
  self->send(around.peers->get<streams::actor>(), streams::project_changed{what});
  around.trace(asked.from, "pod_control", "command_queue", "record");
  project_change change{what.id, event, asked.who.key, asked.who.key_name, asked.from, asked.idempotency};
  self->request(around.peers->get<command_queue::actor>(), caf::infinite, command_queue::record{std::move(change)})
      .then([promise, done](command_queue::recorded) mutable { promise.deliver(answer<outcome>(std::move(done))); },
            [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

void state::on_seen(const seen& what) {
  const auto& now = what.what;
  self->send(around.peers->get<streams::actor>(), streams::project_changed{now});
  const bool well = now.status == project_status::running;
  if (!well && now.status != project_status::unhealthy)
    return; // on its way
  if (const auto known = healthy.find(now.id); known != healthy.end() && known->second == well)
    return;
  healthy[now.id] = well;
  self->send(around.peers->get<command_queue::actor>(),
             command_queue::observe{{now.id, well, now.reason.value_or("")}});
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around,
                              std::shared_ptr<project_host> host) {
  self->state.around = around;
  self->state.host = std::move(host);
  return {
      [=](const locate& what) { return self->state.on_locate(what); },
      [=](request& asked) { return self->state.on_request(asked); },
      [=](const seen& what) { self->state.on_seen(what); },
  };
}

} // namespace rdev::pod_control
