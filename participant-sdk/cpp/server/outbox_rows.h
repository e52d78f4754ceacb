#pragma once

// Of a relay's side of the outbox, what is the same over every database that is a server: reading
// rows, and which of them one turn takes. `Rows` is what the adapter reads a result with: rows(),
// Int, Text and IsNull of a row and a column.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <assent/outbox.h>

namespace assent::internal::outbox {

// The server has subtracted; its clock may have been put back meanwhile.
template <typename Rows>
std::chrono::milliseconds Ago(const Rows& rows, int row, int column) {
  return std::chrono::milliseconds(std::max<std::int64_t>(0, rows.Int(row, column)));
}

// Of: id, gid, key, too large, request, attempts, ago (or NULL).
template <typename Rows>
OutboxTable::Taken TakenAt(const Rows& rows, int i) {
  OutboxTable::Taken row;
  row.id = rows.Int(i, 0);
  row.gid = rows.Text(i, 1);
  row.ordering_key = rows.Text(i, 2);
  row.too_large = rows.Int(i, 3) != 0;
  row.request = rows.Text(i, 4);
  row.attempts = rows.Int(i, 5);
  if (!rows.IsNull(i, 6)) row.first_attempt_ago = Ago(rows, i, 6);
  return row;
}

// Of: all, parked, unknown, oldest age; counted up to `bound`.
template <typename Rows>
OutboxTable::Counts CountsOf(const Rows& rows, std::size_t bound) {
  OutboxTable::Counts counts;
  const std::int64_t all = rows.Int(0, 0);
  counts.parked = rows.Int(0, 1);
  counts.unknown = rows.Int(0, 2);
  counts.waiting = all - counts.parked;
  counts.is_more = all >= static_cast<std::int64_t>(bound);
  counts.oldest_age = Ago(rows, 0, 3);
  return counts;
}

// Of: id, gid, kind, key, bytes, attempts, age, ago (or NULL), due in, reason, error.
template <typename Rows>
std::vector<OutboxRow> RowsOf(const Rows& rows) {
  std::vector<OutboxRow> list;
  for (int i = 0; i < rows.rows(); ++i) {
    OutboxRow row;
    row.id = rows.Int(i, 0);
    row.gid = rows.Text(i, 1);
    row.kind = rows.Int(i, 2);
    row.ordering_key = rows.Text(i, 3);
    row.request_bytes = static_cast<std::size_t>(rows.Int(i, 4));
    row.attempts = rows.Int(i, 5);
    row.age = Ago(rows, i, 6);
    if (!rows.IsNull(i, 7)) row.first_attempt_ago = Ago(rows, i, 7);
    row.due_in = std::chrono::milliseconds(rows.Int(i, 8));
    row.parked_reason = rows.Text(i, 9);
    row.last_error = rows.Text(i, 10);
    list.push_back(std::move(row));
  }
  return list;
}

// Ids in the order in which they were found, up to what one turn may carry.
struct Choice {
  std::vector<std::int64_t> ids;
  std::size_t bytes = 0;
  bool is_cut = false;

  void Add(std::int64_t id, std::int64_t row_bytes) {
    if (is_cut) return;
    const auto size = static_cast<std::size_t>(row_bytes);
    // One that is too large is not read.
    bytes += size > limits::kMaxOutboxRequestBytes ? 0 : size;
    is_cut = bytes > limits::kMaxTurnBytes && !ids.empty();
    if (!is_cut) ids.push_back(id);
  }
  // Of: id, bytes.
  template <typename Rows>
  void AddUpTo(std::size_t count, const Rows& rows) {
    for (int i = 0; i < rows.rows() && ids.size() < count; ++i) Add(rows.Int(i, 0), rows.Int(i, 1));
  }
};

// Keys are walked in a circle.
class KeyWalk {
 public:
  // The next turn's keys are those behind this one.
  const std::string& from() const { return from_; }
  // At most `wanted` of: key, id of its oldest row, whether that may be taken, bytes.
  template <typename Rows>
  void Choose(const Rows& heads, std::size_t wanted, Choice& choice, OutboxTable::Batch& batch) {
    if (wanted == 0) return;
    const bool began_within = !from_.empty();
    std::size_t taken = 0;
    int i = 0;
    for (; i < heads.rows() && taken < wanted && !choice.is_cut; ++i) {
      from_ = heads.Text(i, 0);
      if (heads.Int(i, 2) == 0) continue;
      choice.Add(heads.Int(i, 1), heads.Int(i, 3));
      ++taken;
    }
    const bool more =
        taken == wanted || choice.is_cut || i == static_cast<int>(limits::kMaxKeysPerTurnCount);
    if (!more) from_.clear();
    batch.is_full = batch.is_full || (taken > 0 && (more || began_within));
  }

 private:
  std::string from_;
};

}  // namespace assent::internal::outbox
