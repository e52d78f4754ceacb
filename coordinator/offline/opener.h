#pragma once

// Rows of a log that nobody has, as its coordinator would see them: opened, with the keys that are
// there.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "coordinator/crypt/keys.h"
#include "coordinator/crypt/seal.h"
#include "coordinator/log/sqlite/sqlite_walk.h"

namespace assent::offline {

using KeysPtr = std::shared_ptr<const crypt::Keys>;

class RowOpener {
 public:
  RowOpener(KeysPtr keys, std::uint64_t log_id)
      : keys_(keys ? std::move(keys) : std::make_shared<const crypt::Keys>()), log_id_(log_id) {}

  struct Opened {
    std::string spec{};
    std::string state{};
    std::string why_not{};   // nothing: they are in the clear
    bool lacks_key = false;  // or it was changed
  };
  Opened Open(const log::WalkedRow& row);
  // As a coordinator would write it now.
  std::string SealState(const std::string& gid, const std::string& state);

  // How many of the rows that were opened, or were to be, are under which key. A row that is under
  // two has one of each; in the clear: crypt::kPlaintext.
  const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  crypt::Place PlaceOf(crypt::Place::Field field, const std::string& gid) const {
    return {.field = field, .log_id = log_id_, .gid = gid};
  }

  const KeysPtr keys_;
  const std::uint64_t log_id_;
  crypt::Sealer sealer_;
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace assent::offline
