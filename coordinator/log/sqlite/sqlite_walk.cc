#include "coordinator/log/sqlite/sqlite_walk.h"

#include <sqlite3.h>

namespace assent::log {
namespace {

constexpr char kLiveSql[] =
    "SELECT serial, commit_seq, version, 0, state_crc, spec_crc, gid, state, spec FROM live";
constexpr char kFinishedSql[] =
    "SELECT serial, commit_seq, outcome, finished_unix_ms, crc, 0, gid, state, spec FROM finished";

class Walk {
 public:
  Walk(SqliteConnection& db, const std::string& path, const Meta& meta,
       const std::function<void(const WalkedRow&)>& visit)
      : db_(db), path_(path), meta_(meta), visit_(visit) {}

  Walked Run() {
    Table(/*finished=*/false);
    Table(/*finished=*/true);
    Totals();
    return std::move(walked_);
  }

 private:
  // Upwards; and where a page cannot be read, downwards from the end to the same place.
  void Table(bool finished) {
    const std::string sql = finished ? kFinishedSql : kLiveSql;
    std::uint64_t last = 0;
    int code = Rows(finished, sql + " ORDER BY serial", last);
    if (code == SQLITE_DONE) return;
    const std::string name = path_ + ": table " + (finished ? "finished" : "live");
    const std::string why = db_.ErrorText(code);
    std::uint64_t first = UINT64_MAX;
    code = Rows(finished, sql + " WHERE serial > " + std::to_string(last) + " ORDER BY serial DESC",
                first);
    Say(name + ": after row " + std::to_string(last) +
        (first == UINT64_MAX ? "" : " and before row " + std::to_string(first)) +
        " nothing can be read: " + why);
  }

  // SQLITE_DONE, or the error behind row `last`.
  int Rows(bool finished, const std::string& sql, std::uint64_t& last) {
    Statement select;
    int code = db_.Prepare(sql.c_str(), select);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
      code = select.Step();
      if (code != SQLITE_ROW) break;
      const WalkedRow row = Read(select, finished);
      last = row.serial;
      ++(finished ? walked_.finished_rows : walked_.live_rows);
      if (!finished) {
        xor_ ^= row.serial;
        versions_ += row.version;
      }
      if (!row.damage.empty()) Say(row.damage);
      visit_(row);
    }
    return code;
  }

  WalkedRow Read(const Statement& select, bool finished) const {
    WalkedRow row{.finished = finished,
                  .serial = select.Unsigned(0),
                  .commit_seq = select.Unsigned(1),
                  .gid = std::string(select.Bytes(6)),
                  .spec = std::string(select.Bytes(8)),
                  .state = std::string(select.Bytes(7))};
    const auto number = select.Unsigned(2);
    const std::string name = path_ + ": table " + (finished ? "finished" : "live") + ", row " +
                             std::to_string(row.serial) + " (gid " + row.gid.substr(0, 64) + "): ";
    if (finished) {
      row.outcome = static_cast<std::uint8_t>(number);
      row.finished_unix_ms = select.Int(3);
      const std::uint32_t crc =
          FinishedChecksum(row.serial, row.commit_seq, row.outcome, row.finished_unix_ms, row.gid,
                           row.spec, row.state);
      if (select.Int(4) != std::int64_t{crc} || number != row.outcome)
        row.damage = name + "checksum mismatch";
    } else {
      row.version = number;
      row.state_crc = static_cast<std::uint32_t>(select.Unsigned(4));
      const std::uint32_t crc = StateChecksum(row.serial, row.version, row.commit_seq, row.state);
      if (select.Int(4) != std::int64_t{crc})
        row.damage = name + "checksum mismatch in serial, version, commit_seq or state";
      if (select.Int(5) != std::int64_t{SpecChecksum(row.serial, row.gid, row.spec)})
        row.damage = name + "checksum mismatch in serial, gid or spec";
    }
    const bool later = row.commit_seq > meta_.commit_seq || row.serial >= meta_.next_serial;
    if (row.damage.empty() && later) row.damage = name + "is of a later commit than table meta";
    return row;
  }

  void Totals() {
    const auto differ = [this](const char* what, std::uint64_t found, std::uint64_t wanted) {
      if (found == wanted) return;
      Say(path_ + ": " + what + ": " + std::to_string(found) + ", and table meta says " +
          std::to_string(wanted));
    };
    differ("rows in table live", walked_.live_rows, meta_.live_rows);
    differ("rows in table finished", walked_.finished_rows, meta_.finished_rows);
    if (walked_.live_rows + 1 == meta_.live_rows) {
      Say(path_ + ": table live, row " + std::to_string(xor_ ^ meta_.live_xor) + ": is missing");
    } else if (walked_.live_rows == meta_.live_rows) {
      differ("the serials of table live, all xored", xor_, meta_.live_xor);
      if (xor_ == meta_.live_xor)
        differ("the versions of table live, summed", versions_, meta_.live_versions);
    }
  }

  void Say(std::string sentence) { walked_.damage.push_back(std::move(sentence)); }

  SqliteConnection& db_;
  const std::string& path_;
  const Meta& meta_;
  const std::function<void(const WalkedRow&)>& visit_;
  Walked walked_;
  std::uint64_t xor_ = 0;
  std::uint64_t versions_ = 0;
};

}  // namespace

Walked WalkRows(SqliteConnection& db, const std::string& path, const Meta& meta,
                const std::function<void(const WalkedRow&)>& visit) {
  return Walk(db, path, meta, visit).Run();
}

}  // namespace assent::log
