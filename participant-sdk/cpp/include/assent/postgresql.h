#pragma once

// Branches in a PostgreSQL database of the service's own: the barrier for TCC and Saga, Saga steps
// that undo themselves, and two-phase commit by PREPARE TRANSACTION.
//
//   auto store = assent::postgresql::Store::Open({.connection = "dbname=inventory",
//       .setup = [](Db& db) { db.Exec("CREATE TABLE IF NOT EXISTS stock(...)"); }});
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
//   - It must not BEGIN, COMMIT, ROLLBACK, PREPARE or SET: such statements fail. Several operations
//     share one local transaction, each in a savepoint; Db::TryExec is a savepoint of its own.
//   - It may run more than once, and in vain but for the last time (a deadlock, a serialisation
//     failure, a lost connection): what it does outside of its Db it does each time.
//   - It runs on one of the store's threads, beside other handlers: keep it short, and never call
//     Store::Local from it.
//
// docs/sdk-postgresql.md is the guide; participant-sdk/cpp/postgresql/DESIGN.md says why it is
// right.

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

namespace assent::postgresql {

// Limits of the adapter.
namespace limits {
// Operations that wait for a connection.
inline constexpr std::size_t kMaxQueuedCount = 8192;
// Savepoints of one local transaction, one for each operation and for each TryExec. PostgreSQL
// keeps 64 in a place that is fast to look at; with more, every session of the server becomes slow.
inline constexpr std::size_t kMaxSavepointsPerGroupCount = 60;
// Connections that execute operations. One is always free of those that wait for locks.
inline constexpr std::size_t kMinConnectionsCount = 2;
inline constexpr std::size_t kMaxConnectionsCount = 64;
// Prepared statements kept per connection. What comes later is parsed each time.
inline constexpr std::size_t kMaxCachedStatementsCount = 256;
// Times that an operation is executed when a deadlock, a serialisation failure or a lost connection
// has undone it; then it is answered "retry later".
inline constexpr int kMaxLocalTriesCount = 5;
// Images of rows that one automatic Saga step writes: two for each row that is updated. Their
// text, and how many times a row is written.
inline constexpr std::size_t kMaxUndoBytes = 16 * 1024 * 1024;
inline constexpr std::size_t kMaxUndoRowsCount = 10'000;
}  // namespace limits

// Bytes that are given as bytea, where a plain string would be given as text.
struct Blob {
  std::string_view bytes;
};

// One parameter of a statement. Borrows text and blobs: they must live until the call returns. The
// server takes it for what the statement says: text that looks like a date is one where a date
// stands.
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

namespace internal {
class Table;
}

// The current row of a query. Columns count from 0; a NULL reads as 0 or as empty text. Views die
// with the Rows.
class Row {
 public:
  int columns() const;
  bool IsNull(int column) const;
  std::int64_t Int(int column) const;
  double Real(int column) const;
  std::string_view Text(int column) const;  // also the bytes of a bytea
  // As bool, an integer, double, std::string, or std::optional of one of them (empty for NULL).
  template <typename T>
  T Get(int column) const;

 private:
  friend class Rows;
  Row(const internal::Table* table, int number) : table_(table), number_(number) {}
  const internal::Table* table_;
  int number_;
};

// The rows of a query, which are all here: `for (const Row& row : db.Query(...))`. Empty when the
// statement failed; Db::status tells.
class Rows {
 public:
  struct End {};
  class Iterator {
   public:
    const Row& operator*() const { return rows_->row_; }
    const Row* operator->() const { return &rows_->row_; }
    Iterator& operator++() {
      has_row_ = rows_->Next();
      return *this;
    }
    bool operator!=(End) const { return has_row_; }

   private:
    friend class Rows;
    explicit Iterator(Rows* rows) : rows_(rows), has_row_(rows->Next()) {}
    Rows* rows_;
    bool has_row_;
  };

  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&&) = delete;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows();

  // Moves to the next row (at first: to the first). False when there is none.
  bool Next();
  const Row& row() const { return row_; }
  Iterator begin() { return Iterator(this); }
  End end() const { return {}; }

