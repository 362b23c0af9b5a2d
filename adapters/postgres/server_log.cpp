#include "adapters/postgres/server_log.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

namespace rdev::postgres {

namespace {

constexpr std::size_t most_at_once = std::size_t{256} * 1024;
constexpr std::size_t longest_line = std::size_t{8} * 1024;

std::uint64_t size_of(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  return none ? 0 : size;
}

bool is_bad(std::string_view line) {
  constexpr std::array<std::string_view, 4> words{"WARNING:", "ERROR:", "FATAL:", "PANIC:"};
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return line.find(word) != std::string_view::npos; });
}

} // namespace

server_log::server_log(std::string path, std::optional<redactor> hidden_by, log& out)
    : path_(std::move(path)), out_(out), position_(size_of(path_)) {
  if (hidden_by)
    hiding_.emplace(std::move(*hidden_by));
}

void server_log::look() {
  take(read_on());
}

void server_log::take(const std::string& piece) {
  const auto said = as_it_was_said(piece);
  tell_lines(hiding_ ? hiding_->feed(said) : said);
}

// PostgreSQL puts a tab before each further line of a text.
std::string server_log::as_it_was_said(std::string_view piece) {
  std::string out;
  out.reserve(piece.size());
  for (const char c : piece)
    if (!std::exchange(begins_line_, c == '\n') || c != '\t')
      out += c;
  return out;
}

void server_log::finish() {
  for (auto piece = read_on(); !piece.empty(); piece = read_on())
    take(piece);
  tell_lines((hiding_ ? hiding_->finish() : std::string()) + "\n");
}

std::string server_log::read_on() {
  const auto size = size_of(path_);
  if (size < position_) // it was begun anew
    position_ = 0;
  std::string out(std::min<std::uint64_t>(size - position_, most_at_once), '\0');
  if (out.empty())
    return out;
  std::ifstream file(path_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(position_));
  file.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, file.gcount())));
  position_ += out.size();
  return out;
}

void server_log::tell_lines(const std::string& text) {
  for (const char c : text) {
    if (c != '\n' && line_.size() < longest_line)
      line_ += c;
    if (c != '\n' || line_.empty())
      continue;
    const auto level = is_bad(line_) ? log_level::warn : log_level::info;
    out_.write(level, "postgres", std::array{log_field{"line", std::exchange(line_, {})}});
  }
}

} // namespace rdev::postgres
