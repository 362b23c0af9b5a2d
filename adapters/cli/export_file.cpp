#include "adapters/cli/export_file.hpp"

#include "adapters/json/json.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace rdev::cli {

namespace {

constexpr off_t block = 64 * 1024;
constexpr off_t longest_line = 64 * 1024 * 1024;
constexpr std::string_view begin_of_record = R"({"action":)";

trouble misuse(const std::string& path, const std::string& why) {
  return {trouble_kind::misuse, "--output: " + path + " " + why};
}

trouble failed(const std::string& path, const char* doing) {
  return {trouble_kind::output_failed,
          std::string("cannot ") + doing + " " + path + ": " + std::generic_category().message(errno)};
}

std::string bytes_at(int fd, off_t at, off_t size) {
  std::string out(static_cast<std::size_t>(size), '\0');
  for (std::size_t have = 0; have < out.size();) {
    const auto n = ::pread(fd, out.data() + have, out.size() - have, at + static_cast<off_t>(have));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      throw std::system_error(n < 0 ? errno : EIO, std::generic_category(), "cannot read what was exported before");
    have += static_cast<std::size_t>(n);
  }
  return out;
}

// Behind the last line end before `end`.
off_t begin_of_line(int fd, off_t end) {
  while (end > 0) {
    const auto size = std::min(end, block);
    const auto at = bytes_at(fd, end - size, size).rfind('\n');
    if (at != std::string::npos)
      return end - size + static_cast<off_t>(at) + 1;
    end -= size;
  }
  return 0;
}

// 0: it is no record.
std::int64_t number_of(const std::string& line) {
  const auto parsed = json::parse(line);
  const auto* record = std::get_if<json::value>(&parsed);
  return record == nullptr ? 0 : (*record)["seal"]["seq"].as_integer();
}

// Of a file without a line end: whether it can be the beginning of a record.
bool may_be_record(int fd, off_t size) {
  const auto begin = bytes_at(fd, 0, std::min(size, static_cast<off_t>(begin_of_record.size())));
  return begin_of_record.starts_with(begin);
}

} // namespace

std::variant<export_file, trouble> export_file::open(const std::string& path) {
  descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd)
    return failed(path, "open");
  struct stat is {};
  if (::fstat(fd.get(), &is) != 0)
    return failed(path, "look at");
  if (!S_ISREG(is.st_mode))
    return misuse(path, "is not a file that can be gone on with: leave the option out for stdout");
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return misuse(path, "is being written by another export: end that one, or name another file");
  if (::fstat(fd.get(), &is) != 0)
    return failed(path, "look at");
  const auto whole = begin_of_line(fd.get(), is.st_size);
  const auto begin = whole > 0 ? begin_of_line(fd.get(), whole - 1) : 0;
  std::int64_t last = 0;
  if (whole > 0 && whole - begin <= longest_line)
    last = number_of(bytes_at(fd.get(), begin, whole - 1 - begin));
  const bool ours = whole > 0 ? last > 0 : may_be_record(fd.get(), is.st_size);
  if (!ours)
    return misuse(path, "does not end with a record of an export: name another file");
  if (whole < is.st_size && ::ftruncate(fd.get(), whole) != 0)
    return failed(path, "cut off the torn last line of");
  return export_file(std::move(fd), last);
}

std::error_code export_file::write(std::string_view lines) {
  if (lines.empty())
    return {};
  if (const auto error = descriptor_sink(fd_.get()).write(lines))
    return error;
  if (::fdatasync(fd_.get()) != 0)
    return {errno, std::generic_category()};
  return {};
}

} // namespace rdev::cli
