#pragma once

// Looks over the folder of a log that no coordinator has: says what is wrong with it and what that
// means, and takes single rows out of service, or back in, on the record.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/core/codec.h"
#include "coordinator/log/sqlite/sqlite_walk.h"
#include "coordinator/offline/opener.h"

namespace assent::offline {

// What was looked at, and what came of it.
struct Finding {
  enum class Grade : std::uint8_t {
    kSound,
    kNotice,   // a start does, and a person should look
    kDamaged,  // a start refuses
  };
  Grade grade = Grade::kSound;
  std::string what;  // "files", "WAL", "rows"
  std::string says;
};

struct Row {
  log::WalkedRow bytes{};
  std::optional<core::Transaction> txn{};  // nothing: it cannot be read
  std::string unreadable{};                // why
  std::optional<core::OutOfService> out{};
};

struct Examined {
  std::vector<Finding> findings{};
  Finding::Grade worst = Finding::Grade::kSound;
  bool lacks_keys = false;  // rows want keys that were not given, or are in the clear beside them
};

// Changes nothing. Each row that can be read is visited, also of a damaged file.
//   kNotFound            there is no log
//   kFailedPrecondition  somebody has it
// `keys` open what is sealed; without them it is counted by key, and said to be sealed.
Result<Examined> Examine(const std::string& folder, const KeysPtr& keys,
                         const std::function<void(const Row&)>& visit);

// One row, by its gid, or by its number ("#17"), which a damaged gid needs.
struct Deed {
  std::string row;
  std::string reason;
  std::string who;
};
// Out of service: no start refuses the row any more, nobody works on it, and whoever asks for it is
// told by whom and why. All of its bytes stay in it. In one commit, on the disk when it returns,
// and on the record (audit.db) before. Says what was done.
//   kNotFound            there is no such row
//   kFailedPrecondition  several are called so, or are wrong; or of an opening
Result<std::string> TakeOutOfService(const std::string& folder, const Deed& deed);
// The same row, as it was: it goes on as after any start. kFailedPrecondition: it was damaged.
Result<std::string> PutBack(const std::string& folder, const Deed& deed);

}  // namespace assent::offline
