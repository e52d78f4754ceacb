// The standard actions without the SDK: docs/wire.md as a program, and the mistakes that one makes
// in it (--mistake NAME). Dials ASSENT_ENDPOINT, or serves ASSENT_CONTRACT_LISTEN.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "assent/v1/participant.grpc.pb.h"
#include "tests/contract/samples/ledger.h"
#include "tests/contract/samples/payload.h"
#include "tests/contract/samples/raw_session.h"

namespace {

using assent::contract::samples::Env;
using assent::contract::samples::LedgerParticipant;
using assent::contract::samples::Mistakes;
namespace v1 = assent::v1;

class Unary final : public v1::Participant::Service {
 public:
  explicit Unary(LedgerParticipant& ledger) : ledger_(ledger) {}
  grpc::Status Execute(grpc::ServerContext* /*context*/, const v1::BranchCommand* command,
                       v1::BranchReply* reply) override {
    try {
      *reply = ledger_.Execute(*command);
      return grpc::Status::OK;
    } catch (const std::exception& error) {
      return {grpc::StatusCode::UNKNOWN, error.what()};
    }
  }

 private:
  LedgerParticipant& ledger_;
};

int WaitForEnd(const sigset_t& ends) {
  int signal_number = 0;
  sigwait(&ends, &signal_number);
  return signal_number;
}

int ServeUnary(LedgerParticipant& ledger, const std::string& listen, const sigset_t& ends) {
  Unary unary(ledger);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials());
  builder.RegisterService(&unary);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return std::fprintf(stderr, "cannot listen at %s\n", listen.c_str()), 1;
  WaitForEnd(ends);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10));
  return 0;
}

int HoldSession(LedgerParticipant& ledger, const std::string& endpoint, const sigset_t& ends) {
  assent::contract::samples::RawSession session(ledger, endpoint);
  std::thread ender([&] {
    WaitForEnd(ends);
    session.Stop();
  });
  session.Run();
  ender.join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view flag = argc > 1 ? argv[1] : "";
  if (flag == "--mistakes") {
    for (const auto& mistake : Mistakes()) std::printf("%s\t%s\n", mistake.name, mistake.sentence);
    return 0;
  }
  const std::string mistake = flag == "--mistake" && argc > 2 ? argv[2] : "";
  const bool known = std::any_of(Mistakes().begin(), Mistakes().end(),
                                 [&](const auto& other) { return mistake == other.name; });
  if ((argc > 1 && mistake.empty()) || (!mistake.empty() && !known))
    return std::fprintf(stderr, "usage: %s [--mistake NAME | --mistakes]\n", argv[0]), 2;

  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  LedgerParticipant ledger(Env("ASSENT_CONTRACT_FOLDER", ".") + "/raw.db", mistake);
  const std::string listen = Env("ASSENT_CONTRACT_LISTEN", "");
  return listen.empty() ? HoldSession(ledger, Env("ASSENT_ENDPOINT", "127.0.0.1:7400"), ends)
                        : ServeUnary(ledger, listen, ends);
}
