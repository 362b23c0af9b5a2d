#include "adapters/cli/server.hpp"

#include "adapters/cli/terminal_output.hpp"
#include "messages/values/ids.hpp"

#include <random>

namespace rdev::cli {

namespace {

constexpr milliseconds silence{3000};

std::string given_up(const std::string& origin, const try_again& last) {
  return "no answer from " + origin + ": " + last.why;
}

trouble interrupted(bool in_doubt) {
  return {trouble_kind::interrupted,
          in_doubt ? "interrupted before the server answered: it may have done what was asked" : "interrupted"};
}

} // namespace

server::server(account who, clock& time, milliseconds budget)
    : who_(std::move(who)), time_(time), budget_(budget), http_(who_.url.origin) {
}

std::variant<reply, trouble> server::ask(const std::string& method, const std::string& path, const std::string& body) {
  auto fields = base_headers();
  fields["Accept"] = "application/json";
  if (!body.empty())
    fields["Content-Type"] = "application/json";
  if (method == "POST")
    fields["Idempotency-Key"] = "rdev-" + to_base32(new_uuid_v7());
  auto left = new_patience();
  outage_notice notice;
  bool in_doubt = false;
  for (;;) {
    auto means = meaning_of(http_.request(method, who_.url.prefix + path, fields, body));
    if (auto* good = std::get_if<reply>(&means))
      return std::move(*good);
    if (auto* bad = std::get_if<trouble>(&means)) {
      if (in_doubt)
        bad->message += "; an attempt before this one was cut and may have succeeded";
      return std::move(*bad);
    }
    const auto& why = std::get<try_again>(means);
    in_doubt = in_doubt || why.in_doubt;
    const auto pause = left.after_failure(time_.now(), why.retry_after);
    if (!pause)
      return trouble{trouble_kind::unreachable, given_up(origin(), why)};
    notice.failing(left.failing_for(time_.now()) + *pause, origin(), why.why);
    if (!time_.pause(*pause))
      return interrupted(in_doubt);
  }
}

result<http::response> server::stream(const std::string& path, const std::string& last_event_id,
                                      const std::function<bool(std::string_view)>& on_data) {
  auto fields = base_headers();
  fields["Accept"] = "text/event-stream";
  if (!last_event_id.empty())
    fields["Last-Event-ID"] = last_event_id;
  return http_.stream(who_.url.prefix + path, fields, on_data);
}

patience server::new_patience() const {
  return {budget_, std::random_device{}()};
}

http::headers server::base_headers() const {
  return {{"User-Agent", "rdev"}, {"X-API-Key", std::string(who_.key.reveal())}};
}

void outage_notice::failing(milliseconds so_far, const std::string& origin, const std::string& why) {
  if (said_ || so_far < silence)
    return;
  said_ = true;
  complain("no answer from " + origin + " (" + why + "), trying again");
}

} // namespace rdev::cli
