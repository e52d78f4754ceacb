#pragma once

// What the statements of members return, read and looked at: whoever may write to these tables may
// have written what no member would.

#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/cluster/view.h"
#include "coordinator/log/postgresql/values.h"

namespace assent::log {

// A serial has ten bits for its slot.
inline constexpr Slot kMaxSlotsCount = 1024;

// The rows of kLookSql. kDataLoss: the log's row is not there, or not one row for each slot.
extern const char* const kLookSql;
Result<cluster::View> ReadView(const Rows& rows);

// Rows of slot, epoch and floor. kDataLoss: a log of so many slots has no such slot.
Result<std::vector<cluster::Grant>> ReadGrants(const Rows& rows, Slot slots_count);

}  // namespace assent::log
