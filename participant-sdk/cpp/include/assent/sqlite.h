#pragma once

// Branches in a SQLite database of the service's own: the barrier for TCC and Saga, and real
// two-phase commit.
//
//   auto store = assent::sqlite::Store::Open({.path = "inventory.db", .setup = [](Db& db) {
//     db.Exec("CREATE TABLE IF NOT EXISTS stock(sku TEXT PRIMARY KEY, available INT, reserved
//     INT)"); }});
//   (*store)->Tcc("reserve", {.try_ = ..., .confirm = ..., .cancel = ...});
//   participant.Attach(**store);
//
// A handler gets a Db, which is inside a local transaction of the adapter's, and the Call. It
// writes the business rows and answers; what it wrote, and the barrier row that makes it happen
// once, become durable together before the answer leaves. What a handler must know:
//
//   - Reply::Done keeps what it wrote. Reply::Refused is final and undoes it. Reply::RetryLater, or
//     an exception, undoes it and leaves no trace: it will be asked again.
//   - A statement that fails makes the Db remember (Db::status): later statements do nothing, and
//     Done becomes Refused (a constraint said no) or RetryLater (anything else). A handler need not
//     look at each statement.
//   - It must not COMMIT, ROLLBACK, ATTACH or set a PRAGMA: such statements fail. Savepoints of its
//     own are fine.
//   - It runs on the store's one executor thread: keep it short, and never call Store::Local from
//     it.
//
// docs/sdk-sqlite.md is the guide; participant-sdk/cpp/sqlite/DESIGN.md says why it is right.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>

struct sqlite3;
struct sqlite3_stmt;

namespace assent::sqlite {

// Limits of the adapter, with their units. A transaction that needs more is refused with the
// limit's name.
namespace limits {
// Of one prepared branch or automatic Saga step.
inline constexpr std::size_t kMaxChangesetBytes = 16 * 1024 * 1024;
inline constexpr std::size_t kMaxClaimsPerBranchCount =
    100'000;                                          // rows and keys one prepared branch may claim
inline constexpr std::size_t kMaxQueuedCount = 8192;  // operations waiting for the executor
inline constexpr std::size_t kMaxGroupCount = 256;    // operations that share one COMMIT
// Prepared statements kept per connection.
inline constexpr std::size_t kMaxCachedStatementsCount = 256;
}  // namespace limits

// Bytes that are stored as a BLOB, where a plain string would be stored as TEXT.
struct Blob {
  std::string_view bytes;
};

// One parameter of a statement. Borrows text and blobs: they must live until the call returns.
class Arg {
 public:
  enum class Type : std::uint8_t { kNull, kInteger, kReal, kText, kBlob };
  Arg(std::nullptr_t) {}                                                // NOLINT: implicit
  Arg(double value) : type_(Type::kReal), real_(value) {}               // NOLINT
  Arg(std::string_view value) : type_(Type::kText), bytes_(value) {}    // NOLINT
  Arg(const std::string& value) : type_(Type::kText), bytes_(value) {}  // NOLINT
  Arg(const char* value) : type_(Type::kText), bytes_(value) {}         // NOLINT
  Arg(Blob value) : type_(Type::kBlob), bytes_(value.bytes) {}          // NOLINT
  template <std::integral T>
  Arg(T value) : type_(Type::kInteger), integer_(static_cast<std::int64_t>(value)) {}  // NOLINT
  template <typename T>
  Arg(const std::optional<T>& value) : Arg(value ? Arg(*value) : Arg(nullptr)) {}  // NOLINT

  Type type() const { return type_; }
  std::int64_t integer() const { return integer_; }
  double real() const { return real_; }
  std::string_view bytes() const { return bytes_; }

 private:
  Type type_ = Type::kNull;
  std::int64_t integer_ = 0;
  double real_ = 0;
  std::string_view bytes_;
};

// The current row of a query. Columns count from 0; a NULL reads as 0 or as empty text. Views die
// with the row.
class Row {
 public:
  int columns() const;
  bool IsNull(int column) const;
  std::int64_t Int(int column) const;
  double Real(int column) const;
  std::string_view Text(int column) const;  // also the bytes of a BLOB
  // As bool, an integer, double, std::string, or std::optional of one of them (empty for NULL).
  template <typename T>
  T Get(int column) const;

