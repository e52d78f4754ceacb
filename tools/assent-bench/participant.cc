// Participants: no-op handlers over the SDK; real SQLite ones; and the plain unary form, as another
// language would serve it. At its end each prints what it has heard, as one line of JSON.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>
#include <nlohmann/json.hpp>

#include <assent/participant.h>
#include <assent/sqlite.h>

#include "assent/v1/participant.grpc.pb.h"
#include "tools/assent-bench/certificates.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/order_shop.h"

namespace assent::bench {
namespace {

Reply Done(const Call&) { return Reply::Done(); }
Reply DoneUnlessTold(const Call& call) {
  return call.payload.rfind("refuse", 0) == 0 ? Reply::Refused("told to") : Reply::Done();
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
void SayReadyAndWait() {
  std::printf("ready\n");
  std::fflush(stdout);
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
}
void SayEnd(const nlohmann::json& seen) {
  std::printf("%s\n", seen.dump().c_str());
  std::fflush(stdout);
}

class UnaryService final : public v1::Participant::CallbackService {
 public:
  std::uint64_t calls() const { return calls_; }

 private:
  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const v1::BranchCommand* command,
                                    v1::BranchReply* reply) override {
    ++calls_;
    reply->set_gid(command->gid());
    reply->set_branch_id(command->branch_id());
    reply->set_operation(command->operation());
    reply->set_kind(v1::BranchReply::DONE);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  std::atomic<std::uint64_t> calls_ = 0;
};

}  // namespace

int RunParticipant(const Load& load, int number, const std::vector<std::string>& endpoints,
                   const std::string& folder) {
  BlockStop();
  ParticipantOptions options;
  options.service = ServiceName(load, number);
  options.endpoints = endpoints;
  options.tls = TlsOf(load.tls_folder, "participant");
  options.max_in_flight = 16'384;
  options.max_queued_calls = 65'536;
  options.worker_threads = 1;
  Participant participant(std::move(options));
  std::unique_ptr<sqlite::Store> store;
  if (load.workload == "order") {
    auto opened = sqlite::Store::Open({.path = folder + "/" + ServiceName(load, number) + ".db",
                                       .setup = [=](sqlite::Db& db) { ShopTables(number, db); },
                                       .max_queued = 65'536,
                                       .max_group = load.group});
    if (!opened.ok()) {
      std::fprintf(stderr, "assent-bench: %s\n", opened.status().ToString().c_str());
      return 1;
    }
    store = std::move(opened).value();
    ShopActions(number, *store);
    participant.Attach(*store);
  } else {
    participant.Tcc("act", {.try_ = DoneUnlessTold, .confirm = Done, .cancel = Done});
    participant.TwoPhase("act", {.prepare = Done, .commit = Done, .rollback = Done});
    participant.Saga("act", {.action = Done, .compensate = Done});
  }
  if (!participant.Start().ok() || !participant.WaitConnected(std::chrono::seconds(30)).ok())
    return 1;
  SayReadyAndWait();
  const ParticipantStats stats = participant.Stats();
  participant.Stop();
  nlohmann::json seen{{"commands", stats.commands}, {"replies", stats.replies}};
  if (store) {
    if (const auto inspected = store->Inspect(); inspected.ok()) {
      seen["operations"] = inspected->operations;
      seen["groups"] = inspected->groups;
    }
  }
  SayEnd(seen);
  return 0;
}

int RunUnaryParticipant(const Load& load, const std::string& address) {
  BlockStop();
  UnaryService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, ServerCredentialsOf(load.tls_folder, "participant"));
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  SayReadyAndWait();
  server->Shutdown(std::chrono::system_clock::now());
  SayEnd({{"commands", service.calls()}, {"replies", service.calls()}});
  return 0;
}

}  // namespace assent::bench
