#include "coordinator/audit/sqlite_rows.h"

#include <cstdint>
#include <optional>
#include <sqlite3.h>
#include <string>

#include "coordinator/audit/cells.h"
#include "coordinator/audit/store.h"

namespace assent::audit {
namespace {

using log::SqliteConnection;
using log::Statement;

constexpr const char* kReadFormat1Sql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit ORDER BY at_ms, epoch, number";

struct Cells {
  const Statement& row;

  std::string Text(int column) const { return std::string(row.Bytes(column)); }
  std::int64_t Int(int column) const { return row.Int(column); }
  std::uint64_t Unsigned(int column) const { return row.Unsigned(column); }
  std::optional<std::uint8_t> Code(int column) const {
    if (row.Type(column) == SQLITE_NULL) return {};
    return static_cast<std::uint8_t>(Int(column));
  }
};

}  // namespace

Result<Row> RowOf(const Statement& row) { return RowFrom(Cells{row}); }

Statement& BindRow(Statement& insert, const Row& row) {
  const Deed& deed = row.deed;
  return insert.BindText(1, row.chain)
      .BindInt(2, Signed(row.number))
      .BindText(3, NameOf(row.kind))
      .BindInt(4, row.at_unix_ms)
      .BindInt(5, row.about.at_unix_ms)
      .BindInt(6, Signed(row.about.epoch))
      .BindInt(7, Signed(row.about.number))
      .BindText(8, row.node)
      .BindText(9, deed.verb)
      .BindText(10, deed.gid)
      .BindText(11, deed.branch_id)
      .BindText(12, deed.detail)
      .BindText(13, deed.who)
      .BindText(14, deed.claims)
      .BindText(15, deed.reason)
      .BindText(16, deed.address)
      .BindText(17, row.before)
      .BindInt(18, row.code ? std::int64_t{*row.code} : std::int64_t{-1})
      .BindText(19, row.said)
      .BindInt(20, Signed(row.times))
      .BindBlob(21, row.hash);
}

int TakeOverFormat1(SqliteConnection& db) {
  Statement insert;
  Statement read;
  int code = db.Prepare(kReadFormat1Sql, read);
  if (code == SQLITE_OK) code = db.Prepare(kInsertRowSql, insert);
  Head head;
  while (code == SQLITE_OK) {
    const int step = read.Step();
    if (step != SQLITE_ROW) {
      code = step == SQLITE_DONE ? SQLITE_OK : step;
      break;
    }
    Row row = OldRowFrom(Cells{read});
    Seal(row.chain, row, head);
    code = BindRow(insert, row).Run();
  }
  read = {};
  return code == SQLITE_OK ? db.Execute("DROP TABLE audit") : code;
}

}  // namespace assent::audit
