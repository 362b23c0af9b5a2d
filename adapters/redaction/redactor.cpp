#include "adapters/redaction.hpp"

#include "adapters/redaction/hidden_forms.hpp"
#include "adapters/redaction/registry.hpp"

#include <mutex>
#include <shared_mutex>

namespace rdev {

// What one registration has put into the index.
struct redactor::handles {
  explicit handles(std::shared_ptr<registry> r) : shared(std::move(r)) {
  }
  handles(const handles&) = delete;
  handles& operator=(const handles&) = delete;
  handles(handles&&) = delete;
  handles& operator=(handles&&) = delete;
  ~handles() {
    const std::unique_lock lock(shared->changes);
    for (const auto& form : forms)
      shared->forms.remove(form);
  }

  std::shared_ptr<registry> shared;
  std::vector<redaction::form_index::entry> forms;
};

redactor::registration::registration() = default;
redactor::registration::registration(std::unique_ptr<handles> held) : held_(std::move(held)) {
}
redactor::registration::registration(registration&&) noexcept = default;
redactor::registration& redactor::registration::operator=(registration&&) noexcept = default;
redactor::registration::~registration() = default;

redactor::redactor(std::shared_ptr<registry> shared) : registry_(std::move(shared)) {
}

result<redactor> redactor::make(const std::vector<std::string>& patterns) {
  auto made = redaction::patterns::make(patterns);
  if (!made)
    return made.error();
  return redactor(std::make_shared<registry>(std::move(*made)));
}

redactor::registration redactor::hide(const secret& value) const {
  const auto forms = redaction::hidden_forms(value.reveal());
  if (forms.empty())
    return {};
  std::vector<redaction::form_index::entry> entries;
  entries.reserve(forms.size());
  for (const auto& form : forms)
    entries.push_back(registry_->forms.entry_of(form));
  auto held = std::make_unique<handles>(registry_);
  held->forms = std::move(entries);
  const std::unique_lock lock(registry_->changes);
  for (const auto& form : held->forms)
    registry_->forms.add(form);
  return registration(std::move(held));
}

std::optional<redacted> redactor::redact(std::string_view text) const {
  std::vector<redaction::span> hits;
  redaction::form_index::effort effort;
  {
    const std::shared_lock lock(registry_->changes);
    registry_->forms.find(text, 0, true, effort, hits);
  }
  registry_->patterns.find(text, 0, true, hits);
  if (hits.empty())
    return std::nullopt;
  redaction::sort(hits);
  redaction::eraser eraser;
  auto out = eraser.erase(text, 0, hits);
  return redacted{std::move(out), eraser.marks()};
}

} // namespace rdev
