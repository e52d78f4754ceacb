#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "coordinator/audit/chain.h"
#include "coordinator/audit/entry.h"

namespace assent::audit {

// So many rows are kept of what people do, by their order, two for each deed; older ones go, some
// thousand at a time. Not by age: a clock that is set wrong must not remove what is to stay.
inline constexpr std::size_t kMaxRowsCount = 2'000'000;
// Likewise, of what was refused.
inline constexpr std::size_t kMaxRefusedRowsCount = 100'000;

// Epochs and numbers as a database has them, which knows no unsigned ones. Nobody has so many; the
// highest there is asks for all.
inline std::int64_t Signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number > INT64_MAX ? INT64_MAX : number);
}

// Where rows are. One thread. After an error it is given up, and another one opened.
class Store {
 public:
  virtual ~Store() = default;
  // Puts them behind what is there, each in the chain of that kind (kDeeds or kRefusals) that its
  // `chain` names, and fills in chain, number and hash. All of it is durable when this returns OK;
  // nothing of it may be, when it does not. All of it may be given again: a row that is there is
  // left out, and has no hash then. kDataLoss, also of the others: somebody has taken the store
  // away.
  virtual Status Append(std::vector<Row>& rows) = 0;
  virtual Result<std::vector<Entry>> Read(const Query& query) = 0;
  // By name, behind `after`.
  virtual Result<std::vector<Span>> Chains(const std::string& after, std::size_t max) = 0;
  // In their order, behind `after`.
  virtual Result<std::vector<Row>> Rows(const std::string& chain, std::uint64_t after,
                                        std::size_t max) = 0;
  // Removes the oldest of the chains of that kind, but for the newest `kept` and the last of each,
  // and puts on record that it did.
  virtual Status Retire(std::string_view kind, std::size_t kept, std::int64_t now_unix_ms) = 0;
  // A store that can be opened and read may still be full. Leaves the record as it is.
  virtual Status TryToWrite() = 0;
};

using OpenStore = std::function<Result<std::unique_ptr<Store>>()>;

// A file of its own, beside the log's.
OpenStore InSqlite(const std::string& path);
// Reads it, and writes nothing: a file that somebody uses, or a copy. kNotFound: it is not there;
// kFailedPrecondition: it was made before the record was a chain.
Status WalkSqlite(const std::string& path, const std::function<void(const Row&)>& each);

// A deed, and what came of it, as rows.
Row AskedRow(const Entry& entry);
Row EndingRow(const Ending& ending, std::int64_t at_unix_ms);

}  // namespace assent::audit
