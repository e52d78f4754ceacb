#include <algorithm>
#include <utility>

#include <assent/limits.h>
#include <assent/postgresql.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/postgresql/auto_saga.h"
#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/executor.h"
#include "participant-sdk/cpp/postgresql/questions.h"
#include "participant-sdk/cpp/postgresql/undo_tables.h"

namespace assent::postgresql {
namespace {

using internal::Connection;
using internal::ConnectionSettings;
using internal::Executor;
using internal::Handlers;
using internal::Registry;
using internal::Task;
using internal::TaskPtr;

ConnectionSettings SettingsOf(const Options& options) {
  return {options.connection, options.lock_timeout, options.statement_timeout,
          options.answer_within, options.connect_timeout};
}

Status CheckOptions(const Options& options) {
  if (options.connection.empty()) return InvalidArgument("Options::connection is empty");
  if (options.connections < limits::kMinConnectionsCount ||
      options.connections > limits::kMaxConnectionsCount) {
    return InvalidArgument("Options::connections is " + std::to_string(options.connections) +
                           "; it takes " + std::to_string(limits::kMinConnectionsCount) + " to " +
                           std::to_string(limits::kMaxConnectionsCount));
  }
  if (options.max_queued == 0) return InvalidArgument("Options::max_queued is 0");
  if (options.max_group == 0 || options.max_group > limits::kMaxSavepointsPerGroupCount) {
    return InvalidArgument("Options::max_group is " + std::to_string(options.max_group) +
                           "; it takes 1 to " +
                           std::to_string(limits::kMaxSavepointsPerGroupCount));
  }
  for (const auto& [name, value] : {std::pair("group_lock_wait", options.group_lock_wait),
                                    std::pair("lock_timeout", options.lock_timeout),
                                    std::pair("claim_grace", options.claim_grace),
                                    std::pair("statement_timeout", options.statement_timeout),
                                    std::pair("answer_within", options.answer_within)}) {
    // To the server 0 means for ever.
    if (value.count() <= 0)
      return InvalidArgument(std::string("Options::") + name + " is not above 0");
  }
  if (options.answer_within <= options.statement_timeout ||
      options.answer_within <= options.lock_timeout)
    return InvalidArgument(
        "Options::answer_within is not above statement_timeout and lock_timeout");
  return OkStatus();
}

bool IsActionName(std::string name) {
  std::replace(name.begin(), name.end(), '/', '-');
  return !name.empty() && name.size() <= assent::limits::kMaxActionNameBytes &&
         internal::IsPlain(name);
}

// What the wire lets through; such words need no quotes in SQL. (Their length the barrier checks.)
bool HasPlainNames(const Call& call) {
  return internal::IsPlain(call.gid) && internal::IsPlain(call.branch_id) &&
         IsActionName(call.action);
}

}  // namespace

class Store::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)), questions_(options_, SettingsOf(options_)) {}

  Status Open();
  void Register(std::string action, Protocol protocol, Handlers handlers);
  void RegisterAutomatic(std::string action, DbHandler handler);
  Status Read(const std::function<Status(Db&)>& read);
  Result<Stats> Inspect();
  Status QueueIsFull() const {
    return ResourceExhausted("the store's queue is full (" + std::to_string(options_.max_queued) +
                             " operations)");
  }

  const Registry& registry() const { return registry_; }
  const Status& registration() const { return registration_; }
  Executor::Threads& threads() { return executor_->threads(); }
  std::vector<HeldBranch> Ask(std::size_t limit) {
    const MutexLock lock(questions_mutex_);
    return questions_.Next(limit);
  }

 private:
  Status RunSetup(Connection& connection);
  Status ReadOn(Connection& connection, const std::function<Status(Db&)>& read);

  const Options options_;
  Registry registry_;    // filled before the first operation, then only read by the threads
  Status registration_;  // the first mistake; as registry_
  std::string place_;
  bool can_prepare_ = false;

  Mutex reader_mutex_;
  std::unique_ptr<Connection> reader_ ASSENT_GUARDED_BY(reader_mutex_);
  Mutex questions_mutex_;
  internal::Questions questions_ ASSENT_GUARDED_BY(questions_mutex_);
  std::unique_ptr<Executor> executor_;  // last: ends first
};

