// One thread that owns connections: it reads requests, hands them to the handler, and writes replies and feeds as fast
// as each client takes them. It never waits for a client, an actor or a store, and a connection is touched by no other
// thread.
#pragma once

#include "adapters/descriptor.hpp"
#include "adapters/http/request_handler.hpp"
#include "adapters/http/request_reader.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

namespace rdev::http {

struct loop_config {
  request_limits limits;
  std::chrono::milliseconds request_timeout{30000}; // from the first byte of a request to its last
  std::chrono::milliseconds keep_alive{60000};      // of a connection without a request
  std::chrono::milliseconds write_timeout{30000};   // without a byte taken by the client
};

// Whoever was asked for a reply or a piece must have answered, or never do so, before the loop ends.
class event_loop {
public:
  event_loop(request_handler& handler, loop_config config);
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  // Takes a connected, non-blocking socket. Thread-safe.
  void adopt(descriptor socket, const ip_address& peer);
  // Takes a socket only to say why it is not served. Thread-safe.
  void turn_away(descriptor socket, const ip_address& peer, refusal why);
  // Connections without a request are closed now, the others after their reply. Thread-safe.
  void drain();
  // How many connections it owns, those on their way to it and those turned away included. Thread-safe.
  [[nodiscard]] std::size_t connections() const {
    return count_.load();
  }

private:
  using clock = std::chrono::steady_clock;
  struct connection;
  using task = std::function<void()>;

  void post(task what);
  void run(const std::stop_token& stop);
  void run_tasks();
  connection* take(descriptor socket, const ip_address& peer);
  connection* find(std::uint64_t id);
  void on_event(std::uint64_t id, std::uint32_t events);
  void on_readable(connection& c);
  void on_unasked(connection& c);
  void serve(connection& c);
  bool take_request(connection& c);
  void answer(connection& c, request whole);
  void on_reply(std::uint64_t id, reply r);
  void begin_reply(connection& c, reply r);
  void on_piece(std::uint64_t id, feed::piece p);
  void write_on(connection& c);
  bool flush(connection& c);
  bool take_piece(connection& c);
  void end_reply(connection& c);
  void linger(connection& c);
  void close(connection& c);
  void be_patient(connection& c, clock::time_point until);
  [[nodiscard]] int milliseconds_to_wait() const;
  void look_at_overdue();
  void on_overdue(connection& c);
  void want(connection& c, std::uint32_t events);
  void go_on(connection& c);
  void go_on_later(connection& c);
  void send_heartbeat(connection& c);
  clock::time_point next_heartbeat(const connection& c);

  request_handler& handler_;
  loop_config config_;
  descriptor epoll_;
  descriptor wake_;
  std::mutex mutex_;
  std::vector<task> tasks_; // from other threads, on their way to
  std::deque<task> due_;    // what is to be done next
  std::unordered_map<std::uint64_t, std::unique_ptr<connection>> connections_;
  std::set<std::pair<clock::time_point, connection*>> looked_at_; // by when: whether patience with it is at an end
  std::vector<std::unique_ptr<connection>> closed_;               // freed when the events of this turn are through
  std::atomic<std::size_t> count_{0};
  std::uint64_t last_id_ = 0;
  std::uint64_t asking_for_ = 0;           // the connection for which somebody is being asked right now
  std::optional<reply> early_reply_;       // of whom was asked, if it came before the call returned
  std::optional<feed::piece> early_piece_; // the same
  std::minstd_rand dice_;
  bool draining_ = false;
  std::jthread thread_; // last: it uses all of the above
};

} // namespace rdev::http
