#pragma once

// A row of the record, of what a database has in its columns: the tables of both have the same, in
// the same order. Cells has Text, Int and Unsigned of a column, and Code, which may be none.

#include <string>

#include <assent/status.h>

#include "coordinator/audit/chain.h"
#include "coordinator/audit/store.h"

namespace assent::audit {

// kInternal: no kind is called so.
template <typename Cells>
Result<Row> RowFrom(const Cells& cells) {
  Row row{.chain = cells.Text(0),
          .number = cells.Unsigned(1),
          .at_unix_ms = cells.Int(3),
          .about = {cells.Int(4), cells.Unsigned(5), cells.Unsigned(6)},
          .node = cells.Text(7),
          .deed = {.verb = cells.Text(8),
                   .gid = cells.Text(9),
                   .branch_id = cells.Text(10),
                   .detail = cells.Text(11),
                   .who = cells.Text(12),
                   .claims = cells.Text(13),
                   .reason = cells.Text(14),
                   .address = cells.Text(15)},
          .before = cells.Text(16),
          .code = cells.Code(17),
          .said = cells.Text(18),
          .times = cells.Unsigned(19),
          .hash = cells.Text(20)};
  const auto kind = KindOf(cells.Text(2));
  if (!kind) {
    return Internal(row.chain + " " + std::to_string(row.number) + ": no kind of rows is called " +
                    cells.Text(2));
  }
  row.kind = *kind;
  return row;
}

// Of the table that there was before the chain (format 1).
template <typename Cells>
Row OldRowFrom(const Cells& cells) {
  const EntryId id{cells.Int(0), cells.Unsigned(1), cells.Unsigned(2)};
  return {.chain = std::string(kDeeds),
          .kind = Kind::kOld,
          .at_unix_ms = id.at_unix_ms,
          .about = id,
          .node = cells.Text(3),
          .deed = {.verb = cells.Text(4),
                   .gid = cells.Text(5),
                   .branch_id = cells.Text(6),
                   .detail = cells.Text(7),
                   .who = cells.Text(8),
                   .reason = cells.Text(9),
                   .address = cells.Text(10)},
          .before = cells.Text(11),
          .code = cells.Code(12),
          .said = cells.Text(13)};
}

}  // namespace assent::audit