 private:
  friend class Db;
  explicit Rows(std::unique_ptr<internal::Table> table);
  std::unique_ptr<internal::Table> table_;  // null: the statement failed
  Row row_;
};

// A thin, typed view of one connection. Statements are prepared once and kept; parameters are $1,
// $2, … Belongs to the store and to the thread that was handed it; never keep one beyond the
// handler.
//
// The first statement that fails is remembered: from then on every statement does nothing (Exec
// returns 0, Query no rows), and Done becomes a refusal or a "retry later". So code may be written
// as if nothing failed.
class Db {
 public:
  struct Impl;

  // Runs one statement; the number of rows it changed (0 for anything but INSERT, UPDATE, DELETE
  // and MERGE, and after a failure).
  template <typename... Args>
  std::int64_t Exec(std::string_view sql, const Args&... args) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    return ExecArgs(sql, list + 1, sizeof...(args));
  }
  // As Exec, but within a savepoint of its own, and a failure is only returned, for code that has
  // another idea: a constraint that said no (kFailedPrecondition), anything else (kUnavailable,
  // kInternal).
  template <typename... Args>
  Result<std::int64_t> TryExec(std::string_view sql, const Args&... args) {
    const Arg list[] = {Arg(nullptr), Arg(args)...};
    return TryExecArgs(sql, list + 1, sizeof...(args));
  }
  // Runs several statements separated by semicolons, without parameters. In Options::setup only:
  // elsewhere it fails.
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

  // Rows changed by the last Exec.
  std::int64_t Changes() const;
  // OK, or the first failure of this operation.
  const Status& status() const;
  bool ok() const { return status().ok(); }

  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

 private:
  friend struct Impl;
  explicit Db(Impl* impl) : impl_(impl) {}
  ~Db() = default;
  std::int64_t ExecArgs(std::string_view sql, const Arg* args, std::size_t count);
  Result<std::int64_t> TryExecArgs(std::string_view sql, const Arg* args, std::size_t count);
  Rows QueryArgs(std::string_view sql, const Arg* args, std::size_t count);
  Impl* impl_;
};

// Runs inside the adapter's local transaction, on one of the store's threads.
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

// Of handlers' local transactions.
enum class Isolation : std::uint8_t { kReadCommitted, kRepeatableRead, kSerializable };

struct Options {
  // The service's own database: postgresql://… or libpq's "name=value …". What it leaves out comes
  // by libpq's usual ways (PGPASSFILE, a service file, PGSSLMODE …).
  std::string connection;
  // Connections that execute operations, with a thread each. Three more ask questions, read and
  // watch.
  std::size_t connections = 4;

  // Runs once in Open, in one local transaction: create tables here. A failed statement fails Open.
  std::function<void(Db&)> setup = {};

  // Tables that automatic Saga steps write, as SQL names them. Open gives each a trigger
  // (assent_undo) that does nothing but while such a step runs. None is taken away again.
  std::vector<std::string> undo_tables = {};

  Isolation isolation = Isolation::kReadCommitted;
  // More waiting operations than this are answered "retry later".
  std::size_t max_queued = limits::kMaxQueuedCount;
  std::size_t max_group = limits::kMaxSavepointsPerGroupCount;  // operations that share one COMMIT
  // A group is closed after this even if more is waiting.
  std::chrono::milliseconds max_group_time{50};

