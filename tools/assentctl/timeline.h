#pragma once

// What happened to a transaction, in the order in which it happened: attempts of all branches, the
// moment the decision became durable, what people did. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"
#include "tools/assentctl/table.h"

namespace assent::ctl {

struct TimelineEntry {
  std::int64_t at_unix_ms = 0;
  // Orders what carries the same millisecond: a cause before what it causes.
  enum class Rank : std::uint8_t { kBegun, kPerson, kForward, kDecided, kPhaseTwo, kFinished };
  Rank rank = Rank::kBegun;
  // The table's row after the time: branch, what, try, took, result, detail.
  std::vector<Cell> cells;
};

// When an attempt was sent. The coordinator stamps it when the attempt is due; one that rests on
// the decision leaves only once that is durable, which is a moment later.
std::int64_t ShownStart(const v1::Attempt& attempt, std::int64_t decided_unix_ms);

// Sorted by time. One entry stands for attempts that the coordinator dropped.
std::vector<TimelineEntry> Timeline(const v1::Transaction& transaction);

// The entries as a table; relative times count from the begin: "+1.200 s".
std::string RenderTimeline(const v1::Transaction& transaction, const Style& style);

// The time column's text for a moment of this transaction.
std::string TimelineMoment(std::int64_t at_unix_ms, const v1::Transaction& transaction,
                           const Style& style);

}  // namespace assent::ctl
