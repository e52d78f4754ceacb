#include <array>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

#include "coordinator/audit/sqlite_rows.h"
#include "coordinator/audit/store.h"
#include "coordinator/log/sqlite/in_place.h"
#include "coordinator/log/sqlite/sqlite_connection.h"

namespace assent::audit {
namespace {

using log::SqliteConnection;
using log::Statement;

constexpr const char* kHeadSql =
    "SELECT number, hash FROM audit_rows WHERE chain = ? ORDER BY number DESC LIMIT 1";
constexpr const char* kIsThereSql =
    "SELECT 1 FROM audit_rows"
    " WHERE about_ms = ? AND about_epoch = ? AND about_number = ? AND kind = ?";
constexpr const char* kRetireSql = "DELETE FROM audit_rows WHERE chain = ? AND number <= ?";
constexpr const char* kHashSql = "SELECT hash FROM audit_rows WHERE chain = ? AND number = ?";
constexpr const char* kTrySql = "REPLACE INTO audit_tried VALUES (1, ?)";
constexpr const char* kChainsSql =
    "SELECT chain, MIN(number), MAX(number) FROM audit_rows WHERE chain > ? GROUP BY chain"
    " ORDER BY chain LIMIT ?";
constexpr const char* kWalkSql = " WHERE chain = ? AND number > ? ORDER BY number LIMIT ?";

std::string UriPath(const std::string& path) {
  std::string uri;
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += '%' + Hex(std::string(1, c));
    } else {
      uri += c;
    }
  }
  return uri;
}

