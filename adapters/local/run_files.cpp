#include "adapters/local/run_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <sstream>
#include <utility>

namespace rdev::local {

namespace {

constexpr std::size_t end_record_room = 256;
constexpr std::size_t small_file_limit = 64 * 1024;

} // namespace

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

namespace {

std::string start_path(const std::string& folder) {
  return folder + std::string(start_suffix);
}

std::string_view word_of(start_mark mark) {
  switch (mark) {
  case start_mark::run:
    return "run";
  case start_mark::cancelled:
    return "cancelled";
  case start_mark::ended:
    return "ended";
  case start_mark::lost:
    return "lost";
  }
  return "";
}

} // namespace

claim take_start(const std::string& folder, descriptor& file) {
  file = descriptor(::open(start_path(folder).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (file)
    return claim::won;
  return errno == EEXIST ? claim::taken : claim::failed;
}

bool write_start(const descriptor& file, const start_record& record) {
  if (record.mark != start_mark::run)
    return write_all(file.get(), std::string(word_of(record.mark)) + "\n");
  std::ostringstream text;
  text << word_of(record.mark) << ' ' << record.shim << ' ' << record.starttime << ' ' << record.pipes[0] << ' '
       << record.pipes[1] << ' ' << record.boot_tag << '\n';
  return write_all(file.get(), text.str());
}

bool replace_start(const std::string& folder, start_mark mark) {
  const auto path = start_path(folder);
  const auto temporary = path + "." + std::to_string(::getpid()) + std::string(temporary_suffix);
  return write_small_file(temporary, std::string(word_of(mark)) + "\n", 0600) &&
         ::rename(temporary.c_str(), path.c_str()) == 0;
}

bool mark_ended(const std::string& folder) {
  const auto text = std::string(word_of(start_mark::ended)) + "\n";
  const descriptor file(::open(start_path(folder).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  return file && write_all(file.get(), text) && ::ftruncate(file.get(), static_cast<off_t>(text.size())) == 0;
}

bool owns_start(const std::string& folder, const descriptor& file) {
  struct stat mine {};
  struct stat there {};
  return ::fstat(file.get(), &mine) == 0 && ::stat(start_path(folder).c_str(), &there) == 0 &&
         mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

start_file read_start(const std::string& folder, start_record& out) {
  const auto text = read_small_file(start_path(folder));
  if (!text)
    return errno == ENOENT ? start_file::absent : start_file::unreadable;
  if (!text->ends_with('\n'))
    return start_file::being_written;
  out = {};
  std::istringstream in(*text);
  std::string word;
  in >> word;
  for (const auto mark : {start_mark::cancelled, start_mark::ended, start_mark::lost})
    if (word == word_of(mark))
      out.mark = mark;
  if (out.mark == start_mark::run)
    in >> out.shim >> out.starttime >> out.pipes[0] >> out.pipes[1] >> out.boot_tag;
  return start_file::there;
}

bool is_ended_mark(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 &&
         static_cast<std::size_t>(info.st_size) == word_of(start_mark::ended).size() + 1;
}

bool reserve_end(const std::string& folder) {
  return write_small_file(folder + "/code.tmp", std::string(end_record_room, ' '), 0600);
}

bool write_end(const std::string& folder, const end_record& r) {
  std::ostringstream text;
  text << r.exit_code << ' ' << r.signal << ' ' << r.killed << ' ' << r.timed_out << ' ' << r.at.count() << ' '
       << r.survivors << ' ' << r.out_bytes << ' ' << r.out_total << ' ' << r.err_bytes << ' ' << r.err_total << ' '
       << r.output_lost << '\n';
  auto line = text.str();
  line.resize(end_record_room, ' ');
  const auto path = folder + "/code.tmp";
  const descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC)); // in place: needs no new block
  return file && write_all(file.get(), line) && ::rename(path.c_str(), (folder + "/code").c_str()) == 0;
}

std::optional<end_record> read_end(const std::string& folder) {
  const auto text = read_small_file(folder + "/code");
  if (!text)
    return std::nullopt;
  std::istringstream in(*text);
  end_record r;
  std::int64_t at = 0;
  in >> r.exit_code >> r.signal >> r.killed >> r.timed_out >> at >> r.survivors >> r.out_bytes >> r.out_total >>
      r.err_bytes >> r.err_total >> r.output_lost;
  if (!in) {
    errno = EIO;
    return std::nullopt;
  }
  r.at = std::chrono::milliseconds(at);
  return r;
}

std::optional<std::string> read_small_file(const std::string& path) {
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file)
    return std::nullopt;
  std::string out;
  std::array<char, 4096> piece{};
  while (out.size() < small_file_limit) {
    const auto n = ::read(file.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return std::nullopt; // closing the file leaves errno as it is
    if (n == 0)
      break;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
  return out;
}

bool write_small_file(const std::string& path, std::string_view text, mode_t mode) {
  const descriptor file(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode));
  return file && write_all(file.get(), text);
}

} // namespace rdev::local