 private:
  friend class Rows;
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* statement_;
};

class Db;

// The rows of a query, read one by one: `for (const Row& row : db.Query(...))`. Ends early when a
// step fails; Db::status tells. Must not outlive the handler.
class Rows {
 public:
  struct End {};
  class Iterator {
   public:
    const Row& operator*() const { return rows_->row_; }
    const Row* operator->() const { return &rows_->row_; }
    Iterator& operator++() {
      rows_->Next();
      return *this;
    }
    bool operator!=(End) const { return rows_->has_row_; }

   private:
    friend class Rows;
    explicit Iterator(Rows* rows) : rows_(rows) {}
    Rows* rows_;
  };

  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&&) = delete;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows();

  // Moves to the next row (at first: to the first). False when there is none.
  bool Next();
  const Row& row() const { return row_; }
  Iterator begin() {
    Next();
    return Iterator(this);
  }
  End end() const { return {}; }

 private:
  friend class Db;
  Rows(Db* db, sqlite3_stmt* statement);
  Db* db_;
  sqlite3_stmt* statement_;  // null: the statement could not be prepared or bound
  Row row_;
  bool has_row_ = false;
};

// A thin, typed view of one connection. Statements are prepared once and kept; parameters are ?1,
// ?2, … or ?. Belongs to the store and to the thread that was handed it; never keep one beyond the
// handler.
//
// The first statement that fails is remembered: from then on every statement does nothing (Exec
// returns 0, Query no rows), and Done becomes a refusal or a "retry later". So code may be written
// as if nothing failed.
class Db {
 public:
  struct Impl;

  // Runs one statement; the number of rows it changed (0 for anything but INSERT, UPDATE and
  // DELETE, and after a failure).
  template <typename... Args>
  std::int64_t Exec(std::string_view sql, const Args&... args) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    return ExecArgs(sql, list + 1, sizeof...(args));
  }
  // As Exec, but a failure is only returned, for code that has another idea: a constraint that said
  // no (kFailedPrecondition), anything else (kUnavailable, kInternal). One that has rolled the
  // local transaction back (INSERT OR ROLLBACK, a full disk) ends the handler's work all the same.
  template <typename... Args>
  Result<std::int64_t> TryExec(std::string_view sql, const Args&... args) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    return TryExecArgs(sql, list + 1, sizeof...(args));
  }
  // Runs several statements separated by semicolons, without parameters.
  void ExecScript(std::string_view sql);

  template <typename... Args>
  Rows Query(std::string_view sql, const Args&... args) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    return QueryArgs(sql, list + 1, sizeof...(args));
  }
  // The first column of the first row; empty when there is no row or it is NULL.
  template <typename T, typename... Args>
  std::optional<T> Get(std::string_view sql, const Args&... args) {
    Rows rows = Query(sql, args...);
    if (!rows.Next() || rows.row().IsNull(0)) return std::nullopt;
    return rows.row().Get<T>(0);
  }
  // The first columns of the first row: `auto row = db.GetRow<std::string, int>("SELECT name, age
  // …")`.
  template <typename... T, typename... Args>
  std::optional<std::tuple<T...>> GetRow(std::string_view sql, const Args&... args) {
    Rows rows = Query(sql, args...);
    if (!rows.Next()) return std::nullopt;
    return [&]<int... I>(std::integer_sequence<int, I...>) {
      return std::tuple<T...>(rows.row().Get<T>(I)...);
    }
    (std::make_integer_sequence<int, static_cast<int>(sizeof...(T))>());
  }

  // Claims a row that the handler only reads, as SELECT … FOR UPDATE would: no other prepared
  // branch may write or claim it until this one ends. `key` are the primary key's columns in order.
  // For two-phase handlers, whose decision rests on rows they do not write; elsewhere it stops the
  // operation if a prepared branch claims the row. The row must exist.
  template <typename... Key>
  void Claim(std::string_view table, const Key&... key) {
    const Arg list[] = {Arg(nullptr), Arg(key)...};
    ClaimArgs(table, list + 1, sizeof...(key));
  }

  // Rows changed by the last Exec; the rowid of the last INSERT.
  std::int64_t Changes() const;
  std::int64_t LastInsertRowid() const;
  // OK, or the first failure of this operation.
  const Status& status() const;
  bool ok() const { return status().ok(); }
  // The connection, for what is missing here. Finalize your statements; register no hook,
  // authorizer or session; do not open incremental blobs for writing.
  sqlite3* handle();

  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

 private:
  friend class Rows;
  friend struct Impl;
  explicit Db(Impl* impl) : impl_(impl) {}
  ~Db() = default;
  std::int64_t ExecArgs(std::string_view sql, const Arg* args, std::size_t count);
  Result<std::int64_t> TryExecArgs(std::string_view sql, const Arg* args, std::size_t count);
  Rows QueryArgs(std::string_view sql, const Arg* args, std::size_t count);
  void ClaimArgs(std::string_view table, const Arg* key, std::size_t count);
  Impl* impl_;
};

