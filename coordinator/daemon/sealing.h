#pragma once

// The keys of --encryption-keys, and what stands around the stores of the log with them.

#include <memory>

#include <assent/status.h>

#include "coordinator/crypt/keys.h"
#include "coordinator/daemon/config.h"
#include "coordinator/log/row_store.h"
#include "coordinator/log/sealed/sealed_store.h"

namespace assent::daemon {

// None without the setting. INVALID_ARGUMENT names the file and the line.
Result<crypt::Keys> ReadEncryptionKeys(const Config& config);

class Sealing {
 public:
  Status Start(const Config& config);
  // Also without keys: what is sealed is known for what it is.
  log::StoreWrap Wrap() const;
  // What cannot be read, or lacks a key that rows may need, leaves what is in force, and the log
  // says so. A file that says the same as before moves nothing.
  Status Reload(const Config& config);
  const log::SealReport& report() const { return *report_; }

 private:
  Status CheckNothingIsLost(const crypt::Keys& next) const;

  std::shared_ptr<crypt::Keyring> keyring_ = std::make_shared<crypt::Keyring>();
  std::shared_ptr<log::SealReport> report_ = std::make_shared<log::SealReport>();
};

}  // namespace assent::daemon
