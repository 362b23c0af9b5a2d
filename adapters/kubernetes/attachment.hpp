// The server's end of one command in a pod: what has come of its output and is not yet stored, and how it is. Its
// connection may break; the command goes on, and another connection goes on at the byte where this one stopped.
#pragma once

#include "adapters/kubernetes/exec.hpp"
#include "adapters/kubernetes/shim_protocol.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace rdev::kubernetes {

class attachment final : public exec_listener {
public:
  // `changed` is called, by the thread of the connection, when there is something new.
  attachment(const std::string& nonce, shim_place where, std::array<std::uint64_t, 2> from,
             std::function<void()> changed);

  void on_open() override;
  bool on_bytes(stream which, std::string_view bytes) override;
  void on_end(const exec_end& how) override;

  void use(std::shared_ptr<exec_session> session);
  // The first record, or why there is none.
  result<std::string> first_record(std::chrono::milliseconds limit);
  // Of a connection that was never made.
  [[nodiscard]] std::optional<exec_end> refusal() const;
  // As far as is known. Exited and lost only when all output has come.
  [[nodiscard]] run_status status() const;
  // Whether more will come: the connection stands, or all has come.
  [[nodiscard]] bool good() const;
  [[nodiscard]] bool complete() const;
  // From which bytes another connection would have to go on.
  [[nodiscard]] std::array<std::uint64_t, 2> next() const;
  // Bytes from `offset` on, which says that those before it are needed no more. Empty: not there (yet).
  std::string read(stream which, std::uint64_t offset, std::size_t most);
  // Whether bytes before `offset` were given away already.
  [[nodiscard]] bool forgot(stream which, std::uint64_t offset) const;
  // Until something has come behind `offset`, all is there, or the connection breaks.
  void wait_for(stream which, std::uint64_t offset, std::chrono::milliseconds limit);
  void close();

private:
  struct buffer {
    std::uint64_t base = 0; // offset of the first byte of `bytes`
    std::string bytes;
    [[nodiscard]] std::uint64_t end() const {
      return base + bytes.size();
    }
  };
  void take_record(const std::string& record);
  [[nodiscard]] bool complete_now() const;
  [[nodiscard]] bool full() const;

  mutable std::mutex mutex_;
  std::condition_variable changed_here_;
  record_splitter splitter_;
  const shim_place where_;
  const std::function<void()> changed_;
  std::shared_ptr<exec_session> session_;
  std::array<buffer, 2> buffers_;
  std::optional<std::string> first_;
  run_status status_;
  bool at_end_ = false; // the last record has come
  bool over_ = false;   // the connection has ended
  bool paused_ = false; // it waits until something is read
  exec_end end_;
};

} // namespace rdev::kubernetes
