#include <array>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

#include "coordinator/audit/store.h"
#include "coordinator/log/sqlite/in_place.h"
#include "coordinator/log/sqlite/sqlite_connection.h"

namespace assent::audit {
namespace {

using log::SqliteConnection;
using log::Statement;

constexpr std::int64_t kFormat = 1;

// `code` is NULL while it is not known what came of it.
constexpr const char* kCreateSql = R"sql(
CREATE TABLE audit (
  at_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
  node TEXT NOT NULL, verb TEXT NOT NULL, gid TEXT NOT NULL, branch TEXT NOT NULL,
  detail TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL, address TEXT NOT NULL,
  was TEXT NOT NULL DEFAULT '', code INTEGER, said TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (at_ms, epoch, number)) WITHOUT ROWID;
CREATE INDEX audit_by_gid ON audit (gid, at_ms, epoch, number);
PRAGMA user_version = 1;
)sql";
constexpr const char* kInsertSql =
    "INSERT OR IGNORE INTO audit"
    " (at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr const char* kEndSql =
    "UPDATE audit SET was = ?4, code = ?5, said = ?6"
    " WHERE at_ms = ?1 AND epoch = ?2 AND number = ?3";
constexpr const char* kRemoveSql =
    "DELETE FROM audit WHERE at_ms = ?1 AND epoch = ?2 AND number = ?3";
constexpr const char* kRetireSql =
    "DELETE FROM audit WHERE (at_ms, epoch, number) <= (SELECT at_ms, epoch, number FROM audit"
    " ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT 1 OFFSET ?)";
constexpr const char* kReadSql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit WHERE (at_ms, epoch, number) < (?1, ?2, ?3) AND at_ms >= ?4"
    " ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT ?5";
constexpr const char* kReadOfGidSql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit WHERE (at_ms, epoch, number) < (?1, ?2, ?3) AND at_ms >= ?4 AND gid = ?6"
    " ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT ?5";

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(std::string path) : path_(std::move(path)) {}

  ~SqliteStore() override {
    for (const auto& [sql, statement] : Statements()) *statement = {};
    (void)db_.Execute("PRAGMA wal_checkpoint(TRUNCATE)");  // so that this file alone has all of it
  }

