#pragma once

// One SQLite connection of the adapter: opened with the settings that durability rests on (set and
// read back), statements kept, an authorizer that keeps handlers out of what is the adapter's, and
// the preupdate hook that tells which rows an operation touches. Belongs to one thread at a time.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <assent/status.h>

#include "participant-sdk/cpp/sqlite/native.h"
#include "participant-sdk/cpp/sqlite/value.h"

namespace assent::sqlite::internal {

// Who is compiling statements.
enum class Mode : std::uint8_t {
  kInternal,  // the adapter: anything
  kBranch,    // a branch's handler: rows, not the schema
  kLocal,     // setup and Store::Local: rows and the schema
};

// One row written, as the preupdate hook or a changeset tells it. A column without a value is one
// that an UPDATE left alone (changesets only).
struct RowChange {
  enum class Kind : std::uint8_t { kInsert, kUpdate, kDelete };
  Kind kind = Kind::kInsert;
  std::string table;
  std::vector<std::optional<Value>> before;  // empty for an INSERT
  std::vector<std::optional<Value>> after;   // empty for a DELETE
};

class Connection {
 public:
  struct Settings {
    std::string path;
    bool writable = true;
    bool foreign_keys = true;
    int busy_timeout_ms = 5000;
  };
  static Result<std::unique_ptr<Connection>> Open(const Settings& settings);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sqlite3* handle() { return db_; }
  // No local transaction is open: before BEGIN, after COMMIT, or because SQLite rolled it back by
  // itself.
  bool idle() const { return sqlite3_get_autocommit(db_) != 0; }

  // Runs statements without rows and parameters, as the adapter. RunOne keeps the statement for the
  // next time.
  Status Run(const char* sql);
  Status RunOne(const char* sql);

  // A prepared statement, from the cache if it is there and free. Null on failure: see `status`.
  sqlite3_stmt* Acquire(std::string_view sql, Status& status);
  // Resets it and keeps it for the next time.
  void Release(sqlite3_stmt* statement);
  // What the last failing call on this connection means.
  Status LastError(int code);

  // Changes who is compiling until the guard goes.
  class ModeGuard {
   public:
    ModeGuard(Connection& connection, Mode mode)
        : connection_(connection), before_(connection.mode_) {
      connection_.mode_ = mode;
    }
    ~ModeGuard() { connection_.mode_ = before_; }
    ModeGuard(const ModeGuard&) = delete;
    ModeGuard& operator=(const ModeGuard&) = delete;

   private:
    Connection& connection_;
    Mode before_;
  };

  // Collects the rows written from now on; at most `limit`, then `overflow` is set. A session may
  // take the hook's place for a while: YieldHook before it is created, InstallHook after it is
  // deleted. There is always one of the two, or SQLite would compile DELETE without WHERE into a
  // truncation that neither would see.
  struct Touched {
    std::vector<RowChange> rows;
    std::size_t limit = 0;
    bool overflow = false;
  };
  void StartWatching(Touched* touched) { touched_ = touched; }
  void StopWatching() { touched_ = nullptr; }
  void InstallHook();
  void YieldHook();

  // Foreign keys and triggers off (raw) or as they were. Works inside a transaction, unlike the
  // pragma; makes SQLite compile every statement anew, so it is only called when there is something
  // to switch off.
  void SetRaw(bool raw);

  // Resets whatever a handler left running.
  void ResetStray();

 private:
  Connection() = default;
  Status Configure(const Settings& settings);
  void Keep(std::string_view sql, sqlite3_stmt* statement);
  static int Authorize(void* self, int action, const char* first, const char* second,
                       const char* database, const char* inner);
  static void BeforeUpdate(void* self, sqlite3* db, int op, const char* database, const char* table,
                           sqlite3_int64 old_id, sqlite3_int64 new_id);
  bool Deny(std::string what);

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  sqlite3* db_ = nullptr;
  Mode mode_ = Mode::kInternal;
  bool foreign_keys_ = true;
  bool raw_ = false;
  std::string denied_;  // what the authorizer said no to, for the message
  Touched* touched_ = nullptr;
  struct Cached {
    sqlite3_stmt* statement;
    bool busy;
  };
  using Cache = std::unordered_map<std::string, Cached, Hash, std::equal_to<>>;
  Cache& cache() { return caches_[static_cast<std::size_t>(mode_)]; }
  // One for each mode: what the authorizer allowed in one, it has not allowed in another.
  std::array<Cache, 3> caches_;
  std::unordered_map<sqlite3_stmt*, Cached*> slot_of_;
};

// One use of one statement of the adapter's own. Failures stay in status(); a failed statement has
// no rows.
class Statement {
 public:
  template <typename... Args>
  Statement(Connection& connection, std::string_view sql, const Args&... args)
      : connection_(connection) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    Begin(sql, list + 1, static_cast<int>(sizeof...(args)));
  }
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void Bind(int index, const Value& value);
  // To the next row. False at the end and on failure.
  bool Step();
  // Runs it to its end.
  Status Finish() {
    while (Step()) {
    }
    return status_;
  }
  const Status& status() const { return status_; }

  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::int64_t Int(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const;
  Value At(int column) const { return ValueOf(sqlite3_column_value(statement_, column)); }
  int columns() const { return sqlite3_column_count(statement_); }

 private:
  void Begin(std::string_view sql, const Arg* args, int count);
  Connection& connection_;
  Connection::ModeGuard as_adapter_{connection_, Mode::kInternal};
  sqlite3_stmt* statement_ = nullptr;
  Status status_;
};

}  // namespace assent::sqlite::internal