// Runs inside the adapter's local transaction, on the executor thread.
using DbHandler = std::function<Reply(Db&, const Call&)>;

// Reserve, then consume or release. `confirm` and `cancel` run only if `try_` took effect, at most
// one of them, once. They have no way but forward: what they refuse is not final but asked again,
// and stands in the coordinator as stuck.
struct TccHandlers {
  DbHandler try_ = {};
  DbHandler confirm = {};
  DbHandler cancel = {};
};

// Do, and undo if the transaction aborts. `compensate` runs only if `action` took effect, once; as
// above it has no way but forward.
struct SagaHandlers {
  DbHandler action = {};
  DbHandler compensate = {};
};

struct Options {
  std::string path;  // the service's own database; created when missing. Not ":memory:".

  // Runs once in Open, in one local transaction: create tables here. A failed statement fails Open.
  std::function<void(Db&)> setup = {};

  bool foreign_keys = true;  // PRAGMA foreign_keys of the connection that writes
  std::chrono::milliseconds busy_timeout{5000};  // how long to wait for another process that writes
  // More waiting operations than this are answered "retry later".
  std::size_t max_queued = limits::kMaxQueuedCount;
  std::size_t max_group = limits::kMaxGroupCount;  // operations that share one COMMIT
  std::chrono::milliseconds max_group_time{
      50};  // a group is closed after this even if more is waiting

  // How long an operation waits here for a row that a prepared branch claims, before it is answered
  // "retry later". It holds nothing meanwhile, and others go on.
  std::chrono::milliseconds claim_wait{250};
  // How long one waits for a transaction younger than its own before the coordinator is told, which
  // aborts the younger one if that waits for something itself: two that want each other's rows
  // would wait until a deadline.
  std::chrono::milliseconds claim_grace{10};

  // A prepared branch is asked about when it is older than this (all of them right after Open).
  std::chrono::milliseconds ask_after{5000};
  // A barrier row is kept this long after it was last touched, and then until the coordinator says
  // that nothing about its transaction can still arrive. Counts while the store is open somewhere,
  // by a clock that does not jump.
  std::chrono::milliseconds retain{std::chrono::hours(1)};

  // An I/O error at COMMIT left an unknown outcome: nothing more is executed (calls are answered
  // "retry later" with this reason) until Store::Reopen. Called once per such event, on the
  // executor thread. Default: one line on stderr.
  std::function<void(const Status&)> on_poisoned = {};

  // For tests: the machine's steady clock, in milliseconds, and a call at each named point
  // ("group:began", "group:before-commit", "group:committed", "group:answered"), on the executor
  // thread, where a test may kill the process.
  std::function<std::int64_t()> steady_ms = {};
  std::function<void(std::string_view)> at_point = {};
};

