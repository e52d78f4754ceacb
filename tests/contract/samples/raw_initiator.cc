// The initiator of docs/contract.md without the SDK, by Submit alone, and the mistakes that one
// makes in it (--mistake NAME; --mistakes lists them).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <nlohmann/json.hpp>

#include "assent/v1/transaction.grpc.pb.h"
#include "tests/contract/samples/payload.h"

namespace {

using Clock = std::chrono::steady_clock;
namespace v1 = assent::v1;

constexpr int kNoSuchCall = 77;
constexpr std::chrono::milliseconds kOneCall{500};
constexpr std::chrono::milliseconds kPause{20};

struct Mistake {
  const char* name;
  const char* sentence;
};
constexpr Mistake kMistakes[] = {
    {"orders-anew", "It asks again under another gid."},
    {"changes-the-content", "It asks again with other content."},
    {"believes-unavailable", "UNAVAILABLE means to it that nothing was begun."},
    {"believes-not-found", "It looks after a lost answer, and takes NOT_FOUND for an abort."},
    {"believes-any-code", "Every code means to it that the transaction was aborted."},
    {"asks-for-ever", "It asks again whatever the coordinator says."},
    {"knows-one-endpoint", "It never asks another member."},
};

class Initiator {
 public:
  Initiator(const std::string& endpoints, std::string mistake, Clock::time_point end)
      : mistake_(std::move(mistake)), end_(end) {
    grpc::ChannelArguments arguments;
    for (const char* name : {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                             GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS})
      arguments.SetInt(name, static_cast<int>(kPause.count()));
    for (std::size_t at = 0; at < endpoints.size();) {
      const std::size_t comma = std::min(endpoints.find(',', at), endpoints.size());
      stubs_.push_back(v1::TransactionService::NewStub(grpc::CreateCustomChannel(
          endpoints.substr(at, comma - at), grpc::InsecureChannelCredentials(), arguments)));
      at = comma + 1;
    }
  }

  // "committed", "aborted", "failed", "unknown".
  std::string Conclude(const std::string& gid) {
    for (std::size_t turn = 0;; ++turn) {
      v1::SubmitReply reply;
      const grpc::Status status = Submit(gid, turn, &reply);
      if (status.ok()) return OutcomeOf(reply);
      if (Makes("believes-any-code")) return "aborted";
      if (Makes("believes-unavailable") && status.error_code() == grpc::StatusCode::UNAVAILABLE)
        return "not-begun";
      if (IsFinal(status) && !Makes("asks-for-ever")) return "failed";
      if (Makes("believes-not-found") && !Known(gid)) return "aborted";
      if (Clock::now() >= end_) return IsFinal(status) ? "failed" : "unknown";
      std::this_thread::sleep_for(kPause);  // tidy: allow(sleep) between two questions
    }
  }

 private:
  bool Makes(std::string_view mistake) const { return mistake_ == mistake; }

  static bool IsFinal(const grpc::Status& status) {
    constexpr grpc::StatusCode kFinal[] = {
        grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::ALREADY_EXISTS,
        grpc::StatusCode::FAILED_PRECONDITION, grpc::StatusCode::DATA_LOSS};
    return std::find(std::begin(kFinal), std::end(kFinal), status.error_code()) != std::end(kFinal);
  }
  static std::string OutcomeOf(const v1::SubmitReply& reply) {
    if (reply.outcome() == v1::COMMITTED) return "committed";
    return reply.outcome() == v1::ABORTED ? "aborted" : "unknown";
  }

  grpc::Status Submit(const std::string& gid, std::size_t turn, v1::SubmitReply* reply) {
    v1::SubmitRequest request;
    v1::TransactionSpec& spec = *request.mutable_transaction();
    spec.set_gid(Makes("orders-anew") && turn > 0 ? gid + "-" + std::to_string(turn) : gid);
    spec.set_deadline_ms(20'000);
    v1::BranchSpec& branch = *spec.add_branches();
    branch.set_branch_id("1");
    branch.set_protocol(v1::SAGA);
    branch.set_service("contract");
    branch.set_action("add");
    branch.set_payload(assent::contract::samples::AddJson(gid, 1));
    if (Makes("changes-the-content")) (*branch.mutable_headers())["attempt"] = std::to_string(turn);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kOneCall);
    context.set_wait_for_ready(true);  // gRPC gets on with connecting only while a call waits
    const std::size_t member = Makes("knows-one-endpoint") ? 0 : turn % stubs_.size();
    return stubs_[member]->Submit(&context, request, reply);
  }

  bool Known(const std::string& gid) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kOneCall);
    v1::GetRequest request;
    request.set_gid(gid);
    v1::Transaction transaction;
    return stubs_.front()->Get(&context, request, &transaction).error_code() !=
           grpc::StatusCode::NOT_FOUND;
  }

  const std::string mistake_;
  const Clock::time_point end_;
  std::vector<std::unique_ptr<v1::TransactionService::Stub>> stubs_;
};

}  // namespace

int main(int argc, char** argv) {
  using assent::contract::samples::Env;
  const std::string_view flag = argc > 1 ? argv[1] : "";
  if (flag == "--mistakes") {
    for (const Mistake& mistake : kMistakes)
      std::printf("%s\t%s\n", mistake.name, mistake.sentence);
    return 0;
  }
  if (Env("ASSENT_CONTRACT_CALL", "submit") != "submit") return kNoSuchCall;
  const std::chrono::milliseconds give_up(std::stoll(Env("ASSENT_CONTRACT_GIVE_UP_MS", "10000")));
  Initiator initiator(Env("ASSENT_ENDPOINT", "127.0.0.1:7400"),
                      flag == "--mistake" && argc > 2 ? argv[2] : "", Clock::now() + give_up);
  const std::string gids = Env("ASSENT_CONTRACT_GIDS", "");
  for (std::size_t at = 0; at < gids.size();) {
    const std::size_t comma = std::min(gids.find(',', at), gids.size());
    const std::string gid = gids.substr(at, comma - at);
    const nlohmann::ordered_json line{{"gid", gid}, {"conclusion", initiator.Conclude(gid)}};
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
    at = comma + 1;
  }
  return 0;
}
