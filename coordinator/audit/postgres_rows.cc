#include "coordinator/audit/postgres_rows.h"

#include <cstdint>
#include <optional>
#include <string>

#include "coordinator/audit/cells.h"
#include "coordinator/audit/store.h"

namespace assent::audit {

using log::Params;
using log::Rows;

namespace {

struct Cells {
  const Rows& rows;
  int at;

  std::string Text(int column) const { return rows.Text(at, column); }
  std::int64_t Int(int column) const { return rows.Int(at, column); }
  std::uint64_t Unsigned(int column) const { return rows.Unsigned(at, column); }
  std::optional<std::uint8_t> Code(int column) const {
    if (rows.IsNull(at, column) || Int(column) < 0) return {};
    return static_cast<std::uint8_t>(Int(column));
  }
};

}  // namespace

std::string EntriesSql(const Query& query) {
  return "SELECT a.about_ms, a.about_epoch, a.about_number, a.kind, a.node, a.verb, a.gid,"
         " a.branch, a.detail, a.who, a.claims, a.reason, a.address, COALESCE(e.was, a.was),"
         " COALESCE(e.code, a.code), COALESCE(e.said, a.said), a.times"
         " FROM audit_rows a LEFT JOIN audit_rows e ON e.about_ms = a.about_ms"
         " AND e.about_epoch = a.about_epoch AND e.about_number = a.about_number"
         " AND e.kind = 'ending' AND a.kind = 'deed'"
         " WHERE a.kind IN (" +
         KindsSql(query.kinds) +
         ") AND (a.about_ms, a.about_epoch, a.about_number) <"
         " ($1::bigint, $2::bigint, $3::bigint) AND a.about_ms >= $4::bigint" +
         (query.gid.empty() ? "" : " AND a.gid = $6::text") +
         " ORDER BY a.about_ms DESC, a.about_epoch DESC, a.about_number DESC LIMIT $5::bigint";
}

Params ParamsOf(const EntryId& id) {
  return Params().Int(id.at_unix_ms).Int(Signed(id.epoch)).Int(Signed(id.number));
}

Params ParamsOf(const Row& row) {
  const Deed& deed = row.deed;
  return Params()
      .Bytes(row.chain)
      .Int(Signed(row.number))
      .Bytes(NameOf(row.kind))
      .Int(row.at_unix_ms)
      .Int(row.about.at_unix_ms)
      .Int(Signed(row.about.epoch))
      .Int(Signed(row.about.number))
      .Bytes(row.node)
      .Bytes(deed.verb)
      .Bytes(deed.gid)
      .Bytes(deed.branch_id)
      .Bytes(deed.detail)
      .Bytes(deed.who)
      .Bytes(deed.claims)
      .Bytes(deed.reason)
      .Bytes(deed.address)
      .Bytes(row.before)
      .Int(row.code ? std::int64_t{*row.code} : std::int64_t{-1})
      .Bytes(row.said)
      .Int(Signed(row.times))
      .Bytes(row.hash);
}

Result<Row> RowOf(const Rows& rows, int at) { return RowFrom(Cells{rows, at}); }

Entry EntryOf(const Rows& rows, int row) {
  const auto text = [&](int column) { return rows.Text(row, column); };
  const bool ended = rows.Int(row, 14) >= 0;
  return {.id = {rows.Int(row, 0), rows.Unsigned(row, 1), rows.Unsigned(row, 2)},
          .kind = KindOf(text(3)).value_or(Kind::kOld),
          .node = text(4),
          .deed = {text(5), text(6), text(7), text(8), text(9), text(10), text(11), text(12)},
          .ended = ended,
          .before = text(13),
          .code = ended ? static_cast<Code>(rows.Int(row, 14)) : Code::kOk,
          .said = text(15),
          .times = rows.Unsigned(row, 16)};
}

Row OldRow(const Rows& rows, int at) { return OldRowFrom(Cells{rows, at}); }

}  // namespace assent::audit
