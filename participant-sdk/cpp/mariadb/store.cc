#include <algorithm>
#include <utility>

#include <assent/limits.h>
#include <assent/mariadb.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/mariadb/auto_saga.h"
#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/executor.h"
#include "participant-sdk/cpp/mariadb/questions.h"
#include "participant-sdk/cpp/mariadb/undo_tables.h"

namespace assent::mariadb {
namespace {

using internal::Connection;
using internal::ConnectionSettings;
using internal::Executor;
using internal::Handlers;
using internal::Registry;
using internal::Task;
using internal::TaskPtr;

ConnectionSettings SettingsOf(const Options& options) {
  return {options.server,        options.isolation,
          options.lock_timeout,  options.statement_timeout,
          options.answer_within, options.connect_timeout};
}

Status CheckServerOptions(const Server& server) {
  if (server.database.empty() && server.option_file.empty())
    return InvalidArgument("Options::server names no database");
  if (server.tls_certificate.empty() != server.tls_key.empty()) {
    return InvalidArgument(
        "Options::server has one of tls_certificate and tls_key: each is of use with the other");
  }
  if (!server.tls_certificate.empty() && server.tls_ca.empty()) {
    return InvalidArgument(
        "Options::server has a tls_certificate and no tls_ca, which says who may vouch for the "
        "server");
  }
  return OkStatus();
}

Status CheckOptions(const Options& options) {
  if (Status status = CheckServerOptions(options.server); !status.ok()) return status;
  if (options.connections < limits::kMinConnectionsCount ||
      options.connections > limits::kMaxConnectionsCount) {
    return InvalidArgument("Options::connections is " + std::to_string(options.connections) +
                           "; it takes " + std::to_string(limits::kMinConnectionsCount) + " to " +
                           std::to_string(limits::kMaxConnectionsCount));
  }
  if (options.max_queued == 0) return InvalidArgument("Options::max_queued is 0");
  if (options.max_group == 0 || options.max_group > limits::kMaxOperationsPerGroupCount) {
    return InvalidArgument("Options::max_group is " + std::to_string(options.max_group) +
                           "; it takes 1 to " +
                           std::to_string(limits::kMaxOperationsPerGroupCount));
  }
  const std::chrono::milliseconds lock_timeout = options.lock_timeout;
  for (const auto& [name, value] : {std::pair("lock_timeout", lock_timeout),
                                    std::pair("statement_timeout", options.statement_timeout),
                                    std::pair("answer_within", options.answer_within)}) {
    // To the server 0 means for ever, or not at all.
    if (value.count() <= 0)
      return InvalidArgument(std::string("Options::") + name + " is not above 0");
  }
  if (options.answer_within <= options.statement_timeout || options.answer_within <= lock_timeout)
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
  Status RunSetup();
  Status ReadOn(Connection& connection, const std::function<Status(Db&)>& read);

  const Options options_;
  Registry registry_;    // filled before the first operation, then only read by the threads
  Status registration_;  // the first mistake; as registry_
  std::string place_;

  Mutex reader_mutex_;
  std::unique_ptr<Connection> reader_ ASSENT_GUARDED_BY(reader_mutex_);
  Mutex questions_mutex_;
  internal::Questions questions_ ASSENT_GUARDED_BY(questions_mutex_);
  std::unique_ptr<Executor> executor_;  // last: ends first
};

// On a connection of its own, which ends with whatever it has set.
Status Store::Impl::RunSetup() {
  if (!options_.setup) return OkStatus();
  Result<std::unique_ptr<Connection>> opened = Connection::Open(SettingsOf(options_));
  if (!opened.ok()) return opened.status();
  // Several processes that create the same tables at once get in each other's way.
  const internal::Answer locked = (*opened)->Run(
      "SELECT GET_LOCK(CONCAT('assent/setup/', LEFT(SHA2(DATABASE(), 256), 40)), 60)");
  if (!locked.ok()) return Unavailable(place_ + ": setup: " + locked.message);
  Db::Impl db(**opened, Db::Impl::Use::kSetup);
  const auto setup = [this](Db& handle) {
    options_.setup(handle);
    return OkStatus();
  };
  Status status = internal::RunWriter(setup, db);
  if (status.ok() && (*opened)->InTransaction())
    status = FailedPrecondition("it has begun a local transaction, and not ended it");
  return status.ok() ? status : Status(status.code(), place_ + ": setup: " + status.message());
}

Status Store::Impl::Open() {
  Status status = CheckOptions(options_);
  if (!status.ok()) return status;
  Result<std::unique_ptr<Connection>> opened = Connection::Open(SettingsOf(options_));
  if (!opened.ok()) return opened.status();
  place_ = (*opened)->place();
  status = internal::MakeTables(**opened);
  if (status.ok()) status = RunSetup();
  if (status.ok() && !options_.undo_tables.empty())
    status = internal::MakeUndoTables(**opened, options_.undo_tables);
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
  if (reader_ == nullptr || reader_->broken() || reader_->IsStale()) {
    reader_.reset();
    Result<std::unique_ptr<Connection>> opened = Connection::Open(SettingsOf(options_));
    if (!opened.ok()) return opened.status();
    reader_ = std::move(*opened);
  }
  return ReadOn(*reader_, read);
}

Status Store::Impl::ReadOn(Connection& connection, const std::function<Status(Db&)>& read) {
  const internal::Answer begun = connection.Run(
      "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT "
      "SNAPSHOT, "
      "READ ONLY");
  if (!begun.ok()) return begun.status();
  Db::Impl db(connection);
  const Status status = internal::RunWriter(read, db);
  connection.DropAdded();
  if (!connection.broken() && !connection.Run("ROLLBACK").ok()) connection.Break();
  return status;
}

Result<Stats> Store::Impl::Inspect() {
  Stats stats;
  const Status status = Read([&stats](Db& db) {
    stats.prepared = db.Get<std::int64_t>("SELECT count(*) FROM assent_barrier WHERE state = ?",
                                          static_cast<int>(barrier::State::kPrepared))
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

}  // namespace assent::mariadb
