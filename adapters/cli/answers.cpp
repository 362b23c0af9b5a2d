#include "adapters/cli/answers.hpp"

#include "adapters/cli/patience.hpp"

namespace rdev::cli {

namespace {

// `message (CODE); field: problem; …`, or the bare status when the body is no error of rdev's (a proxy's page).
std::string explanation(const http::response& answer) {
  const auto status = "status " + std::to_string(answer.status);
  const auto parsed = json::parse(answer.body);
  const auto* body = std::get_if<json::value>(&parsed);
  const auto error = body != nullptr ? (*body)["error"] : json::value{};
  const auto message = error["message"];
  if (message.as_string().empty())
    return "the server answered with " + status;
  const auto code = error["code"];
  std::string out(message.as_string());
  out += " (" + std::string(code.as_string()) + ")";
  const auto details = error["details"];
  for (std::size_t i = 0; i < details.size(); ++i) {
    const auto one = details.at(i);
    const auto field = one["field"];
    const auto problem = one["problem"];
    out += "; " + std::string(field.as_string());
    if (!problem.as_string().empty())
      out += ": " + std::string(problem.as_string());
  }
  return out;
}

// 502 and 504 are a proxy's words for a server that restarts.
bool worth_repeating(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

} // namespace

std::variant<try_again, trouble> refusal_in(const http::response& answer) {
  if (!worth_repeating(answer.status))
    return trouble{trouble_kind::refused, explanation(answer)};
  const auto header = answer.fields.find("retry-after");
  return try_again{header == answer.fields.end() ? std::nullopt : retry_after_from(header->second), explanation(answer),
                   answer.status != 429};
}

std::variant<try_again, trouble> meaning_of_failure(const failure& why) {
  if (why.code == fault::invalid)
    return trouble{trouble_kind::unreachable, "the server cannot be trusted: " + why.message};
  return try_again{std::nullopt, why.message, true};
}

meaning meaning_of(const result<http::response>& answer) {
  if (!answer)
    return std::visit([](auto&& no) -> meaning { return std::forward<decltype(no)>(no); },
                      meaning_of_failure(answer.error()));
  if (answer->status < 200 || answer->status > 299)
    return std::visit([](auto&& no) -> meaning { return std::forward<decltype(no)>(no); }, refusal_in(*answer));
  const auto parsed = json::parse(answer->body);
  const auto* body = std::get_if<json::value>(&parsed);
  if (body == nullptr || !(*body)["data"].exists())
    return trouble{trouble_kind::unreadable, "the server's answer cannot be understood: is this an rdev server?"};
  return reply{(*body)["data"], (*body)["meta"]};
}

} // namespace rdev::cli
