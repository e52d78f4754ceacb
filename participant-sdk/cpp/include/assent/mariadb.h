#pragma once

// Branches in a MariaDB database of the service's own: the barrier for TCC and Saga, Saga steps
// that undo themselves, and two-phase commit by XA.
//
//   auto store = assent::mariadb::Store::Open({
//       .server = {.host = "db1", .user = "inventory", .database = "inventory"},
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
//   - SELECT, INSERT, UPDATE, DELETE, REPLACE and the like are for it; every other statement fails
//     before it is sent, since MariaDB commits what is open at CREATE, ALTER, CALL of what
//     commits, and many more. Several operations share one local transaction, each in a savepoint;
//     Db::TryExec is a savepoint of its own.
//   - Its tables have to be InnoDB's. What another engine wrote cannot be undone, and is an error.
//   - It may run more than once, and in vain but for the last time (a deadlock, a lost connection):
//     what it does outside of its Db it does each time.
//   - It runs on one of the store's threads, beside other handlers: keep it short, and never call
//     Store::Local from it.
//
// docs/sdk-mariadb.md is the guide; participant-sdk/cpp/mariadb/DESIGN.md says why it is right.

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

namespace assent::mariadb {

// Limits of the adapter.
namespace limits {
// Operations that wait for a connection.
inline constexpr std::size_t kMaxQueuedCount = 8192;
// Operations that share a local transaction.
inline constexpr std::size_t kMaxOperationsPerGroupCount = 64;
// Sessions that have prepared something and are kept for its COMMIT or ROLLBACK, and as many that
// have nothing to do. What is prepared beyond loses its session, and takes a second to be settled.
inline constexpr std::size_t kMaxKeptSessionsCount = 32;
// Connections that execute operations. One is always free of those that wait for locks.
inline constexpr std::size_t kMinConnectionsCount = 2;
inline constexpr std::size_t kMaxConnectionsCount = 64;
// Prepared statements kept per connection. What comes later is prepared each time.
inline constexpr std::size_t kMaxCachedStatementsCount = 256;
// Times that an operation is executed when a deadlock or a lost connection has undone it; then it
// is answered "retry later".
inline constexpr int kMaxLocalTriesCount = 5;
// Of the adapter's own statements that go in one packet: far below max_allowed_packet, which has to
// be kMinPacketBytes at least.
inline constexpr std::size_t kMaxBatchBytes = 1024 * 1024;
inline constexpr std::size_t kMinPacketBytes = 4 * 1024 * 1024;
}  // namespace limits

// Bytes as they are, where a plain string would be given as text in utf8mb4.
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
  Arg(T value)  // NOLINT
      : type_(Type::kInteger),
        is_unsigned_(std::unsigned_integral<T>),
        integer_(static_cast<std::int64_t>(value)) {}
  template <typename T>
  Arg(const std::optional<T>& value) : Arg(value ? Arg(*value) : Arg(nullptr)) {}  // NOLINT

  Type type() const { return type_; }
  std::int64_t integer() const { return integer_; }
  bool is_unsigned() const { return is_unsigned_; }  // the integer's bits are of such
  double real() const { return real_; }
  std::string_view bytes() const { return bytes_; }

 private:
  Type type_ = Type::kNull;
  bool is_unsigned_ = false;
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
  std::string_view Text(int column) const;  // also the bytes of a BLOB
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

// A thin, typed view of one connection. Statements are prepared by the server once and kept;
// parameters are ?, and travel as values, never as text of the statement. Belongs to the store and
// to the thread that was handed it; never keep one beyond the handler.
//
// The first statement that fails is remembered: from then on every statement does nothing (Exec
// returns 0, Query no rows), and Done becomes a refusal or a "retry later". So code may be written
// as if nothing failed.
class Db {
 public:
  struct Impl;

