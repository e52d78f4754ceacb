#pragma once

// Where the record of what people do is: beside the log, whichever that is.

#include <cstdint>
#include <memory>

#include "coordinator/audit/audit.h"
#include "coordinator/daemon/config.h"
#include "coordinator/security/witness.h"

namespace assent::daemon {

// Of a coordinator of this epoch. Trouble with it goes to the log.
std::unique_ptr<audit::Audit> OpenAudit(const Config& config, std::uint64_t epoch);

// What the doors see, put on record. Both outlive it.
class DoorWitness final : public security::Witness {
 public:
  explicit DoorWitness(audit::Audit& audit) : audit_(audit) {}
  void Note(security::Sighting sighting) override;

 private:
  audit::Audit& audit_;
};

}  // namespace assent::daemon
