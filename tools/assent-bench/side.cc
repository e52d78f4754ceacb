#include "tools/assent-bench/side.h"

#include <atomic>
#include <chrono>

#include <grpcpp/grpcpp.h>

namespace assent::bench {
namespace {

constexpr std::chrono::milliseconds kLookPause{20};
constexpr std::chrono::milliseconds kSubmitPause{2};
constexpr std::chrono::minutes kPatience{10};

}  // namespace

Side::Side(const Load& load) : load_(load), folder_("") {
  coordinator_ = std::make_unique<Child>(DaemonCommand(load_, folder_.path()), errors());
  endpoint_ = WaitListening(*coordinator_);
  if (load_.http) http_ = WaitListening(*coordinator_, "http ");
  for (int i = 0; i < load_.participants; ++i) {
    participants_.push_back(
        Start({"participant", "--number", std::to_string(i), "--folder", folder_.path()}, load_));
  }
  for (auto& participant : participants_) participant->WaitLine("ready");
  stub_ = v1::TransactionService::NewStub(
      grpc::CreateChannel(endpoint_, grpc::InsecureChannelCredentials()));
}

std::unique_ptr<Child> Side::Start(std::vector<std::string> words, const Load& load) {
  words.insert(words.begin(), BinFolder() + "/assent-bench");
  for (const char* word : {"--endpoint", endpoint_.c_str()}) words.emplace_back(word);
  for (const std::string& word : LoadArguments(load)) words.push_back(word);
  return std::make_unique<Child>(words, errors());
}

nlohmann::json Side::Initiate(const Load& load) {
  auto initiator = Start({"initiator"}, load);
  nlohmann::json seen = nlohmann::json::parse(initiator->WaitLine("{"));
  initiator->Stop();
  if (seen.at("failed") != 0)
    Die("a transaction failed: " + seen.at("first_failure").get<std::string>());
  return seen;
}

std::uint64_t Side::BeginAbsent(std::uint64_t transactions) {
  Load absent = load_;
  absent.workload = "absent";
  absent.branches = 1;
  absent.count = transactions;
  absent.in_flight = 1024;
  (void)Initiate(absent);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (Waiting() < transactions && std::chrono::steady_clock::now() < until) Pass(kLookPause);
  return Waiting();
}

std::uint64_t Side::Waiting() {
  grpc::ClientContext context;
  v1::ListParticipantsReply reply;
  v1::ListParticipantsRequest request;
  request.set_service_prefix("absent");
  if (!stub_->ListParticipants(&context, request, &reply).ok()) Die("ListParticipants failed");
  return reply.participants_size() == 0 ? 0 : reply.participants(0).waiting();
}

v1::ListReply Side::Page(v1::ListRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  v1::ListReply page;
  const grpc::Status status = stub_->List(&context, request, &page);
  if (!status.ok()) Die("List: " + status.error_message());
  request.set_page_token(page.next_page_token());
  return page;
}

void SubmitAll(const Client& client, std::uint64_t count, std::uint64_t in_flight, WaitFor wait,
               const std::function<Transaction()>& next) {
  std::atomic<std::uint64_t> answered = 0;
  for (std::uint64_t sent = 0; answered < count; Pass(kSubmitPause)) {
    for (; sent < count && sent - answered < in_flight; ++sent) {
      client.SubmitAsync(next(),
                         [&answered](const Result<Report>& report) {
                           if (!report.ok()) Die(report.status().ToString());
                           ++answered;
                         },
                         {.wait = wait, .timeout = kPatience});
    }
  }
}

}  // namespace assent::bench
