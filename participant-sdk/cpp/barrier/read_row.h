#pragma once

// The row of a branch, as a database's server gives it back.

#include <cstdint>
#include <string>

#include <assent/status.h>

#include "participant-sdk/cpp/barrier/barrier.h"

namespace assent::barrier {

// Of a row whose columns from `first` on are state, protocol, action, kind, result, reason and
// second_result. DATA_LOSS: nobody of ours wrote it so.
template <typename Table>
Result<Row> ReadRow(const Table& table, int row, int first) {
  const auto at = [first](int column) { return first + column; };
  const std::int64_t state = table.Int(row, at(0));
  const std::int64_t protocol = table.Int(row, at(1));
  const std::int64_t kind = table.Int(row, at(3));
  constexpr auto kLast = static_cast<std::int64_t>(State::kTombstone);
  if (state <= 0 || state > kLast || kind < 1 || kind > 4 || protocol < 1 || protocol > 3)
    return DataLoss("a row of assent_barrier is damaged: state " + std::to_string(state));
  Row kept;
  kept.state = static_cast<State>(state);
  kept.protocol = static_cast<Protocol>(protocol);
  kept.action = table.Text(row, at(2));
  kept.first.kind = static_cast<Reply::Kind>(kind);
  kept.first.result = table.Text(row, at(4));
  kept.first.reason = table.Text(row, at(5));
  kept.second_result = table.Text(row, at(6));
  return kept;
}

}  // namespace assent::barrier
