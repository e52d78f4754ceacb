#pragma once

// The rows of the barrier (barrier.h) in the user's own database.

#include <cstdint>
#include <string_view>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

class BarrierTable {
 public:
  explicit BarrierTable(Connection& connection) : connection_(connection) {}
  // kNone when there is no row.
  Result<barrier::Row> Find(std::string_view gid, std::string_view branch_id);
  // Inserts the row of a branch that has none.
  Status Put(const Call& call, barrier::State state, const Reply& first, std::int64_t now_ms);
  // Moves an existing row on.
  Status Advance(std::string_view gid, std::string_view branch_id, barrier::State state,
                 std::string_view second_result, std::int64_t now_ms);

 private:
  Connection& connection_;
};

}  // namespace assent::sqlite::internal
