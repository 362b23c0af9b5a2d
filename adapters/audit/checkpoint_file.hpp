// Where checkpoints are kept outside of the database: a file that only grows, with a line for each.
#pragma once

#include "adapters/audit_store.hpp"

#include <memory>
#include <string>

namespace rdev::audit_chain {

// Lines as read_checkpoints() takes them, written through to the disk. The file is opened for each, so it may be moved
// away. Fault `unavailable`: it cannot be written; nothing of the line is left then.
std::shared_ptr<checkpoint_keeper> keep_in_file(std::string path);

} // namespace rdev::audit_chain