Status Store::Impl::RunSetup(Connection& connection) {
  if (!options_.setup) return OkStatus();
  // Several processes that create the same tables at once get in each other's way.
  internal::Answer answer = connection.Run("BEGIN; SELECT pg_advisory_xact_lock(7400)");
  if (!answer.ok()) return Unavailable(place_ + ": setup: " + answer.message);
  Db::Impl db(connection, Db::Impl::Use::kSetup);
  const auto setup = [this](Db& handle) {
    options_.setup(handle);
    return OkStatus();
  };
  Status status = internal::RunWriter(setup, db);
  if (status.ok() && !(answer = connection.Query("COMMIT")).ok()) status = answer.status();
  if (status.ok()) return status;
  if (!connection.broken()) (void)connection.Run("ROLLBACK");
  return {status.code(), place_ + ": setup: " + status.message()};
}

Status Store::Impl::Open() {
  Status status = CheckOptions(options_);
  if (!status.ok()) return status;
  Result<std::unique_ptr<Connection>> opened = Connection::Open(SettingsOf(options_));
  if (!opened.ok()) return opened.status();
  Connection& connection = **opened;
  place_ = connection.place();
  can_prepare_ = connection.max_prepared_transactions() > 0;
  status = internal::MakeTables(connection);
  if (status.ok()) status = RunSetup(connection);
  if (status.ok() && !options_.undo_tables.empty())
    status = internal::MakeUndoTables(connection, options_.undo_tables);
  if (!status.ok()) return status;
  executor_ =
      std::make_unique<Executor>(options_, registry_, SettingsOf(options_), std::move(*opened));
  return OkStatus();
}

void Store::Impl::Register(std::string action, Protocol protocol, Handlers handlers) {
  const std::string shown = std::string(Name(protocol)) + ":" + action;
  const auto mistake = [this](Code code, const std::string& text) {
    if (registration_.ok()) registration_ = Status(code, "store " + place_ + ": " + text);
  };
  if (!IsActionName(action))
    return mistake(Code::kInvalidArgument, "\"" + action + "\" is no name for an action");
  const bool needs_finish = protocol == Protocol::kTcc;
  const bool needs_undo = protocol != Protocol::kTwoPhase;
  if (handlers.forward == nullptr || (needs_finish && handlers.finish == nullptr) ||
      (needs_undo && handlers.undo == nullptr))
    return mistake(Code::kInvalidArgument, "action " + shown + " needs all of its handlers");
  if (protocol == Protocol::kTwoPhase && !can_prepare_) {
    return mistake(Code::kFailedPrecondition,
                   "action " + shown +
                       " cannot be served: PostgreSQL keeps no prepared work here. Set "
                       "max_prepared_transactions in postgresql.conf (as many as there may be "
                       "undecided branches; at least max_connections) and restart PostgreSQL");
  }
  if (!registry_.emplace(std::pair(std::move(action), protocol), std::move(handlers)).second)
    mistake(Code::kInvalidArgument, "action " + shown + " is registered twice");
}

void Store::Impl::RegisterAutomatic(std::string action, DbHandler handler) {
  if (options_.undo_tables.empty() && registration_.ok()) {
    registration_ = FailedPrecondition("store " + place_ + ": action saga:" + action +
                                       " cannot be undone: Options::undo_tables names no table");
  }
  if (handler) handler = internal::Recorded(std::move(handler));
  Register(std::move(action), Protocol::kSaga, {std::move(handler), nullptr, internal::Inverse()});
}

Status Store::Impl::Read(const std::function<Status(Db&)>& read) {
  const MutexLock lock(reader_mutex_);
  if (reader_ == nullptr || reader_->broken()) {
    reader_.reset();
    Result<std::unique_ptr<Connection>> opened = Connection::Open(SettingsOf(options_));
    if (!opened.ok()) return opened.status();
    reader_ = std::move(*opened);
  }
  return ReadOn(*reader_, read);
}

Status Store::Impl::ReadOn(Connection& connection, const std::function<Status(Db&)>& read) {
  const internal::Answer begun = connection.Run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
  if (!begun.ok()) return begun.status();
  Db::Impl db(connection);
  const Status status = internal::RunWriter(read, db);
  connection.DropAdded();
  if (!connection.broken()) (void)connection.Run("ROLLBACK");
  return status;
}

