// Lane `output`, and the audit log.
#include "adapters/memory/tables.hpp"

namespace rdev::memory {

namespace {

class output_tables final : public output_store {
public:
  explicit output_tables(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<std::vector<bool>> append(std::span<const output_append> batch) override {
    return t_.call("output.append", batch.size(), [&]() -> result<std::vector<bool>> {
      for (const auto& one : batch)
        for (const auto& c : one.chunks)
          if (c.bytes && c.bytes->size() > max_chunk_bytes)
            return failure{fault::internal, "a chunk is too big"};
      std::vector<bool> out;
      for (const auto& one : batch)
        out.push_back(put(one));
      return out;
    });
  }

private:
  bool put(const output_append& one) {
    const auto held = t_.leases.find(one.id);
    if (held == t_.leases.end() || held->second.token != one.token)
      return false;
    auto& rows = t_.chunks[one.id];
    for (auto c : one.chunks) {
      c.at = t_.clock();
      if (!c.bytes)
        c.bytes = std::make_shared<const std::string>();
      rows.try_emplace(c.seq, c);
    }
    return true;
  }

  std::shared_ptr<world> world_;
  tables& t_;
};

class audit_table final : public audit_log {
public:
  explicit audit_table(std::shared_ptr<world> in) : world_(std::move(in)), t_(world_->inside()) {
  }

  result<done> append(std::span<const new_audit_record> batch) override {
    return t_.call("audit.append", batch.size(), [&]() -> result<done> {
      for (const auto& one : batch)
        t_.add_audit(one.what, one.id);
      return done{};
    });
  }

private:
  std::shared_ptr<world> world_;
  tables& t_;
};

} // namespace

std::shared_ptr<output_store> make_output_store(std::shared_ptr<world> in) {
  return std::make_shared<output_tables>(std::move(in));
}

std::shared_ptr<audit_log> make_audit_log(std::shared_ptr<world> in) {
  return std::make_shared<audit_table>(std::move(in));
}

} // namespace rdev::memory
