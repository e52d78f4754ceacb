#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

#include <assent/sqlite.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/sqlite/questions.h"
#include "participant-sdk/cpp/sqlite/tables.h"
#include "participant-sdk/cpp/sqlite/tasks.h"

namespace assent::sqlite {
namespace {

using internal::Connection;
using internal::Executor;
using internal::Handlers;
using internal::Registry;
using internal::Runner;
using internal::Statement;

// How long a Local that waits for a claim sleeps at most: another process may have dropped it
// without telling us.
constexpr std::chrono::milliseconds kForeignReleaseCheck{50};

// SQLite ignores a failure to sync the directory of a new WAL; so it is synced here, once the WAL
// exists.
Status SyncDirectoryOf(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Unavailable("cannot open directory " + directory);
  const int code = ::fsync(fd);
  ::close(fd);
  return code == 0 ? OkStatus() : Unavailable("cannot sync directory " + directory);
}

Connection::Settings ConnectionSettings(const Options& options, bool writable) {
  return {options.path, writable, options.foreign_keys,
          static_cast<int>(options.busy_timeout.count())};
}

Status CheckOptions(const Options& options) {
  if (options.path.empty()) return InvalidArgument("Options::path is empty");
  if (options.max_queued == 0) return InvalidArgument("Options::max_queued is 0");
  if (options.max_group == 0) return InvalidArgument("Options::max_group is 0");
  if (sqlite3_compileoption_used("ENABLE_SESSION") == 0 ||
      sqlite3_compileoption_used("ENABLE_PREUPDATE_HOOK") == 0) {
    return FailedPrecondition(
        std::string("SQLite ") + sqlite3_libversion() +
        " was built without ENABLE_SESSION and ENABLE_PREUPDATE_HOOK, which this adapter needs");
  }
  return OkStatus();
}

}  // namespace

class Store::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)), clock_(options_.steady_ms) {}

  Status Open();
  void Register(std::string action, Protocol protocol, Handlers handlers);
  const Status& registration() const { return registration_; }
  Status Read(const std::function<Status(Db&)>& read);
  Result<Stats> Inspect();

  const Options& options() const { return options_; }
  const Registry& registry() const { return registry_; }
  Executor& executor() { return *executor_; }
  std::vector<HeldBranch> Ask(std::size_t limit) {
    const MutexLock lock(questions_mutex_);
    return questions_->Next(limit, clock_.Now());
  }

 private:
  Result<Executor::Bench> OpenBench();
  Status RunSetup(Executor::Bench& bench);

  const Options options_;
  internal::StoreClock clock_;
  Registry registry_;    // filled before the first operation, then only read by the executor
  Status registration_;  // the first mistake; as registry_
  std::unique_ptr<Executor> executor_;

  Mutex reader_mutex_;
  std::unique_ptr<Connection> reader_ ASSENT_PT_GUARDED_BY(reader_mutex_);  // set by Open
  Mutex questions_mutex_;
  std::unique_ptr<internal::Questions> questions_ ASSENT_PT_GUARDED_BY(questions_mutex_);
};

Result<Executor::Bench> Store::Impl::OpenBench() {
  Result<std::unique_ptr<Connection>> connection =
      Connection::Open(ConnectionSettings(options_, true));
  if (!connection.ok()) return connection.status();
  Executor::Bench bench;
  bench.connection = std::move(*connection);
  Status status = internal::PrepareTables(*bench.connection, clock_);
  if (status.ok()) status = SyncDirectoryOf(options_.path);
  if (!status.ok()) return Status(status.code(), options_.path + ": " + status.message());
  bench.runner = std::make_unique<Runner>(
      *bench.connection, registry_,
      Runner::Settings{options_.foreign_keys, options_.retain.count(), &clock_});
  return bench;
}

