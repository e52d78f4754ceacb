#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <assent/status.h>

#include "coordinator/audit/entry.h"

namespace assent::audit {

// So many entries are kept, by their order; older ones go, some thousand at a time. Not by age: a
// clock that is set wrong must not remove what is to stay.
inline constexpr std::size_t kMaxEntriesCount = 1'000'000;

// Epochs and numbers as a database has them, which knows no unsigned ones. Nobody has so many; the
// highest there is asks for all.
inline std::int64_t Signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number > INT64_MAX ? INT64_MAX : number);
}

// Where entries are. One thread. After an error it is given up, and another one opened.
class Store {
 public:
  virtual ~Store() = default;
  // All of it is durable when this returns OK; nothing of it may be, when it does not. All of
  // it may be written again. kDataLoss, also of Read: somebody has taken the store away.
  virtual Status Write(const std::vector<Entry>& begun, const std::vector<Ending>& ended) = 0;
  virtual Result<std::vector<Entry>> Read(const Query& query) = 0;
  // Removes what is older than the newest `kept`.
  virtual Status Retire(std::size_t kept) = 0;
};

using OpenStore = std::function<Result<std::unique_ptr<Store>>()>;

// A file of its own, beside the log's.
OpenStore InSqlite(const std::string& path);

}  // namespace assent::audit
