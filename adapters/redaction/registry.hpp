// What a redactor and all its copies share.
#pragma once

#include "adapters/redaction.hpp"
#include "adapters/redaction/form_index.hpp"
#include "adapters/redaction/patterns.hpp"

#include <shared_mutex>

namespace rdev {

struct redactor::registry {
  explicit registry(redaction::patterns p) : patterns(std::move(p)) {
  }
  const redaction::patterns patterns;
  std::shared_mutex changes; // of the forms
  redaction::form_index forms;
};

} // namespace rdev
