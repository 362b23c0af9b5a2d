#include "actors/audit_sealer.hpp"

#include "adapters/audit_chain.hpp"
#include "adapters/crypto.hpp"

#include <utility>

namespace rdev::audit_sealer {

void log_checkpoint(const audit_checkpoint& what, log& to) {
  to.info("audit checkpoint", {{"seq", what.seq},
                               {"hash", to_hex(what.hash)},
                               {"at", audit_chain::exact_time(what.at)},
                               {"first_seq", what.first_seq},
                               {"kept_from", what.kept_from ? audit_chain::exact_time(*what.kept_from) : ""},
                               {"key", what.key},
                               {"signature", to_base64(what.signature)}});
}

void state::on_look() {
  auto sealed = store->seal(settings.node, settings.at_once);
  if (!sealed) {
    around.fault("audit_sealer", sealed.error());
    self->delayed_send(self, settings.look, look{});
    return;
  }
  if (sealed->checkpoint)
    untold = std::move(sealed->checkpoint);
  if (sealed->more)
    self->send(self, look{});
  else
    self->delayed_send(self, settings.look, look{});
}

void state::on_tell() {
  if (untold)
    log_checkpoint(*untold, *around.log);
  if (untold && keep_outside(*untold))
    untold.reset();
  look_for_late_ones();
  self->delayed_send(self, settings.tell, tell{});
}

// Whichever node should seal them: what is not sealed can be changed unseen.
void state::look_for_late_ones() {
  const auto waits = store->oldest_unsealed();
  unknown_for = waits ? std::chrono::milliseconds(0) : unknown_for + settings.tell;
  if (!waits)
    around.fault("audit_sealer", waits.error());
  if (unknown_for > settings.late)
    around.fault("audit_unsealed",
                 {fault::unavailable, "whether all of the audit log is sealed has not been known for " +
                                          std::to_string(unknown_for.count() / 1000) + " s"});
  if (waits && *waits > settings.late)
    around.fault("audit_unsealed", {fault::unavailable, "a record of the audit log has waited to be sealed for " +
                                                            std::to_string(waits->count() / 1000) +
                                                            " s: is a transaction open for so long?"});
}

bool state::keep_outside(const audit_checkpoint& what) const {
  if (!settings.outside)
    return true;
  const auto kept = settings.outside->keep(what);
  if (!kept)
    around.fault("audit_checkpoint_file", kept.error());
  return static_cast<bool>(kept);
}

void state::on_retire() {
  auto retired = store->retire(settings.node);
  if (!retired)
    around.fault("audit_sealer", retired.error());
  else if (retired->checkpoint)
    untold = std::move(retired->checkpoint);
  self->delayed_send(self, settings.retire, retire{});
}

actor::behavior_type behavior(actor::stateful_pointer<state> self, surroundings around, config settings,
                              std::shared_ptr<audit_chain_store> store) {
  self->state.around = around;
  self->state.settings = std::move(settings);
  self->state.store = std::move(store);
  self->send(self, look{});
  self->delayed_send(self, self->state.settings.tell, tell{});
  self->send(self, retire{});
  return {
      [=](look) { self->state.on_look(); },
      [=](tell) { self->state.on_tell(); },
      [=](retire) { self->state.on_retire(); },
  };
}

} // namespace rdev::audit_sealer
