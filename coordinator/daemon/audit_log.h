#pragma once

// Where the record of what people do is: beside the log, whichever that is.

#include <cstdint>
#include <memory>
#include <string>

#include <assent/status.h>

#include "coordinator/audit/audit.h"
#include "coordinator/daemon/config.h"
#include "coordinator/security/witness.h"

namespace assent::daemon {

// Of a coordinator of this epoch, with its start on record. Trouble with it goes to the log, and
// where its chains have got to.
std::unique_ptr<audit::Audit> OpenAudit(const Config& config, std::uint64_t epoch);

// That settings, rules, tokens, keys or certificates were read again, and what came of it.
void NoteReload(audit::Audit& audit, const std::string& what, const Status& done);

// Puts on record that it stops in order, and closes it.
void CloseAudit(audit::Audit& audit);

// What the doors see, put on record. Both outlive it.
class DoorWitness final : public security::Witness {
 public:
  explicit DoorWitness(audit::Audit& audit) : audit_(audit) {}
  void Note(security::Sighting sighting) override;

 private:
  audit::Audit& audit_;
};

}  // namespace assent::daemon
