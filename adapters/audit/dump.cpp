#include "adapters/audit/dump.hpp"

#include <algorithm>
#include <deque>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>

namespace rdev::audit_chain {

namespace {

constexpr std::size_t longest_line = 64 * 1024 * 1024;
constexpr std::size_t block_size = 64 * 1024;

class dump {
public:
  dump(std::streambuf& lines, outside_evidence evidence)
      : lines_(lines), checkpoints_(evidence.checkpoints.begin(), evidence.checkpoints.end()),
        keys_(keys_by_id(evidence.keys)) {
    std::sort(checkpoints_.begin(), checkpoints_.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  }

  dump_verification verified() {
    while (!verifier_.found() && next_line())
      look_at_line();
    const auto in_lines = verifier_.outcome().first_bad;
    if (in_lines && in_lines->problem != audit_problem::bad_signature)
      out_.bad_line = number_;
    look_at_checkpoints(std::numeric_limits<std::int64_t>::max());
    out_.seen = verifier_.outcome();
    return std::move(out_);
  }

private:
  // False at the end. Of a line that is too long, no more is kept than shows that it is.
  bool next_line() {
    line_.clear();
    bool any = false;
    for (bool ended = false; !ended && has_rest(); any = true) {
      const auto end = rest_.find('\n');
      ended = end != std::string_view::npos;
      line_.append(rest_.substr(0, std::min(end, longest_line + 1 - line_.size())));
      rest_.remove_prefix(ended ? end + 1 : rest_.size());
    }
    number_ += any ? 1 : 0;
    return any;
  }

  bool has_rest() {
    if (rest_.empty())
      rest_ = {block_.data(), static_cast<std::size_t>(lines_.sgetn(block_.data(), block_size))};
    return !rest_.empty();
  }

  void look_at_line() {
    if (line_.size() > longest_line)
      return no_record("is longer than 64 MiB");
    const auto read = read_sealed_record(line_);
    if (!read)
      return no_record(read.error().message);
    const auto& [seal, record] = *read;
    if (out_.first == 0)
      begin(seal);
    const auto expected = verifier_.outcome().sealed_through + 1;
    if (const auto later = seal.seq > expected ? later_one(expected) : std::nullopt)
      verifier_.look_at_disorder(*later);
    else
      verifier_.look_at(seal, &record, std::nullopt);
    look_at_checkpoints(seal.seq);
  }

  // Checkpoints on what is not there are of no use; the one on the link before the first shows what that was.
  void begin(const audit_seal& first) {
    out_.first = first.seq;
    if (first.seq > 1)
      verifier_ = verifier(first.seq - 1, first.prev_hash);
    std::erase_if(checkpoints_, [&](const auto& one) { return one.seq < first.seq - 1; });
    look_at_checkpoints(first.seq - 1);
  }

  void no_record(std::string why) {
    out_.why = std::move(why);
    verifier_.look_at_no_record();
  }

  // A record that is not in its place may be in another one.
  std::optional<audit_seal> later_one(std::int64_t seq) {
    const auto at = number_;
    std::optional<audit_seal> found;
    while (!found && next_line())
      if (const auto read = read_sealed_record(line_); read && read->seal.seq == seq)
        found = read->seal;
    number_ = at;
    return found;
  }

  void look_at_checkpoints(std::int64_t through) {
    for (; !checkpoints_.empty() && checkpoints_.front().seq <= through; checkpoints_.pop_front())
      verifier_.look_at(checkpoints_.front(), is_signed(checkpoints_.front(), keys_));
  }

  std::streambuf& lines_;
  std::string block_ = std::string(block_size, '\0');
  std::string_view rest_;                    // of the block
  std::deque<audit_checkpoint> checkpoints_; // that have not been looked at
  believed_keys keys_;
  verifier verifier_{0, {}};
  std::string line_;
  std::size_t number_ = 0;
  dump_verification out_;
};

} // namespace

dump_verification verify_dump(std::streambuf& lines, outside_evidence evidence) {
  return dump(lines, std::move(evidence)).verified();
}

result<dump_verification> verify_dump(const std::string& path, outside_evidence evidence) {
  std::filebuf file;
  if (path != "-" && file.open(path, std::ios::in | std::ios::binary) == nullptr)
    return failure{fault::invalid, path + " cannot be read"};
  try {
    auto found = verify_dump(path == "-" ? *std::cin.rdbuf() : file, std::move(evidence));
    if (found.first == 0 && !found.seen.first_bad)
      return failure{fault::invalid, path + " holds no record"};
    return found;
  } catch (const std::ios_base::failure& e) {
    return failure{fault::invalid, path + " cannot be read: " + e.what()};
  }
}

} // namespace rdev::audit_chain
