// Participants: no-op handlers over the SDK; real SQLite ones; and the plain unary form, as another language would serve it.

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include <assent/participant.h>
#include <assent/sqlite.h>

#include "assent/v1/participant.grpc.pb.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

Reply Done(const Call&) { return Reply::Done(); }
Reply DoneUnlessTold(const Call& call) {
  return call.payload.rfind("refuse", 0) == 0 ? Reply::Refused("told to") : Reply::Done();
}

// Stock of one article per payload's first bytes: freezes, sells, releases; what the demo's inventory does.
void StockTables(sqlite::Db& db) {
  db.ExecScript(
      R"(CREATE TABLE IF NOT EXISTS stock(article INTEGER PRIMARY KEY, available INTEGER NOT NULL,
                     frozen INTEGER NOT NULL DEFAULT 0, sold INTEGER NOT NULL DEFAULT 0);)");
  for (int i = 0; i < 1000; ++i)
    db.Exec("INSERT OR IGNORE INTO stock(article, available) VALUES(?1, 1000000000)", i);
}
int ArticleOf(const Call& call) {
  return static_cast<int>(std::hash<std::string>{}(call.gid + call.branch_id) % 1000);
}
sqlite::DbHandler Stock(const char* sql) {
  return [sql](sqlite::Db& db, const Call& call) {
    db.Exec(sql, ArticleOf(call));
    return Reply::Done();
  };
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  return signals;
}
// Before the first thread is made.
void BlockStop() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}
void WaitToBeStopped() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
}

class UnaryService final : public v1::Participant::CallbackService {
  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const v1::BranchCommand* command,
                                    v1::BranchReply* reply) override {
    reply->set_gid(command->gid());
    reply->set_branch_id(command->branch_id());
    reply->set_operation(command->operation());
    reply->set_kind(v1::BranchReply::DONE);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int RunParticipant(const Load& load, int number, const std::string& endpoint,
                   const std::string& folder) {
  BlockStop();
  ParticipantOptions options;
  options.service = ServiceName(number);
  options.endpoints = {endpoint};
  options.max_in_flight = 16'384;
  options.max_queued_calls = 65'536;
  options.worker_threads = 1;
  Participant participant(std::move(options));
  std::unique_ptr<sqlite::Store> store;
  if (load.workload == "order") {
    auto opened = sqlite::Store::Open(
        {.path = folder + "/" + ServiceName(number) + ".db", .setup = StockTables});
    if (!opened.ok()) {
      std::fprintf(stderr, "assent-bench: %s\n", opened.status().ToString().c_str());
      return 1;
    }
    store = std::move(opened).value();
    store->Tcc(
        "act",
        {.try_ = Stock(
             "UPDATE stock SET available = available - 1, frozen = frozen + 1 WHERE article = ?1"),
         .confirm =
             Stock("UPDATE stock SET frozen = frozen - 1, sold = sold + 1 WHERE article = ?1"),
         .cancel = Stock("UPDATE stock SET available = available + 1, frozen = frozen - 1 WHERE "
                         "article = ?1")});
    participant.Attach(*store);
  } else {
    participant.Tcc("act", {.try_ = DoneUnlessTold, .confirm = Done, .cancel = Done});
    participant.TwoPhase("act", {.prepare = Done, .commit = Done, .rollback = Done});
    participant.Saga("act", {.action = Done, .compensate = Done});
  }
  if (!participant.Start().ok() || !participant.WaitConnected(std::chrono::seconds(30)).ok())
    return 1;
  std::printf("ready\n");
  std::fflush(stdout);
  WaitToBeStopped();
  participant.Stop();
  return 0;
}

int RunUnaryParticipant(const std::string& address) {
  BlockStop();
  UnaryService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("ready\n");
  std::fflush(stdout);
  WaitToBeStopped();
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace assent::bench
