// Connections to shims. To a pod in which something was done lately one is kept ready, with a shell that waits for its
// order: the next order need not wait for a process to be started. containerd starts the processes of a container one
// after the other and takes a second for each end that waits meanwhile once there are more than 32, so only a few
// connections to a pod are opened at once. A pod that does not answer is left alone (circuits `pod:NAME`, and
// `kubernetes` for the API server).
#pragma once

#include "adapters/circuits.hpp"
#include "adapters/kubernetes/attachment.hpp"
#include "adapters/kubernetes/pods.hpp"

#include <condition_variable>
#include <memory>
#include <string>

namespace rdev::kubernetes {

// A container in which commands can be started.
struct place {
  pod where;
  shim_place shim;
};

inline bool same(const pod& a, const pod& b) {
  return a.name == b.name && a.uid == b.uid && a.container_id == b.container_id;
}

class shim_calls {
public:
  struct opened {
    std::shared_ptr<attachment> to;
    std::string first; // record
  };

  shim_calls(std::string name_space, std::string run_folder, std::unique_ptr<exec_transport> execs,
             std::shared_ptr<circuits> breakers);

  // For one order.
  [[nodiscard]] shim_channel channel() const;
  // A connection that stays, once its first record has come; waits up to 15 s for its turn and as long for the record.
  // Fault `unavailable`: nobody knows whether the order was taken.
  result<opened> open(const place& where, const shim_channel& on, std::string order, std::array<std::uint64_t, 2> from,
                      std::function<void()> changed);
  // One that brings one record.
  result<std::string> ask(const place& where, const shim_channel& on, std::string order);
  // Whether the pod is worth an attempt.
  [[nodiscard]] bool answers(const pod& where) const;
  // There is no such pod any more.
  void forget(const pod& where);
  // Lets go of connections that were kept ready for too long; call it every few seconds.
  void tidy();
  // Ends all connections, and every wait for one. Nobody calls an attachment any more once this and the calls under way
  // have returned.
  void stop();

private:
  struct both {
    std::uint64_t api;
    std::uint64_t pod;
  };
  result<both> admit(const pod& where);
  class spare;

  // None: it is over.
  std::shared_ptr<exec_session> connect(const pod& where, std::shared_ptr<exec_listener> listener);
  std::shared_ptr<spare> take_spare(const pod& where);
  void prepare_spare(const pod& where);
  // What came of an order that was sent to a shell that waited for it; none: it is to be sent again, to another.
  std::optional<opened> open_quickly(const place& where, const shim_channel& on, const std::string& order,
                                     std::array<std::uint64_t, 2> from, const std::function<void()>& changed);
  result<done> take_turn(const std::string& pod);
  void end_turn(const std::string& pod);

  std::string name_space_;
  std::string run_folder_;
  std::shared_ptr<circuits> breakers_;
  std::mutex ending_;
  std::shared_ptr<exec_transport> execs_; // none: it is over
  std::mutex mutex_;                      // of what follows
  std::condition_variable turn_ended_;
  std::map<std::string, int> opening_;                   // by pod
  std::map<std::string, std::shared_ptr<spare>> spares_; // by container
};

} // namespace rdev::kubernetes
