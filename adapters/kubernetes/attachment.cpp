#include "adapters/kubernetes/attachment.hpp"

namespace rdev::kubernetes {

namespace {

constexpr std::size_t most_held = 2 * 1024 * 1024; // of both streams; a connection that brings more waits

std::size_t index_of(stream which) {
  return which == stream::out ? 0 : 1;
}

} // namespace

attachment::attachment(const std::string& nonce, shim_place where, std::array<std::uint64_t, 2> from,
                       std::function<void()> changed)
    : splitter_(nonce), where_(std::move(where)), changed_(std::move(changed)) {
  buffers_[0].base = from[0];
  buffers_[1].base = from[1];
  status_.state = run_state::running;
}

void attachment::on_open() {
}

bool attachment::on_bytes(stream which, std::string_view bytes) {
  bool more = true;
  {
    std::lock_guard guard(mutex_);
    if (which == stream::err)
      buffers_[1].bytes += bytes;
    else
      for (auto got = splitter_.take(bytes);; got = splitter_.take({})) {
        if (first_) // what comes before is no output of the command
          buffers_[0].bytes += got.bytes;
        if (!got.record)
          break;
        take_record(*got.record);
      }
    more = !full();
    paused_ = !more;
  }
  changed_here_.notify_all();
  changed_();
  return more;
}

void attachment::take_record(const std::string& record) {
  const auto state = parse_state(record, where_);
  if (!first_)
    first_ = record;
  if (!state)
    return;
  const bool end = record.starts_with("end ");
  const bool nothing_follows = state->state == run_state::absent || state->state == run_state::tombstone;
  at_end_ = at_end_ || end || nothing_follows;
  if (at_end_)
    status_ = *state;
}

void attachment::on_end(const exec_end& how) {
  std::shared_ptr<exec_session> session;
  {
    std::lock_guard guard(mutex_);
    over_ = true;
    end_ = how;
    session.swap(session_);
  }
  changed_here_.notify_all();
  changed_();
}

void attachment::use(std::shared_ptr<exec_session> session) {
  std::lock_guard guard(mutex_);
  if (!over_)
    session_ = std::move(session);
}

result<std::string> attachment::first_record(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_here_.wait_for(lock, limit, [&] { return first_ || over_; });
  if (first_)
    return *first_;
  if (!over_)
    return failure{fault::unavailable, "the pod does not answer"};
  const auto status = end_.http_status == 0 ? std::string() : "HTTP " + std::to_string(end_.http_status) + " ";
  return failure{fault::unavailable, "the connection to the pod broke: " + status + end_.why};
}

std::optional<exec_end> attachment::refusal() const {
  std::lock_guard guard(mutex_);
  return over_ && end_.refused ? std::optional(end_) : std::nullopt;
}

bool attachment::complete_now() const {
  return at_end_ && buffers_[1].end() >= status_.err_bytes;
}

bool attachment::full() const {
  return buffers_[0].bytes.size() + buffers_[1].bytes.size() >= most_held;
}

run_status attachment::status() const {
  std::lock_guard guard(mutex_);
  if (complete_now())
    return status_;
  run_status out;
  out.state = run_state::running;
  out.out_bytes = out.out_total = buffers_[0].end();
  out.err_bytes = out.err_total = buffers_[1].end();
  return out;
}

bool attachment::good() const {
  std::lock_guard guard(mutex_);
  return !over_ || complete_now();
}

bool attachment::complete() const {
  std::lock_guard guard(mutex_);
  return complete_now();
}

std::array<std::uint64_t, 2> attachment::next() const {
  std::lock_guard guard(mutex_);
  return {buffers_[0].end(), buffers_[1].end()};
}

bool attachment::forgot(stream which, std::uint64_t offset) const {
  std::lock_guard guard(mutex_);
  return offset < buffers_[index_of(which)].base;
}

std::string attachment::read(stream which, std::uint64_t offset, std::size_t most) {
  std::string out;
  std::shared_ptr<exec_session> waiting;
  {
    std::lock_guard guard(mutex_);
    auto& from = buffers_[index_of(which)];
    if (offset < from.base || offset > from.end())
      return out;
    from.bytes.erase(0, static_cast<std::size_t>(offset - from.base));
    from.base = offset;
    out = from.bytes.substr(0, most);
    if (paused_ && !full()) {
      paused_ = false;
      waiting = session_;
    }
  }
  if (waiting)
    waiting->resume();
  return out;
}

void attachment::wait_for(stream which, std::uint64_t offset, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_here_.wait_for(lock, limit,
                         [&] { return over_ || complete_now() || buffers_[index_of(which)].end() > offset; });
}

void attachment::close() {
  std::shared_ptr<exec_session> session;
  {
    std::lock_guard guard(mutex_);
    session.swap(session_);
  }
  if (session)
    session->close();
}

} // namespace rdev::kubernetes
