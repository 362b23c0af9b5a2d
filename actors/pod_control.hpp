// Owns: the project host. Loses nothing on death. Runs: detached, because the host blocks.
#pragma once

#include "actors/surroundings.hpp"
#include "adapters/project_host.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <map>
#include <memory>

namespace rdev::pod_control {

using reply = caf::typed_response_promise<answer<outcome>>;

struct state {
  explicit state(actor::base* self_pointer) : self(self_pointer) {
  }
  caf::result<answer<project>> on_locate(const locate& what);
  reply on_request(request& asked);
  void on_seen(const seen& what);

  result<answer<outcome>> list(const request& asked, const list_projects& what);
  result<answer<outcome>> show(const std::string& id);
  void change(const request& asked, const change_project& what, reply promise);
  void create(const request& asked, const create_project& what, reply promise);
  void if_vouched(const request& asked, const std::string& action, const std::string& project, reply promise,
                  const std::function<void()>& then);
  void change_now(const request& asked, const change_project& what, reply promise);
  void make_now(const request& asked, const create_project& what, reply promise);
  void make(const request& asked, const create_project& what, reply promise);
  void remove(const request& asked, const delete_project& what, reply promise);
  void remove_now(const request& asked, const project& what, reply promise);
  void fail(reply& promise, const failure& why) const;
  // Has COMMAND QUEUE write the audit and event rows, then answers.
  void record(const request& asked, const std::string& event, const project& what, outcome done, reply promise);

  actor::base* self;
  surroundings around;
  std::shared_ptr<project_host> host;
  std::map<std::string, bool> healthy; // what was last said to COMMAND QUEUE
  const char* name = "pod_control";
};

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around,
                              std::shared_ptr<project_host> host);

} // namespace rdev::pod_control
