// The initiator of docs/contract.md on the SDK: one transaction for each gid it is given, asked for
// until something is known, and a line about what that is.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>

#include "tests/contract/samples/payload.h"

namespace {

using assent::Code;
using assent::Report;
using assent::Result;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kOneCall{500};
constexpr std::chrono::seconds kDeadline{20};

std::string Payload(const std::string& gid) { return assent::contract::samples::AddJson(gid, 1); }

assent::Transaction Ordered(const std::string& gid) {
  assent::Transaction transaction;
  transaction.Gid(gid).Saga("contract", "add", Payload(gid)).Deadline(kDeadline);
  return transaction;
}

// Whether nothing is known, and the same may be asked again.
bool AskAgain(const assent::Status& status) {
  constexpr Code kNothing[] = {Code::kUnknownOutcome, Code::kUnavailable, Code::kResourceExhausted,
                               Code::kDeadlineExceeded, Code::kNotFound};
  return std::find(std::begin(kNothing), std::end(kNothing), status.code()) != std::end(kNothing);
}

// "not-begun" is right only if nothing that was asked before may have been done.
std::string ConclusionOf(const Result<Report>& report, bool maybe_begun) {
  if (report.ok()) {
    if (report->committed()) return "committed";
    return report->aborted() ? "aborted" : "unknown";
  }
  if (report.status().code() == Code::kAborted) return "aborted";
  if (!AskAgain(report.status())) return "failed";
  return maybe_begun ? "unknown" : "not-begun";
}

void Say(const std::string& gid, const Result<Report>& report, bool maybe_begun) {
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  const std::string detail = report.ok() ? report->abort_reason : report.status().ToString();
  const nlohmann::ordered_json line{
      {"gid", gid}, {"conclusion", ConclusionOf(report, maybe_begun)}, {"detail", detail}};
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

// Asks until something is known or the time is over.
template <typename Ask>
void AskAndSay(const std::string& gid, Clock::time_point end, const Ask& ask) {
  bool maybe_begun = false;
  for (;;) {
    const Result<Report> report = ask();
    maybe_begun = maybe_begun || (!report.ok() && report.status().code() != Code::kUnavailable &&
                                  report.status().code() != Code::kResourceExhausted);
    const bool again = !report.ok() && AskAgain(report.status()) && Clock::now() < end;
    if (!again) return Say(gid, report, maybe_begun);
  }
}

Result<Report> Interactive(const assent::Client& client, const std::string& gid,
                           Clock::time_point end) {
  const auto repeat = [&](const auto& ask) {
    auto answer = ask();
    while (!answer.ok() && AskAgain(answer.status()) && Clock::now() < end) answer = ask();
    return answer;
  };
  assent::Transaction transaction;
  transaction.Gid(gid).Deadline(kDeadline);
  auto open = repeat([&] { return client.Begin(transaction); });
  if (!open.ok()) return open.status();
  const assent::Branch branch{
      assent::Protocol::kSaga, "contract", "add", Payload(gid), {.id = "1"}};
  const auto executed = repeat([&] { return open->Execute(branch); });
  if (!executed.ok()) return executed.status();
  return repeat([&] { return open->Commit(); });
}

// All at once, each asked again by itself.
void Stream(const assent::Client& client, const std::vector<std::string>& gids,
            Clock::time_point end) {
  for (const std::string& gid : gids) {
    AskAndSay(gid, end, [&] {
      std::mutex mutex;
      std::condition_variable answered;
      std::optional<Result<Report>> report;
      client.SubmitAsync(Ordered(gid), [&](Result<Report> done) {
        const std::scoped_lock lock(mutex);
        report = std::move(done);
        answered.notify_all();
      });
      std::unique_lock lock(mutex);
      answered.wait(lock, [&] { return report.has_value(); });
      return *report;
    });
  }
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

}  // namespace

int main() {
  using assent::contract::samples::Env;
  const std::vector<std::string> gids = Split(Env("ASSENT_CONTRACT_GIDS", ""));
  const std::string call = Env("ASSENT_CONTRACT_CALL", "submit");
  const auto end = Clock::now() + std::chrono::milliseconds(
                                      std::stoll(Env("ASSENT_CONTRACT_GIVE_UP_MS", "10000")));
  assent::ClientOptions options;
  options.call_timeout = kOneCall;
  const assent::Client client(options);
  if (call == "stream") {
    Stream(client, gids, end);
  } else {
    std::vector<std::thread> threads;
    for (const std::string& gid : gids) {
      threads.emplace_back([&, gid] {
        AskAndSay(gid, end, [&] {
          return call == "interactive" ? Interactive(client, gid, end)
                                       : client.Submit(Ordered(gid));
        });
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  return 0;
}
