#include "adapters/cli/conclusion.hpp"

namespace rdev::cli {

namespace {

void remark_on(std::vector<std::string>& remarks, const char* stream, const stream_receipt& r) {
  if (r.truncated())
    remarks.push_back(std::string(stream) + " was truncated by the server: " + std::to_string(r.bytes) + " of " +
                      std::to_string(r.total_bytes) + " bytes are above");
}

std::string because(const completion& end) {
  return end.reason.empty() ? std::string{} : ": " + end.reason;
}

int code_of(const completion& end, std::vector<std::string>& remarks) {
  switch (end.status) {
  case command_status::completed:
  case command_status::failed:
    if (end.exit_code)
      return *end.exit_code;
    remarks.push_back("the command has ended without an exit code" + because(end));
    return own_trouble;
  case command_status::timed_out:
    return time_is_up;
  case command_status::cancelled:
    remarks.push_back("the command was cancelled" + because(end));
    return own_trouble;
  case command_status::lost:
    remarks.push_back("the command is lost, its exit code is not known" + because(end));
    return own_trouble;
  case command_status::queued:
  case command_status::running:
    break;
  }
  remarks.emplace_back("the command has not ended");
  return own_trouble;
}

} // namespace

conclusion conclude(const completion& end, int signal) {
  conclusion made;
  remark_on(made.remarks, "stdout", end.out);
  remark_on(made.remarks, "stderr", end.err);
  if (signal != 0) {
    made.code = 128 + signal;
    return made;
  }
  if (!end.complete && made.remarks.empty() && end.status != command_status::lost)
    made.remarks.emplace_back("some of the output may be missing");
  made.code = code_of(end, made.remarks);
  return made;
}

} // namespace rdev::cli