  // How long an operation that shares its local transaction waits for a lock. Then it is undone,
  // the group closed, and it runs again alone.
  std::chrono::milliseconds group_lock_wait{20};
  // How long an operation waits for a lock in a local transaction of its own, before it is answered
  // "retry later".
  std::chrono::milliseconds lock_timeout{2000};
  // How long one waits for prepared work before the store looks whose it is. If that transaction is
  // younger, the coordinator is told and may abort it: two that want each other's rows would wait
  // until a deadline.
  std::chrono::milliseconds claim_grace{25};
  std::chrono::milliseconds statement_timeout{10'000};  // of the server, for one statement
  // A server that is silent for longer counts as gone.
  std::chrono::milliseconds answer_within{30'000};
  std::chrono::seconds connect_timeout{5};  // for each host

  // A prepared branch is asked about when it is older than this (all of them right after Open).
  std::chrono::milliseconds ask_after{5000};
  // A barrier row is kept this long after it was last touched, by the server's clock, and then
  // until the coordinator says that nothing about its transaction can still arrive.
  std::chrono::milliseconds retain{std::chrono::hours(1)};

  // For tests: the time, in milliseconds, instead of the server's; and a call at each named point
  // ("group:began", "group:before-commit", "group:committed", "prepare:before", "prepare:prepared",
  // "settle:before", "settle:settled"), on the thread that works.
  std::function<std::int64_t()> now_ms = {};
  std::function<void(std::string_view)> at_point = {};
};

// What lies in the database and what was done since Open. A service at rest has prepared == 0.
struct Stats {
  std::int64_t prepared = 0;      // branches prepared and undecided
  std::int64_t barrier_rows = 0;  // branches remembered
  // Tried, and the coordinator says that nobody will ever confirm or cancel: for a person.
  std::int64_t orphans = 0;
  std::uint64_t operations = 0;  // committed since Open
  std::uint64_t groups = 0;      // local transactions they shared
  std::uint64_t undone = 0;      // operations that ran in vain and ran again
  std::uint64_t unknown = 0;     // operations whose COMMIT had no answer
};

// A service's database, as a Resource. Thread-safe but for registration, which comes before Attach.
// Several processes may use one database.
//
// What a reply promises: Done and Refused are durable before they leave. A duplicate gets the
// byte-equal first reply. RetryLater: nothing happened. No reply at all (the responder is destroyed
// uncalled): the connection was lost in this operation's COMMIT, and the outcome is unknown; the
// next time it is asked the answer is found in the database.
class Store final : public Resource {
 public:
  // Connects, and creates its tables (assent_barrier, assent_marker, assent_age; with
  // Options::undo_tables also assent_undo and its triggers) where they are missing. Fails when
  // nobody answers (kUnavailable), when the server does not let us in (kPermissionDenied), when it
  // is too old, a standby or not durable, or a pooler stands between, or when Options::undo_tables
  // names what is no table (kFailedPrecondition), or when setup fails. No password is ever in a
  // message.
  static Result<std::unique_ptr<Store>> Open(Options options);
  // Finishes what is queued, answers it, and closes.
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Registration. A mistake (a name taken, empty or too long, a handler missing, two-phase where
  // the server has max_prepared_transactions = 0, AutoSaga without Options::undo_tables) is said by
  // Participant::Start, and by Registration(); nothing is executed then.
  void Tcc(std::string action, TccHandlers handlers);
  void Saga(std::string action, SagaHandlers handlers);
  // Only the forward handler: PREPARE TRANSACTION keeps what it wrote, and its locks, invisible to
  // everybody, until COMMIT or ROLLBACK. No temporary tables, no NOTIFY.
  void TwoPhase(std::string action, DbHandler prepare);
  // A Saga step whose compensation is the inverse of what it wrote. For rows that nobody else
  // changes before the transaction ends (an order, a booking), not for counters: a row changed
  // since is a HAZARD, never overwritten. It may write Options::undo_tables only, which need a
  // PRIMARY KEY; what could not be undone is refused, and says why.
  void AutoSaga(std::string action, DbHandler handler);

  // The service's own writes, outside any global transaction: durable on return, undone when
  // `write` returns a failure or a statement failed. `write` may run more than once, in vain but
  // for the last time. Blocks; from a handler it is kFailedPrecondition. kUnknownOutcome: the
  // connection was lost in COMMIT.
  [[nodiscard]] Status Local(const std::function<Status(Db&)>& write);
  // Reads in one snapshot, on the caller's thread and a connection of its own. Sees no prepared
  // work. One at a time.
  [[nodiscard]] Status Read(const std::function<Status(Db&)>& read);

  // OK, or why no connection came about the last time that one was needed.
  Status Health() const;
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

}  // namespace assent::postgresql