  // Runs one statement; the number of rows it wrote (0 for a SELECT, and after a failure). An
  // UPDATE counts the rows that it has found, also those that had the value before. INSERT … ON
  // DUPLICATE KEY UPDATE counts 1 for a new row and 2 for one that it has changed.
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

// Where the database is, and as whom to come in.
struct Server {
  std::string host = "127.0.0.1";
  std::uint16_t port = 3306;
  // A Unix socket instead of host and port.
  std::string socket = {};
  std::string user = {};
  std::string password = {};
  std::string database = {};
  // A file in MariaDB's format whose [client] section says what is not said here: for a password
  // that is to stand neither in code nor in the environment.
  std::string option_file = {};
  // Certificates of those that may vouch for the server (PEM). Named, only TLS is spoken, and the
  // server has to be the one of that name.
  std::string tls_ca = {};
  // Our own, where the server asks for one.
  std::string tls_certificate = {};
  std::string tls_key = {};
};

struct Options {
  Server server = {};
  // Connections that execute operations, with a thread each. Each branch that is prepared and
  // undecided has one more (limits::kMaxKeptSessionsCount); two ask questions and read.
  std::size_t connections = 4;

  // Runs once in Open: create tables here. Each statement commits by itself, as MariaDB does it at
  // CREATE TABLE anyway: write what may run again. A failed statement fails Open.
  std::function<void(Db&)> setup = {};

  // Tables that automatic Saga steps write: "table" or "database.table". Open gives each three
  // triggers (assent_undo_…) that do nothing but while such a step runs. None is taken away again.
  std::vector<std::string> undo_tables = {};

  Isolation isolation = Isolation::kReadCommitted;
  // More waiting operations than this are answered "retry later".
  std::size_t max_queued = limits::kMaxQueuedCount;
  std::size_t max_group = limits::kMaxOperationsPerGroupCount;  // operations that share one COMMIT
  // A group is closed after this even if more is waiting.
  std::chrono::milliseconds max_group_time{50};

  // How long an operation in a local transaction of its own waits for a lock, before it is answered
  // "retry later" (innodb_lock_wait_timeout, which has whole seconds). One that shares its local
  // transaction does not wait: it is undone, the group closed, and it runs again alone.
  std::chrono::seconds lock_timeout{2};
  std::chrono::milliseconds statement_timeout{10'000};  // of the server, for one statement
  // A server that is silent for longer counts as gone.
  std::chrono::milliseconds answer_within{30'000};
  std::chrono::seconds connect_timeout{5};

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
  std::int64_t prepared = 0;      // branches whose row says prepared and undecided
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
  // Connects, and creates its tables (assent_barrier, assent_marker; with Options::undo_tables also
  // assent_undo and its triggers) where they are missing. Fails when nobody answers (kUnavailable),
  // when the server does not let us in or make triggers (kPermissionDenied), when it is too old, no
  // MariaDB, a replica, not durable or part of a Galera cluster, when Options::undo_tables names
  // what cannot be undone (kFailedPrecondition; the words say what to set), or when setup fails. No
  // password is ever in a message.
  static Result<std::unique_ptr<Store>> Open(Options options);
  // Finishes what is queued, answers it, and closes.
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Registration. A mistake (a name taken, empty or too long, a handler missing, AutoSaga without
  // Options::undo_tables) is said by Participant::Start, and by Registration(); nothing is executed
  // then.
  void Tcc(std::string action, TccHandlers handlers);
  void Saga(std::string action, SagaHandlers handlers);
  // A Saga step whose compensation is the inverse of what it wrote. For rows that nobody else
  // changes before the transaction ends (an order, a booking), not for counters: a row changed
  // since is a HAZARD, never overwritten. It may write Options::undo_tables only, which need a
  // PRIMARY KEY; what could not be undone is refused, and says why.
  void AutoSaga(std::string action, DbHandler handler);
  // Only the forward handler: XA PREPARE keeps what it wrote, and its locks, invisible to
  // everybody, until COMMIT or ROLLBACK. A handler that has written nothing may say
  // Reply::DoneReadOnly: then nothing is prepared.
  void TwoPhase(std::string action, DbHandler prepare);

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

}  // namespace assent::mariadb