// A deed with what came of it.
std::string EntriesSql(const Query& query) {
  return "SELECT a.about_ms, a.about_epoch, a.about_number, a.kind, a.node, a.verb, a.gid,"
         " a.branch, a.detail, a.who, a.claims, a.reason, a.address, COALESCE(e.was, a.was),"
         " COALESCE(e.code, a.code), COALESCE(e.said, a.said), a.times"
         " FROM audit_rows a LEFT JOIN audit_rows e ON e.about_ms = a.about_ms"
         " AND e.about_epoch = a.about_epoch AND e.about_number = a.about_number"
         " AND e.kind = 'ending' AND a.kind = 'deed'"
         " WHERE a.kind IN (" +
         KindsSql(query.kinds) +
         ") AND (a.about_ms, a.about_epoch, a.about_number) < (?1, ?2, ?3) AND a.about_ms >= ?4" +
         (query.gid.empty() ? "" : " AND a.gid = ?6") +
         " ORDER BY a.about_ms DESC, a.about_epoch DESC, a.about_number DESC LIMIT ?5";
}

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
    if (code == SQLITE_OK && format < kSqliteFormat) code = Create(format);
    if (code != SQLITE_OK) return Failure("open", code);
    if (format > kSqliteFormat) {
      return FailedPrecondition(path_ + " has format " + std::to_string(format) +
                                ", this program knows up to " + std::to_string(kSqliteFormat) +
                                ": a newer version made it");
    }
    for (const auto& [sql, statement] : Statements()) {
      code = db_.Prepare(sql, *statement);
      if (code != SQLITE_OK) return Failure("prepare", code);
    }
    return InPlace();
  }

  // What is written is where people will look for it.
  Status Append(std::vector<Row>& rows) override {
    if (Status status = InPlace(); !status.ok()) return status;
    int code = db_.Execute("BEGIN IMMEDIATE");
    for (Row& row : rows) {
      if (code == SQLITE_OK) code = AppendOne(row);
    }
    if (code == SQLITE_OK) code = db_.Execute("COMMIT");
    heads_.clear();
    return code == SQLITE_OK ? InPlace() : Failure("write", code);
  }

  Result<std::vector<Entry>> Read(const Query& query) override {
    if (Status status = InPlace(); !status.ok()) return status;
    Statement read;
    int code = db_.Prepare(EntriesSql(query).c_str(), read);
    if (code != SQLITE_OK) return Failure("read", code);
    read.BindInt(1, query.before.at_unix_ms)
        .BindInt(2, Signed(query.before.epoch))
        .BindInt(3, Signed(query.before.number))
        .BindInt(4, query.since_unix_ms)
        .BindInt(5, std::uint64_t{query.max_rows});
    if (!query.gid.empty()) read.BindText(6, query.gid);
    std::vector<Entry> entries;
    while ((code = read.Step()) == SQLITE_ROW) entries.push_back(EntryOf(read));
    if (code != SQLITE_DONE) return Failure("read", code);
    return entries;
  }

  Result<std::vector<Span>> Chains(const std::string& after, std::size_t max) override {
    if (Status status = InPlace(); !status.ok()) return status;
    std::vector<Span> spans;
    chains_.BindText(1, after).BindInt(2, std::uint64_t{max});
    int code = SQLITE_ROW;
    while ((code = chains_.Step()) == SQLITE_ROW) {
      spans.push_back({.chain = std::string(chains_.Bytes(0)),
                       .first = chains_.Unsigned(1),
                       .last = chains_.Unsigned(2)});
    }
    chains_.Reset();
    if (code != SQLITE_DONE) return Failure("read", code);
    for (Span& span : spans) {
      const int found = HashAt(span.chain, span.last, span.last_hash);
      if (found != SQLITE_OK) return Failure("read", found);
    }
    return spans;
  }

  Result<std::vector<Row>> Rows(const std::string& chain, std::uint64_t after,
                                std::size_t max) override {
    if (Status status = InPlace(); !status.ok()) return status;
    std::vector<Row> rows;
    walk_.BindText(1, chain).BindInt(2, Signed(after)).BindInt(3, std::uint64_t{max});
    int code = SQLITE_ROW;
    Status read = OkStatus();
    while (read.ok() && (code = walk_.Step()) == SQLITE_ROW) {
      auto row = RowOf(walk_);
      read = row.status();
      if (read.ok()) rows.push_back(*std::move(row));
    }
    walk_.Reset();
    if (!read.ok()) return read;
    if (code != SQLITE_DONE) return Failure("read", code);
    return rows;
  }

  Status Retire(std::string_view kind, std::size_t kept, std::int64_t now_unix_ms) override {
    const std::string chain(kind);
    Head head;
    int code = db_.Execute("BEGIN IMMEDIATE");
    if (code == SQLITE_OK) code = ReadHead(chain, head);
    const bool more = code == SQLITE_OK && head.number > kept;
    Row row{.chain = chain, .kind = Kind::kRetired, .at_unix_ms = now_unix_ms};
    if (more) {
      row.deed = {.verb = std::string(NameOf(Kind::kRetired)), .detail = chain};
      row.times = head.number - kept;
      std::string hash;
      code = HashAt(chain, row.times, hash);
      row.said = Hex(hash);
      row.about = {now_unix_ms, 0, OwnNumber(kind, head.number + 1)};
    }
    // The rest was retired before.
    const bool gone = code == SQLITE_EMPTY;
    if (gone) code = SQLITE_OK;
    if (more && !gone && code == SQLITE_OK) code = AppendOne(row);
    if (more && !gone && code == SQLITE_OK)
      code = retire_.BindText(1, chain).BindInt(2, Signed(row.times)).Run();
    if (code == SQLITE_OK) code = db_.Execute("COMMIT");
    heads_.clear();
    return code == SQLITE_OK ? OkStatus() : Failure("remove the oldest of", code);
  }

  Status TryToWrite() override {
    if (Status status = InPlace(); !status.ok()) return status;
    const int code = try_.BindInt(1, ++tries_).Run();
    return code == SQLITE_OK ? OkStatus() : Failure("write", code);
  }

 private:
  std::array<std::pair<const char*, Statement*>, 8> Statements() {
    return {{{kInsertRowSql, &insert_},
             {kHeadSql, &head_},
             {kIsThereSql, &is_there_},
             {kRetireSql, &retire_},
             {kHashSql, &hash_},
             {kTrySql, &try_},
             {kChainsSql, &chains_},
             {walk_sql_.c_str(), &walk_}}};
  }

  int Create(std::int64_t format) {
    int code = db_.Execute("BEGIN IMMEDIATE");
    if (code == SQLITE_OK) code = db_.Execute(kCreateSqliteSql);
    if (code == SQLITE_OK && format == 1) code = TakeOverFormat1(db_);
    if (code == SQLITE_OK)
      code = db_.Execute("PRAGMA user_version = " + std::to_string(kSqliteFormat));
    return code == SQLITE_OK ? db_.Execute("COMMIT") : code;
  }

  // Within a transaction, which keeps what it has read.
  int AppendOne(Row& row) {
    const std::string chain = row.chain;
    int code = is_there_.BindInt(1, row.about.at_unix_ms)
                   .BindInt(2, Signed(row.about.epoch))
                   .BindInt(3, Signed(row.about.number))
                   .BindText(4, NameOf(row.kind))
                   .Step();
    is_there_.Reset();
    if (code == SQLITE_ROW) return SQLITE_OK;
    if (code != SQLITE_DONE) return code;
    auto head = heads_.find(chain);
    if (head == heads_.end()) {
      head = heads_.emplace(chain, Head()).first;
      if (code = ReadHead(chain, head->second); code != SQLITE_OK) return code;
    }
    Seal(chain, row, head->second);
    return BindRow(insert_, row).Run();
  }

  int ReadHead(const std::string& chain, Head& head) {
    const int code = head_.BindText(1, chain).Step();
    if (code == SQLITE_ROW) head = {head_.Unsigned(0), std::string(head_.Bytes(1))};
    head_.Reset();
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
  }

  // SQLITE_EMPTY: there is no such row.
  int HashAt(const std::string& chain, std::uint64_t number, std::string& hash) {
    const int code = hash_.BindText(1, chain).BindInt(2, Signed(number)).Step();
    if (code == SQLITE_ROW) hash = std::string(hash_.Bytes(0));
    hash_.Reset();
    if (code == SQLITE_ROW) return SQLITE_OK;
    return code == SQLITE_DONE ? SQLITE_EMPTY : code;
  }

  static Entry EntryOf(const Statement& row) {
    const auto text = [&row](int column) { return std::string(row.Bytes(column)); };
    return {.id = {row.Int(0), row.Unsigned(1), row.Unsigned(2)},
            .kind = KindOf(row.Bytes(3)).value_or(Kind::kOld),
            .node = text(4),
            .deed = {text(5), text(6), text(7), text(8), text(9), text(10), text(11), text(12)},
            .ended = row.Type(14) != SQLITE_NULL,
            .before = text(13),
            .code = static_cast<Code>(row.Int(14)),
            .said = text(15),
            .times = row.Unsigned(16)};
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
  const std::string walk_sql_ = std::string(kSelectRowSql) + kWalkSql;
  Statement insert_, head_, is_there_, retire_, hash_, try_, chains_, walk_;
  std::map<std::string, Head> heads_;  // while a transaction is open
  std::int64_t tries_ = 0;
};

}  // namespace

