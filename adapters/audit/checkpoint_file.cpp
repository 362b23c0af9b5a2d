#include "adapters/audit/checkpoint_file.hpp"

#include "adapters/audit_chain.hpp"
#include "adapters/crypto.hpp"
#include "adapters/descriptor.hpp"
#include "adapters/json/json.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

namespace rdev::audit_chain {

namespace {

std::string line_of(const audit_checkpoint& what) {
  json::writer out;
  out.begin_object().key("seq").integer(what.seq).key("hash").string(to_hex(what.hash));
  out.key("at").string(exact_time(what.at)).key("first_seq").integer(what.first_seq);
  out.key("kept_from").string(what.kept_from ? exact_time(*what.kept_from) : "").key("key").string(what.key);
  out.key("signature").string(to_base64(what.signature)).end_object();
  return out.take() + '\n';
}

// False: the last line was cut off, as when the power fails.
bool ends_in_a_whole_line(int file, off_t size) {
  char last = '\n';
  return size == 0 || (::pread(file, &last, 1, size - 1) == 1 && last == '\n');
}

class checkpoint_file final : public checkpoint_keeper {
public:
  explicit checkpoint_file(std::string path) : path_(std::move(path)) {
  }

  result<done> keep(const audit_checkpoint& what) override {
    const descriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644));
    struct stat before {};
    if (!file || ::fstat(file.get(), &before) != 0)
      return problem("opened");
    if (!S_ISREG(before.st_mode))
      return failure{fault::unavailable, "audit.checkpoint_file: " + path_ + " is no file that can grow"};
    const auto line = (ends_in_a_whole_line(file.get(), before.st_size) ? "" : "\n") + line_of(what);
    if (::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(file.get()) == 0)
      return done{};
    auto failed = problem("written");
    if (::ftruncate(file.get(), before.st_size) != 0)
      return problem("cut back");
    return failed;
  }

private:
  [[nodiscard]] failure problem(const char* what) const {
    return {fault::unavailable, "audit.checkpoint_file: " + path_ + " cannot be " + what + ": " + std::strerror(errno)};
  }

  std::string path_;
};

} // namespace

std::shared_ptr<checkpoint_keeper> keep_in_file(std::string path) {
  return std::make_shared<checkpoint_file>(std::move(path));
}

} // namespace rdev::audit_chain