  Status Open() {
    // For its owner's eyes, from the first moment.
    if (const int made = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); made >= 0)
      close(made);
    int code = db_.Open(path_, {});
    std::int64_t format = 0;
    std::string mode;
    // Not held exclusively: a backup copies it beside us. The folder is ours by the log's lock.
    if (code == SQLITE_OK) code = db_.QueryText("PRAGMA journal_mode = WAL", mode);
    if (code == SQLITE_OK) code = db_.Execute("PRAGMA synchronous = FULL");
    if (code == SQLITE_OK) code = db_.QueryInt("PRAGMA user_version", format);
    if (code == SQLITE_OK && sqlite3_db_readonly(db_.raw(), "main") != 0) code = SQLITE_READONLY;
    if (code == SQLITE_OK && format == 0) code = Create();
    if (code != SQLITE_OK) return Failure("open", code);
    if (format > kFormat) {
      return FailedPrecondition(path_ + " has format " + std::to_string(format) +
                                ", this program knows up to " + std::to_string(kFormat) +
                                ": a newer version made it");
    }
    for (const auto& [sql, statement] : Statements()) {
      code = db_.Prepare(sql, *statement);
      if (code != SQLITE_OK) return Failure("prepare", code);
    }
    return InPlace();
  }

  // What is written is where people will look for it.
  Status Write(const std::vector<Entry>& begun, const std::vector<Ending>& ended) override {
    if (Status status = InPlace(); !status.ok()) return status;
    int code = db_.Execute("BEGIN IMMEDIATE");
    for (const Entry& entry : begun) {
      if (code == SQLITE_OK) code = Insert(entry);
    }
    for (const Ending& ending : ended) {
      if (code == SQLITE_OK) code = End(ending);
    }
    if (code == SQLITE_OK) code = db_.Execute("COMMIT");
    return code == SQLITE_OK ? InPlace() : Failure("write", code);
  }

  Result<std::vector<Entry>> Read(const Query& query) override {
    if (Status status = InPlace(); !status.ok()) return status;
    Statement& read = query.gid.empty() ? read_ : read_of_gid_;
    BindId(read, query.before)
        .BindInt(4, query.since_unix_ms)
        .BindInt(5, std::uint64_t{query.max_rows});
    if (!query.gid.empty()) read.BindText(6, query.gid);
    std::vector<Entry> entries;
    int code = SQLITE_ROW;
    while ((code = read.Step()) == SQLITE_ROW) entries.push_back(EntryOf(read));
    read.Reset();
    if (code != SQLITE_DONE) return Failure("read", code);
    return entries;
  }

  Status Retire(std::size_t kept) override {
    const int code = retire_.BindInt(1, std::uint64_t{kept}).Run();
    return code == SQLITE_OK ? OkStatus() : Failure("remove the oldest of", code);
  }

 private:
  std::array<std::pair<const char*, Statement*>, 6> Statements() {
    return {{{kInsertSql, &insert_},
             {kEndSql, &end_},
             {kRemoveSql, &remove_},
             {kRetireSql, &retire_},
             {kReadSql, &read_},
             {kReadOfGidSql, &read_of_gid_}}};
  }

  int Create() {
    int code = db_.Execute("BEGIN IMMEDIATE");
    if (code == SQLITE_OK) code = db_.Execute(kCreateSql);
    return code == SQLITE_OK ? db_.Execute("COMMIT") : code;
  }

  static Statement& BindId(Statement& statement, const EntryId& id) {
    return statement.BindInt(1, id.at_unix_ms)
        .BindInt(2, Signed(id.epoch))
        .BindInt(3, Signed(id.number));
  }

  int Insert(const Entry& entry) {
    const Deed& deed = entry.deed;
    return BindId(insert_, entry.id)
        .BindText(4, entry.node)
        .BindText(5, deed.verb)
        .BindText(6, deed.gid)
        .BindText(7, deed.branch_id)
        .BindText(8, deed.detail)
        .BindText(9, deed.who)
        .BindText(10, deed.reason)
        .BindText(11, deed.address)
        .Run();
  }

  int End(const Ending& ending) {
    if (ending.elsewhere) return BindId(remove_, ending.id).Run();
    return BindId(end_, ending.id)
        .BindText(4, ending.before)
        .BindInt(5, std::int64_t{static_cast<std::uint8_t>(ending.code)})
        .BindText(6, ending.said)
        .Run();
  }

  static Entry EntryOf(const Statement& row) {
    const auto text = [&row](int column) { return std::string(row.Bytes(column)); };
    return {.id = {row.Int(0), row.Unsigned(1), row.Unsigned(2)},
            .node = text(3),
            .deed = {text(4), text(5), text(6), text(7), text(8), text(9), text(10)},
            .ended = row.Type(12) != SQLITE_NULL,
            .before = text(11),
            .code = static_cast<Code>(row.Int(12)),
            .said = text(13)};
  }

  Status InPlace() {
    Status status = log::CheckInPlace(path_, file_);
    return status.ok() ? log::CheckInPlace(path_ + "-wal", wal_) : status;
  }

  Status Failure(const char* what, int code) const {
    return Unavailable(std::string(what) + " " + path_ + ": " + db_.ErrorText(code) + Hint(code));
  }
  static const char* Hint(int code) {
    switch (code & 0xFF) {
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB: return "; move the file away, and a new one is made";
      case SQLITE_READONLY:
      case SQLITE_CANTOPEN:
      case SQLITE_PERM:
        return "; the user that assentd runs as has to be able to write it, its -wal and -shm, and "
               "its folder";
      default: return "";
    }
  }

  const std::string path_;
  log::Place file_, wal_;
  SqliteConnection db_;
  Statement insert_, end_, remove_, retire_, read_, read_of_gid_;
};

}  // namespace

OpenStore InSqlite(const std::string& path) {
  return [path]() -> Result<std::unique_ptr<Store>> {
    auto store = std::make_unique<SqliteStore>(path);
    if (const Status opened = store->Open(); !opened.ok()) return opened;
    return std::unique_ptr<Store>(std::move(store));
  };
}

}  // namespace assent::audit
