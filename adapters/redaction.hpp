// Port: takes secrets out of texts before they are logged or audited. Hidden are the values that are registered at the
// moment, in the forms in which they turn up (docs/redaction.md), and what looks like a credential. All is thread-safe
// but a stream, which belongs to one thread at a time.
#pragma once

#include "messages/values/result.hpp"
#include "messages/values/secret.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rdev {

// What stands in the place of a hit. Hits that overlap or touch are one.
constexpr std::string_view redaction_mark = "[redacted]";

// Shorter values are not hidden: they would blank ordinary words. Blanks around a value do not count.
constexpr std::size_t least_hidden_bytes = 6;

constexpr std::size_t most_redaction_patterns = 64;
constexpr std::size_t longest_redaction_pattern = 512; // bytes

struct redacted {
  std::string text;
  std::size_t hits = 0;
};

// A handle: copies share what is registered.
class redactor {
public:
  struct registry;
  struct handles;

  // As long as it lives the value is hidden. What is registered more than once stays until the last of them has gone.
  class registration {
  public:
    registration();
    explicit registration(std::unique_ptr<handles> held);
    registration(registration&&) noexcept;
    registration& operator=(registration&&) noexcept;
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;
    ~registration();

  private:
    std::unique_ptr<handles> held_;
  };

  // `patterns` are regular expressions of RE2 over the bytes of a line; of one with a group only what the first group
  // takes is hidden. Fault `invalid` with a message that names the pattern and what is wrong with it.
  static result<redactor> make(const std::vector<std::string>& patterns);

  [[nodiscard]] registration hide(const secret& value) const;
  // None: there is nothing to hide, and the text can be used as it is.
  [[nodiscard]] std::optional<redacted> redact(std::string_view text) const;

private:
  friend class redaction_stream;
  explicit redactor(std::shared_ptr<registry> shared);

  std::shared_ptr<registry> registry_;
};

// One text that comes in chunks: what it gives out is what redact() would make of the whole, however it is cut. Held
// back are the line that has not ended (at most 8 KiB of it, for the patterns) and what may be the beginning of a
// hidden value. What is registered when the chunks come counts.
class redaction_stream {
public:
  explicit redaction_stream(redactor by);
  redaction_stream(redaction_stream&&) noexcept;
  redaction_stream& operator=(redaction_stream&&) noexcept;
  redaction_stream(const redaction_stream&) = delete;
  redaction_stream& operator=(const redaction_stream&) = delete;
  ~redaction_stream();

  // What can be given out by now.
  std::string feed(std::string_view chunk);
  // The rest. The next chunk begins another text.
  std::string finish();
  // In all that was given out.
  [[nodiscard]] std::size_t hits() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rdev
