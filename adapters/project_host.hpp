// Port: where projects live. Local: folders; Kubernetes: pods.
#pragma once

#include "messages/values/operations.hpp"
#include "messages/values/projects.hpp"
#include "messages/values/result.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rdev {

class project_host {
public:
  virtual ~project_host() = default;
  // Sorted by id.
  virtual result<std::vector<project>> list() = 0;
  virtual result<std::optional<project>> find(const std::string& id) = 0;
  // All that keeps such a project from being made here.
  virtual std::vector<field_problem> objections(const create_project& what) {
    std::vector<field_problem> out;
    for (auto& field : given_fields(what.pod))
      out.push_back({std::move(field), "means nothing where projects are folders: leave it out"});
    return out;
  }
  // False: it is there already.
  virtual result<bool> create(const create_project& what) = 0;
  // With all its contents. False: there is none.
  virtual result<bool> remove(const std::string& id) = 0;
  // `changed` is called, from a thread of the host, when something about a project has changed without our doing; calls
  // may be superfluous. The former function is called no more once this has returned.
  virtual void watch(const std::function<void(const project&)>& /*changed*/) {
  }
  // Whether a project may well be there while this host cannot be asked for it.
  [[nodiscard]] virtual bool is_remote() const {
    return false;
  }
  // Whether start, stop and restart mean anything here.
  [[nodiscard]] virtual bool has_power_states() const = 0;
  // Only where they do; what is so already stays so. False: there is no such project that could be changed.
  virtual result<bool> change(const std::string& /*id*/, project_verb /*verb*/) {
    return false;
  }
};

} // namespace rdev
