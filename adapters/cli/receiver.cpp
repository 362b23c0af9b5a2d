#include "adapters/cli/receiver.hpp"

#include "adapters/cli/base64.hpp"

#include <array>

namespace rdev::cli {

namespace {

constexpr std::array passing_codes{
    std::string_view("OUTPUT_TRUNCATED"),    // the receipt says it again, with numbers
    std::string_view("SERVICE_UNAVAILABLE"), // these three end the connection, not the command: it is resumed
    std::string_view("INTERNAL_ERROR"),
    std::string_view("TOO_MANY_REQUESTS"),
};

std::optional<std::uint64_t> size_in(const json::value& v) {
  if (!v.is_integer() || v.as_integer() < 0)
    return std::nullopt;
  return static_cast<std::uint64_t>(v.as_integer());
}

std::optional<stream_receipt> receipt_in(const json::value& v) {
  const auto bytes = size_in(v["bytes"]);
  const auto total = size_in(v["total_bytes"]);
  if (!bytes || !total)
    return std::nullopt;
  return stream_receipt{*bytes, std::string(v["sha256"].as_string()), *total};
}

} // namespace

bool receiver::take(const sse_event& event) {
  const bool known = event.name == "output" || event.name == "complete" || event.name == "error";
  if (known) {
    auto parsed = json::parse(event.data);
    const auto* data = std::get_if<json::value>(&parsed);
    if (data == nullptr)
      fail(trouble_kind::unreadable, "the server sent an event that is not JSON");
    else if (event.name == "output")
      take_output(*data);
    else if (event.name == "complete")
      take_complete(*data);
    else
      take_error(*data);
  }
  if (event.id && !failed_)
    last_event_id_ = *event.id;
  return !failed_ && !completed_;
}

void receiver::take_output(const json::value& data) {
  const auto name = data["stream"];
  const auto text = data["data"];
  const auto encoding = data["encoding"];
  const auto offset = size_in(data["offset"]);
  auto* to = name.as_string() == out_.name ? &out_ : name.as_string() == err_.name ? &err_ : nullptr;
  if (to == nullptr || !text.is_string() || !offset)
    return fail(trouble_kind::unreadable, "the server sent an output event that cannot be understood");
  if (encoding.as_string() == "utf-8")
    return deliver(*to, *offset, text.as_string());
  if (encoding.as_string() != "base64" || !decode_base64(text.as_string(), decoded_))
    return fail(trouble_kind::unreadable, "the server sent output in an encoding that cannot be understood");
  deliver(*to, *offset, decoded_);
}

void receiver::deliver(lane& to, std::uint64_t offset, std::string_view bytes) {
  if (offset > to.written)
    return fail(trouble_kind::unreadable, "the server left out " + std::to_string(offset - to.written) + " bytes of " +
                                              std::string(to.name) + " at " + std::to_string(to.written));
  const auto known = to.written - offset;
  if (known >= bytes.size())
    return; // all of it has been written already
  bytes.remove_prefix(static_cast<std::size_t>(known));
  if (const auto error = to.sink.write(bytes))
    return fail(error == std::errc::broken_pipe ? trouble_kind::output_closed : trouble_kind::output_failed,
                "cannot write to " + std::string(to.name) + ": " + error.message());
  to.written += bytes.size();
  to.digest.add(bytes);
}

void receiver::take_complete(const json::value& data) {
  const auto status_text = data["status"];
  const auto status = command_status_from(status_text.as_string());
  const auto out = receipt_in(data["stdout"]);
  const auto err = receipt_in(data["stderr"]);
  if (!status || !ended(*status) || !out || !err)
    return fail(trouble_kind::unreadable, "the server sent an end of the command that cannot be understood");
  completion end{*status, std::nullopt, std::string(data["reason"].as_string()),
                 *out,    *err,         data["complete"].as_boolean()};
  const auto code = data["exit_code"];
  if (code.is_integer() && code.as_integer() >= 0 && code.as_integer() <= 255)
    end.exit_code = static_cast<int>(code.as_integer());
  check(out_, end.out);
  check(err_, end.err);
  if (!failed_)
    completed_ = std::move(end);
}

void receiver::check(const lane& got, const stream_receipt& promised) {
  if (failed_)
    return;
  const std::string name(got.name);
  if (got.written != promised.bytes)
    fail(trouble_kind::unreadable, std::to_string(got.written) + " bytes of " + name + " came, the receipt is for " +
                                       std::to_string(promised.bytes));
  else if (to_hex(got.digest.digest()) != promised.sha256)
    fail(trouble_kind::unreadable, "the bytes of " + name + " are not those of the receipt (SHA-256 differs)");
}

void receiver::take_error(const json::value& data) {
  const auto code = data["code"];
  for (const auto passing : passing_codes)
    if (code.as_string() == passing)
      return;
  const auto message = data["message"];
  fail(trouble_kind::refused, std::string(message.as_string()) + " (" + std::string(code.as_string()) + ")");
}

void receiver::fail(trouble_kind kind, std::string message) {
  failed_ = trouble{kind, std::move(message)};
}

} // namespace rdev::cli
