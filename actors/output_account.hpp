// Keeps account of what has been stored of a command's output: offsets, hashes, sequence and cap. Planning a batch
// changes nothing; only what the store has accepted is booked. Pure, without I/O.
#pragma once

#include "adapters/crypto.hpp"
#include "messages/values/output.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rdev {

class output_account {
public:
  // `cap` = the most bytes that are stored of a command, both streams together.
  explicit output_account(std::uint64_t cap) : cap_(cap) {
  }

  // Goes on where a former owner stopped: the number of the next chunk, whether the cap was reached, and, in order, the
  // bytes it stored.
  void resume(std::uint32_t next_seq, bool capped) {
    next_seq_ = next_seq;
    capped_ = capped;
  }
  void resume(stream which, std::string_view bytes);

  // The chunks for `out` and `err`, which follow on what is stored of each stream. `flush_*`: also the unfinished line
  // at the end. Where the cap is reached, a truncation marker comes last.
  [[nodiscard]] std::vector<chunk> plan(std::string_view out, bool flush_out, std::string_view err,
                                        bool flush_err) const;
  // The store has accepted these.
  void book(const std::vector<chunk>& chunks);

  [[nodiscard]] std::uint64_t stored(stream which) const {
    return of(which).bytes;
  }
  // Nothing more will be stored; what is left is only counted.
  [[nodiscard]] bool capped() const {
    return capped_;
  }
  // `total` = what the process wrote to the stream, as far as is known.
  [[nodiscard]] stream_receipt receipt(stream which, std::uint64_t total) const;

private:
  struct account {
    std::uint64_t bytes = 0;
    sha256_stream hash;
  };
  [[nodiscard]] const account& of(stream s) const {
    return accounts_[static_cast<std::size_t>(s)];
  }
  void plan_stream(std::vector<chunk>& chunks, stream which, std::string_view bytes, bool flush) const;

  std::uint64_t cap_;
  std::array<account, 2> accounts_;
  std::uint32_t next_seq_ = seq_first_chunk;
  bool capped_ = false;
};

} // namespace rdev