// What lies in the database and what was done since Open. A service at rest has prepared == claims
// == 0.
struct Stats {
  std::int64_t prepared = 0;  // branches prepared and undecided
  // Of these: could not be committed because a row was changed behind the SDK's back.
  std::int64_t hazards = 0;
  std::int64_t claims = 0;        // rows and keys they claim
  std::int64_t barrier_rows = 0;  // branches remembered
  // Tried, and the coordinator says that nobody will ever confirm or cancel: for a person.
  std::int64_t orphans = 0;
  std::uint64_t operations = 0;  // executed since Open
  std::uint64_t groups = 0;      // local transactions they shared
};

// A service's database, as a Resource. Thread-safe but for registration, which comes before Attach.
// One Store is one executor thread and one writing connection; several processes may open one file.
//
// What a reply promises: Done and Refused are durable (WAL, synchronous=FULL) before they leave. A
// duplicate gets the byte-equal first reply. RetryLater: nothing happened. No reply at all (the
// responder is destroyed uncalled): an I/O error hit this operation's COMMIT and the outcome is
// unknown; see Options::on_poisoned.
class Store final : public Resource {
 public:
  // Opens or creates the database and its tables (assent_*). Fails when SQLite was built without
  // sessions, when the file was written by a newer version (kFailedPrecondition), when it is
  // damaged (kDataLoss), or when setup fails.
  static Result<std::unique_ptr<Store>> Open(Options options);
  // Finishes what is queued, answers it, and closes.
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Registration. A mistake (a name taken, empty or too long, a handler missing) is said by
  // Participant::Start, and by Registration(); nothing is executed then.
  void Tcc(std::string action, TccHandlers handlers);
  void Saga(std::string action, SagaHandlers handlers);
  // Only the forward handler: its writes are recorded, taken back and kept aside under row locks,
  // invisible to everybody, until COMMIT applies them or ROLLBACK drops them. Every table it writes
  // needs a declared PRIMARY KEY. It is not serializable: it locks what it writes, not what it
  // reads; see Db::Claim.
  void TwoPhase(std::string action, DbHandler prepare);
  // A Saga step whose compensation is the inverse of what it wrote. For rows that nobody else
  // changes before the transaction ends (an order, a booking), not for counters: a row changed
  // since is a HAZARD, never overwritten.
  void AutoSaga(std::string action, DbHandler handler);

  // The service's own writes, outside any global transaction, in the same executor: durable on
  // return, undone when `write` returns a failure or a statement failed. A write to a row that a
  // prepared branch claims is undone and tried again until `wait` has passed, then kUnavailable,
  // naming the holder. `write` may run more than once, in vain but for the last time. Blocks; from
  // a handler it is kFailedPrecondition.
  [[nodiscard]] Status Local(const std::function<Status(Db&)>& write,
                             std::chrono::milliseconds wait = std::chrono::milliseconds(0));
  // Reads in one snapshot, on the caller's thread and a connection that cannot write. Sees no
  // prepared work.
  [[nodiscard]] Status Read(const std::function<Status(Db&)>& read);

  // OK, or why the store is poisoned.
  Status Health() const;
  // Closes and opens the database again after an I/O error; the answer to what was unknown is then
  // in the file.
  [[nodiscard]] Status Reopen();
  Result<Stats> Inspect();

  // Resource.
  std::vector<OfferedAction> Actions() const override;
  Status Registration() const override;
  void Execute(Call call, Responder respond) override;
  std::vector<HeldBranch> Questions(std::size_t limit) override;
  void Answer(const HeldBranch& branch, Verdict verdict, bool finished) override;

 private:
  class Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

namespace detail {
template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
}  // namespace detail

template <typename T>
T Row::Get(int column) const {
  if constexpr (detail::IsOptional<T>::value) {
    if (IsNull(column)) return std::nullopt;
    return Get<typename T::value_type>(column);
  } else if constexpr (std::same_as<T, bool>) {
    return Int(column) != 0;
  } else if constexpr (std::integral<T>) {
    return static_cast<T>(Int(column));
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(Real(column));
  } else {
    return T(Text(column));
  }
}

}  // namespace assent::sqlite