OpenStore InSqlite(const std::string& path) {
  return [path]() -> Result<std::unique_ptr<Store>> {
    auto store = std::make_unique<SqliteStore>(path);
    if (const Status opened = store->Open(); !opened.ok()) return opened;
    return std::unique_ptr<Store>(std::move(store));
  };
}

namespace {

// A file whose last user has stopped is whole by itself. Of one that is in use the latest is beside
// it, and so is its index; of one whose user has died the index is made in memory, as nothing is to
// be written.
int OpenToLook(SqliteConnection& db, const std::string& path, std::int64_t& format) {
  std::error_code error;
  const auto wal_bytes = std::filesystem::file_size(path + "-wal", error);
  int code = SQLITE_ERROR;
  if (error || wal_bytes == 0) {
    code = db.OpenUnchanging("file:" + UriPath(path) + "?immutable=1");
  } else {
    std::string mode;
    code = db.Open(path, {});
    if (code == SQLITE_OK) code = db.QueryText("PRAGMA locking_mode = EXCLUSIVE", mode);
    if (code == SQLITE_OK) code = db.QueryInt("PRAGMA user_version", format);
    if (code == SQLITE_OK) return code;
    db.Close();
    code = db.OpenUnchanging("file:" + UriPath(path) + "?mode=ro");
  }
  return code == SQLITE_OK ? db.QueryInt("PRAGMA user_version", format) : code;
}

}  // namespace

Status WalkSqlite(const std::string& path, const std::function<void(const Row&)>& each) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return NotFound(path + ": is not there");
  SqliteConnection db;
  std::int64_t format = 0;
  int code = OpenToLook(db, path, format);
  if (code == SQLITE_OK && format != kSqliteFormat) {
    return FailedPrecondition(path + ": has format " + std::to_string(format) +
                              ", and no chain that this program can check: assentd of this version "
                              "makes it one when it starts");
  }
  Statement walk;
  const std::string sql = std::string(kSelectRowSql) + " ORDER BY chain, number";
  if (code == SQLITE_OK) code = db.Prepare(sql.c_str(), walk);
  while (code == SQLITE_OK) {
    const int step = walk.Step();
    if (step == SQLITE_DONE) return OkStatus();
    if (step != SQLITE_ROW) {
      code = step;
      break;
    }
    const auto row = RowOf(walk);
    if (!row.ok()) return DataLoss(path + ": " + row.status().message());
    each(*row);
  }
  return DataLoss(path + ": cannot be read: " + db.ErrorText(code));
}

}  // namespace assent::audit