Result<Stats> Store::Impl::Inspect() {
  Stats stats;
  const Status status = Read([&stats](Db& db) {
    stats.prepared = db.Get<std::int64_t>(
                           "SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'assent/%' AND "
                           "database = current_database()")
                         .value_or(0);
    stats.barrier_rows = db.Get<std::int64_t>("SELECT count(*) FROM assent_barrier").value_or(0);
    stats.orphans =
        db.Get<std::int64_t>("SELECT count(*) FROM assent_barrier WHERE orphan <> 0").value_or(0);
    return OkStatus();
  });
  if (!status.ok()) return status;
  const Executor::Threads::Counts counts = executor_->threads().counts();
  stats.operations = counts.operations;
  stats.groups = counts.groups;
  stats.undone = counts.undone;
  stats.unknown = counts.unknown;
  return stats;
}

Result<std::unique_ptr<Store>> Store::Open(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  const Status status = impl->Open();
  if (!status.ok()) return status;
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

void Store::Tcc(std::string action, TccHandlers handlers) {
  impl_->Register(
      std::move(action), Protocol::kTcc,
      {std::move(handlers.try_), std::move(handlers.confirm), std::move(handlers.cancel)});
}

void Store::Saga(std::string action, SagaHandlers handlers) {
  impl_->Register(std::move(action), Protocol::kSaga,
                  {std::move(handlers.action), nullptr, std::move(handlers.compensate)});
}

void Store::AutoSaga(std::string action, DbHandler handler) {
  impl_->RegisterAutomatic(std::move(action), std::move(handler));
}

void Store::TwoPhase(std::string action, DbHandler prepare) {
  impl_->Register(std::move(action), Protocol::kTwoPhase, {std::move(prepare), nullptr, nullptr});
}

Status Store::Local(const std::function<Status(Db&)>& write) {
  if (Executor::Threads::OnOwnThread()) {
    return FailedPrecondition(
        "Store::Local was called from a handler, which runs on a thread that Local may wait for: "
        "write through the handler's own Db");
  }
  TaskPtr task = std::make_unique<Task>(Task::Kind::kLocal);
  task->write = &write;
  std::future<Status> ended = task->promise.get_future();
  if (!impl_->threads().Submit(task)) return impl_->QueueIsFull();
  return ended.get();
}

Status Store::Read(const std::function<Status(Db&)>& read) { return impl_->Read(read); }
Status Store::Health() const { return impl_->threads().Health(); }
Result<Stats> Store::Inspect() { return impl_->Inspect(); }
Status Store::Registration() const { return impl_->registration(); }

std::vector<OfferedAction> Store::Actions() const {
  std::vector<OfferedAction> actions;
  for (const auto& [key, handlers] : impl_->registry()) actions.push_back({key.first, key.second});
  return actions;
}

void Store::Execute(Call call, Responder respond) {
  if (!impl_->registration().ok())
    return respond(Reply::RetryLater(impl_->registration().ToString()));
  if (!HasPlainNames(call)) {
    return respond(
        Reply::Refused("gid, branch id or action has characters that no coordinator sends"));
  }
  TaskPtr task = std::make_unique<Task>(Task::Kind::kCall);
  task->call = std::move(call);
  task->respond = std::move(respond);
  if (!impl_->threads().Submit(task)) task->NotDone(impl_->QueueIsFull());
}

std::vector<HeldBranch> Store::Questions(std::size_t limit) { return impl_->Ask(limit); }

void Store::Answer(const HeldBranch& branch, Verdict verdict, bool finished) {
  if (verdict == Verdict::kUndecided || verdict == Verdict::kCannotTell) return;
  if (!internal::IsPlain(branch.gid) || !internal::IsPlain(branch.branch_id)) return;
  TaskPtr task = std::make_unique<Task>(Task::Kind::kAnswer);
  task->call.gid = branch.gid;
  task->call.branch_id = branch.branch_id;
  task->verdict = verdict;
  task->finished = finished;
  // A full queue: the question comes again.
  (void)impl_->threads().Submit(task);
}

}  // namespace assent::postgresql