Status Store::Impl::RunSetup(Executor::Bench& bench) {
  if (!options_.setup) return OkStatus();
  Status status = bench.connection->Run("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = bench.runner->BeginGroup();
  bool conflict = false;
  const auto setup = [this](Db& db) {
    options_.setup(db);
    return OkStatus();
  };
  if (status.ok()) status = bench.runner->RunLocal(setup, conflict);
  if (status.ok()) status = bench.connection->Run("COMMIT");
  if (!status.ok() && !bench.connection->idle()) (void)bench.connection->Run("ROLLBACK");
  return status.ok() ? status
                     : Status(status.code(), "setup of " + options_.path + ": " + status.message());
}

Status Store::Impl::Open() {
  Status status = CheckOptions(options_);
  if (!status.ok()) return status;
  Result<Executor::Bench> bench = OpenBench();
  if (!bench.ok()) return bench.status();
  status = RunSetup(*bench);
  if (!status.ok()) return status;
  Result<std::unique_ptr<Connection>> reader =
      Connection::Open(ConnectionSettings(options_, false));
  if (!reader.ok()) return reader.status();
  reader_ = std::move(*reader);
  Result<std::unique_ptr<Connection>> asker = Connection::Open(ConnectionSettings(options_, false));
  if (!asker.ok()) return asker.status();
  questions_ = std::make_unique<internal::Questions>(
      std::move(*asker),
      internal::Questions::Settings{options_.ask_after.count(), options_.retain.count()});
  executor_ = std::make_unique<Executor>(
      Executor::Settings{options_.max_queued, options_.max_group, options_.max_group_time,
                         options_.claim_wait, options_.claim_grace, options_.on_poisoned,
                         options_.at_point},
      [this] { return OpenBench(); }, std::move(*bench));
  return OkStatus();
}

void Store::Impl::Register(std::string action, Protocol protocol, Handlers handlers) {
  const bool needs_finish = protocol == Protocol::kTcc;
  const bool needs_undo = protocol != Protocol::kTwoPhase && !handlers.recorded;
  const std::string shown = std::string(Name(protocol)) + ":" + action;
  const auto mistake = [this](const std::string& text) {
    if (registration_.ok()) registration_ = InvalidArgument("store " + options_.path + ": " + text);
  };
  if (handlers.forward == nullptr || (needs_finish && handlers.finish == nullptr) ||
      (needs_undo && handlers.undo == nullptr))
    return mistake("action " + shown + " needs all of its handlers");
  if (!registry_.emplace(std::pair(std::move(action), protocol), std::move(handlers)).second)
    mistake("action " + shown + " is registered twice");
}

Status Store::Impl::Read(const std::function<Status(Db&)>& read) {
  const MutexLock lock(reader_mutex_);
  Status status = reader_->Run("BEGIN");
  if (!status.ok()) return status;
  Db::Impl db(*reader_, nullptr);
  try {
    Connection::ModeGuard as_branch(*reader_, internal::Mode::kBranch);
    status = read(db.db);
  } catch (const std::exception& thrown) {
    status = Internal(std::string("the reader threw: ") + thrown.what());
  } catch (...) {
    status = Internal("the reader threw");
  }
  if (db.has_stray) reader_->ResetStray();
  if (status.ok()) status = db.status;
  const Status end = reader_->Run("COMMIT");
  return status.ok() ? end : status;
}

Result<Stats> Store::Impl::Inspect() {
  Stats stats;
  Status status = Read([&stats](Db& db) {
    stats.prepared = db.Get<std::int64_t>("SELECT count(*) FROM assent_prepared").value_or(0);
    stats.hazards =
        db.Get<std::int64_t>("SELECT count(*) FROM assent_prepared WHERE hazard IS NOT NULL")
            .value_or(0);
    stats.claims = db.Get<std::int64_t>("SELECT count(*) FROM assent_lock").value_or(0);
    stats.barrier_rows = db.Get<std::int64_t>("SELECT count(*) FROM assent_barrier").value_or(0);
    stats.orphans =
        db.Get<std::int64_t>("SELECT count(*) FROM assent_barrier WHERE orphan").value_or(0);
    return OkStatus();
  });
  if (!status.ok()) return status;
  const Executor::Counts counts = executor_->counts();
  stats.operations = counts.operations;
  stats.groups = counts.groups;
  return stats;
}

Result<std::unique_ptr<Store>> Store::Open(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  Status status = impl->Open();
  if (!status.ok()) return status;
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

void Store::Tcc(std::string action, TccHandlers handlers) {
  impl_->Register(
      std::move(action), Protocol::kTcc,
      {std::move(handlers.try_), std::move(handlers.confirm), std::move(handlers.cancel), false});
}

void Store::Saga(std::string action, SagaHandlers handlers) {
  impl_->Register(std::move(action), Protocol::kSaga,
                  {std::move(handlers.action), nullptr, std::move(handlers.compensate), false});
}

void Store::TwoPhase(std::string action, DbHandler prepare) {
  impl_->Register(std::move(action), Protocol::kTwoPhase,
                  {std::move(prepare), nullptr, nullptr, true});
}

void Store::AutoSaga(std::string action, DbHandler handler) {
  impl_->Register(std::move(action), Protocol::kSaga, {std::move(handler), nullptr, nullptr, true});
}

Status Store::Local(const std::function<Status(Db&)>& write, std::chrono::milliseconds wait) {
  Executor& executor = impl_->executor();
  if (executor.on_own_thread()) {
    return FailedPrecondition(
        "Store::Local was called from a handler of this store, which runs on the thread that Local "
        "waits for: write "
        "through the handler's own Db");
  }
  const auto deadline = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const std::uint64_t releases = executor.counts().releases;
    auto local = std::make_unique<internal::LocalTask>(write);
    auto future = local->future();
    std::unique_ptr<internal::Task> task = std::move(local);
    if (!executor.Submit(task)) {
      return ResourceExhausted("the store's queue is full (" +
                               std::to_string(impl_->options().max_queued) + " operations)");
    }
    internal::LocalTask::Outcome outcome = future.get();
    const auto now = std::chrono::steady_clock::now();
    if (!outcome.conflict || now >= deadline) return std::move(outcome.status);
    executor.WaitForRelease(releases, std::min(deadline, now + kForeignReleaseCheck));
  }
}

Status Store::Read(const std::function<Status(Db&)>& read) { return impl_->Read(read); }
Status Store::Health() const { return impl_->executor().Health(); }
Status Store::Reopen() {
  if (!impl_->executor().on_own_thread()) return impl_->executor().Reopen();
  return FailedPrecondition(
      "Store::Reopen was called on the store's own thread (from a handler or on_poisoned), which "
      "it waits for");
}
Status Store::Registration() const { return impl_->registration(); }
Result<Stats> Store::Inspect() { return impl_->Inspect(); }

std::vector<OfferedAction> Store::Actions() const {
  std::vector<OfferedAction> actions;
  for (const auto& [key, handlers] : impl_->registry()) actions.push_back({key.first, key.second});
  return actions;
}

void Store::Execute(Call call, Responder respond) {
  if (!impl_->registration().ok())
    return respond(Reply::RetryLater(impl_->registration().ToString()));
  auto operation = std::make_unique<internal::CallTask>(std::move(call), std::move(respond));
  std::unique_ptr<internal::Task> task = std::move(operation);
  if (impl_->executor().Submit(task)) return;
  task->NotDone(ResourceExhausted("the store's queue is full (" +
                                  std::to_string(impl_->options().max_queued) + " operations)"));
}

std::vector<HeldBranch> Store::Questions(std::size_t limit) { return impl_->Ask(limit); }

void Store::Answer(const HeldBranch& branch, Verdict verdict, bool finished) {
  if (verdict == Verdict::kUndecided || verdict == Verdict::kCannotTell) return;
  std::unique_ptr<internal::Task> task =
      std::make_unique<internal::AnswerTask>(branch, verdict, finished);
  // A full queue: the question comes again.
  (void)impl_->executor().Submit(task);
}

}  // namespace assent::sqlite
