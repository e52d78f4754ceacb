#include "coordinator/audit/sqlite_rows.h"

#include <sqlite3.h>
#include <string>

#include "coordinator/audit/store.h"

namespace assent::audit {
namespace {

using log::SqliteConnection;
using log::Statement;

constexpr const char* kReadFormat1Sql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit ORDER BY at_ms, epoch, number";

Row OldRow(const Statement& row) {
  const auto text = [&row](int column) { return std::string(row.Bytes(column)); };
  const EntryId id{row.Int(0), row.Unsigned(1), row.Unsigned(2)};
  Row out{.chain = std::string(kDeeds),
          .kind = Kind::kOld,
          .at_unix_ms = id.at_unix_ms,
          .about = id,
          .node = text(3),
          .deed = {.verb = text(4),
                   .gid = text(5),
                   .branch_id = text(6),
                   .detail = text(7),
                   .who = text(8),
                   .reason = text(9),
                   .address = text(10)},
          .before = text(11),
          .said = text(13)};
  if (row.Type(12) != SQLITE_NULL) out.code = static_cast<std::uint8_t>(row.Int(12));
  return out;
}

}  // namespace

Result<Row> RowOf(const Statement& s) {
  const auto text = [&s](int column) { return std::string(s.Bytes(column)); };
  Row row{.chain = text(0),
          .number = s.Unsigned(1),
          .at_unix_ms = s.Int(3),
          .about = {s.Int(4), s.Unsigned(5), s.Unsigned(6)},
          .node = text(7),
          .deed = {.verb = text(8),
                   .gid = text(9),
                   .branch_id = text(10),
                   .detail = text(11),
                   .who = text(12),
                   .claims = text(13),
                   .reason = text(14),
                   .address = text(15)},
          .before = text(16),
          .said = text(18),
          .times = s.Unsigned(19),
          .hash = text(20)};
  if (s.Type(17) != SQLITE_NULL) row.code = static_cast<std::uint8_t>(s.Int(17));
  const auto kind = KindOf(s.Bytes(2));
  if (!kind)
    return Internal(row.chain + " " + std::to_string(row.number) + ": no kind of rows is called " +
                    text(2));
  row.kind = *kind;
  return row;
}

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
    Row row = OldRow(read);
    Seal(row.chain, row, head);
    code = BindRow(insert, row).Run();
  }
  read = {};
  return code == SQLITE_OK ? db.Execute("DROP TABLE audit") : code;
}

}  // namespace assent::audit
