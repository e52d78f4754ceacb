// An initiator as a process: threads that submit, open, stream and ask again, until SIGTERM (or
// kill -9). Every answer is in the journal before anything else is done with it.

#include "tests/crash/campaign/initiator.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <assent/client.h>
#include <assent/thread_safety.h>

namespace assent::crash {
namespace {

using std::chrono::milliseconds;

std::atomic<bool> stopping = false;
void OnSignal(int) { stopping = true; }

// Planted: the answers about one transaction of four are written down as their opposite, as if the
// coordinator had said so.
bool lies = false;

class Initiator {
 public:
  Initiator(std::vector<std::string> endpoints, const std::string& journal)
      : client_({.endpoints = std::move(endpoints),
                 .retry = {.give_up_after = milliseconds(400)},
                 .keepalive = milliseconds(2000)}),
        journal_(journal) {
    Remember(journal);
  }

  void SubmitMany(std::uint64_t seed) {
    Dice dice(seed);
    while (!stopping) {
      const Plan plan = Announce(DrawPlan(dice, false));
      // Some give up after one try, as initiators do that crash; the others insist on an answer.
      const int tries = dice() % 4 == 0 ? 1 : 10;
      const milliseconds timeout(300 + dice() % 2500);
      for (int i = 0; i < tries && !stopping; ++i) {
        if (Submit(plan, timeout, i == 0 ? "Submit" : "Submit-again")) break;
      }
      Keep(plan);
    }
  }

  void OpenMany(std::uint64_t seed) {
    Dice dice(seed);
    while (!stopping) {
      const Plan plan = Announce(DrawPlan(dice, true));
      const std::string& gid = plan.transaction.gid();
      Ask(gid, "Begin");
      auto open = client_.Begin(plan.transaction, {.timeout = milliseconds(1000)});
      if (!open.ok()) {
        Failed(gid, "Begin", open.status());
        continue;
      }
      const bool wanted = ExecuteAll(*open, plan) && dice() % 12 != 0;
      for (int i = 0; i < 5 && !stopping; ++i) {
        const bool known = KnownToHaveBeen(gid);
        const auto report =
            wanted ? open->Commit({.timeout = milliseconds(1000)})
                   : open->Rollback("changed my mind", {.timeout = milliseconds(1000)});
        if (report.ok()) {
          Told(*report, plan, wanted ? "Commit" : "Rollback");
          break;
        }
        Later(gid, wanted ? "Commit" : "Rollback", report.status(), known);
        if (report.status().code() == Code::kFailedPrecondition) break;  // ended by its deadline
      }
      Keep(plan);
    }
  }

  // Streams: several unanswered at once, on callbacks.
  void StreamMany(std::uint64_t seed) {
    Dice dice(seed);
    while (!stopping) {
      {
        const MutexLock lock(stream_mutex_);
        const auto until = std::chrono::steady_clock::now() + milliseconds(200);
        while (streaming_ >= kStreamingCount && stream_moved_.WaitUntil(stream_mutex_, until)) {
        }
        if (streaming_ >= kStreamingCount) continue;
        ++streaming_;
      }
      const Plan plan = Announce(DrawPlan(dice, false));
      Ask(plan.transaction.gid(), "SubmitAsync");
      client_.SubmitAsync(plan.transaction,
                          [this, plan](Result<Report> report) {
                            Heard(report, plan, "SubmitAsync");
                            const MutexLock lock(stream_mutex_);
                            --streaming_;
                            stream_moved_.NotifyAll();
                          },
                          {.timeout = milliseconds(500 + dice() % 3000)});
      Keep(plan);
    }
    const MutexLock lock(stream_mutex_);
    while (streaming_ > 0) stream_moved_.Wait(stream_mutex_);
  }

  // Asks again about what was asked before, by whatever means.
  void AskAgain(std::uint64_t seed) {
    Dice dice(seed);
    while (!stopping) {
      const std::optional<Plan> plan = Recall(dice);
      const std::string gid = plan ? plan->transaction.gid() : "";
      const bool whole = plan && !plan->transaction.branches().empty();
      const unsigned means = dice() % 3;
      if (gid.empty()) {
        const MutexLock lock(stream_mutex_);
        (void)stream_moved_.WaitFor(stream_mutex_, milliseconds(20));
      } else if (means == 0 && whole) {
        (void)Submit(*plan, milliseconds(1000), "Submit-later");
      } else if (means == 1) {
        const bool known = KnownToHaveBeen(gid);
        const auto report = client_.Wait(gid, {.timeout = milliseconds(1000)});
        if (report.ok()) {
          Told(*report, *plan, "Wait");
        } else {
          Later(gid, "Wait", report.status(), known);
        }
      } else {
        const bool known = KnownToHaveBeen(gid);
        const auto info = client_.Get(gid, {.timeout = milliseconds(1000)});
        if (info.ok()) {
          Told({.gid = gid, .outcome = info->outcome}, *plan, "Get");
        } else {
          Later(gid, "Get", info.status(), known);
        }
      }
    }
  }

 private:
  static constexpr int kStreamingCount = 8;
  static constexpr std::size_t kKeptCount = 400;

  Plan Announce(Plan plan) {
    std::string lines = PlanLine(plan.transaction.gid());
    for (const PlannedBranch& branch : plan.planned)
      lines += BranchLine(plan.transaction.gid(), branch);
    journal_.Write(lines);
    return plan;
  }
  void Ask(const std::string& gid, const char* how) {
    journal_.Write("ask " + gid + " " + how + "\n");
  }

  bool Submit(const Plan& plan, milliseconds timeout, const char* how) {
    Ask(plan.transaction.gid(), how);
    return Heard(client_.Submit(plan.transaction, {.timeout = timeout}), plan, how);
  }
  // True: an answer.
  bool Heard(const Result<Report>& report, const Plan& plan, const char* how) {
    if (!report.ok()) {
      Failed(plan.transaction.gid(), how, report.status());
      return false;
    }
    Told(*report, plan, how);
    return true;
  }

  bool ExecuteAll(OpenTransaction& open, const Plan& plan) {
    for (std::size_t i = 0; i < plan.branches.size(); ++i) {
      bool executed = false;
      for (int tries = 0; tries < 4 && !executed && !stopping; ++tries) {
        const bool known = KnownToHaveBeen(open.gid());
        const auto result = open.Execute(plan.branches[i], {.timeout = milliseconds(1000)});
        if (result.status().code() == Code::kAborted) {  // an answer like a refusal's: how it ends
          Write("told", open.gid(), "Execute", OutcomeName(Outcome::kAborted));
          return false;
        }
        if (!result.ok()) {
          Later(open.gid(), "Execute", result.status(), known);
          if (result.status().code() == Code::kFailedPrecondition) return false;
          continue;
        }
        if (result->refused) {
          Write("told", open.gid(), "Execute", OutcomeName(Outcome::kAborted));
          return false;
        }
        CheckResult(open.gid(), "Execute", plan.planned[i], result->result);
        executed = true;
      }
      if (!executed) return false;
    }
    return true;
  }

  void CheckResult(const std::string& gid, const char* how, const PlannedBranch& branch,
                   const std::string& result) {
    if (result != std::to_string(branch.delta))
      Write("odd", gid, how,
            "branch " + branch.id + " answered '" + result + "', and should say " +
                std::to_string(branch.delta));
  }

  void Told(const Report& report, const Plan& plan, const char* how) {
    const std::string& gid = plan.transaction.gid();
    if (report.outcome == Outcome::kUndecided) return Write("unknown", gid, how, "undecided");
    const bool lie = lies && std::hash<std::string>()(gid) % 4 == 0;
    const Outcome opposite = report.committed() ? Outcome::kAborted : Outcome::kCommitted;
    Write("told", gid, how, OutcomeName(lie ? opposite : report.outcome));
    {
      const MutexLock lock(kept_mutex_);
      told_.insert_or_assign(gid, true);
    }
    if (!report.committed() || report.results.empty()) return;
    for (const PlannedBranch& branch : plan.planned) {
      const auto result = report.results.find(branch.id);
      if (result != report.results.end()) CheckResult(gid, how, branch, result->second);
    }
  }

  // What was to begin a transaction gave no answer.
  void Failed(const std::string& gid, const char* how, const Status& status) {
    const Code code = status.code();
    const bool none = code == Code::kUnavailable || code == Code::kResourceExhausted;
    Write(none                            ? "none"
          : code == Code::kUnknownOutcome ? "unknown"
          : IsHeld(status)                ? "held"
                                          : "odd",
          gid, how, none ? std::string(CodeName(code)) : status.ToString());
  }
  // For a person, behind a log that lacks what became of it.
  static bool IsHeld(const Status& status) {
    return status.code() == Code::kFailedPrecondition &&
           status.message().find(" is held: ") != std::string::npos;
  }
  // What came after it gave none. `known`: it was told how this transaction ended before it asked.
  // What is told meanwhile, by an answer to somebody else, may be younger than a NOT_FOUND that is
  // still under way.
  void Later(const std::string& gid, const char* how, const Status& status, bool known) {
    bool odd = false;
    switch (status.code()) {
      case Code::kUnavailable:
      case Code::kUnknownOutcome:
      case Code::kDeadlineExceeded:
      case Code::kResourceExhausted:
      case Code::kFailedPrecondition: break;
      case Code::kNotFound: odd = known; break;
      case Code::kOk:
      case Code::kCancelled:
      case Code::kInvalidArgument:
      case Code::kAlreadyExists:
      case Code::kPermissionDenied:
      case Code::kUnauthenticated:
      case Code::kAborted:
      case Code::kOutOfRange:
      case Code::kUnimplemented:
      case Code::kInternal:
      case Code::kDataLoss:
      case Code::kElsewhere: odd = true;
    }
    Write(odd ? "odd" : "unknown", gid, how, status.ToString());
  }

  void Write(const char* verb, const std::string& gid, const char* how, std::string text) {
    for (char& c : text) c = c == '\n' ? ' ' : c;
    journal_.Write(std::string(verb) + " " + gid + " " + how + " " + text + "\n");
  }

  bool KnownToHaveBeen(const std::string& gid) {
    const MutexLock lock(kept_mutex_);
    return told_.count(gid) != 0;
  }
  void Keep(const Plan& plan) {
    const MutexLock lock(kept_mutex_);
    kept_.push_back(plan);
    if (kept_.size() <= kKeptCount) return;
    told_.erase(kept_.front().transaction.gid());
    kept_.pop_front();
  }
  std::optional<Plan> Recall(Dice& dice) {
    const MutexLock lock(kept_mutex_);
    if (kept_.empty()) return std::nullopt;
    return kept_[dice() % kept_.size()];
  }

  // What a former life asked for and was told, from the end of its journal.
  void Remember(const std::string& journal) {
    constexpr std::streamoff kTailBytes = 100'000;
    std::ifstream file(journal, std::ios::binary | std::ios::ate);
    file.seekg(std::max(std::streamoff(0), std::streamoff(file.tellg()) - kTailBytes));
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string verb;
      std::string gid;
      words >> verb >> gid;
      if (verb == "told") {
        const MutexLock lock(kept_mutex_);
        told_.insert_or_assign(gid, true);
      }
      if (verb != "plan") continue;
      Plan plan;
      plan.transaction.Gid(gid);
      Keep(plan);
    }
  }

  const Client client_;
  JournalWriter journal_;
  Mutex stream_mutex_;
  CondVar stream_moved_;
  int streaming_ ASSENT_GUARDED_BY(stream_mutex_) = 0;
  Mutex kept_mutex_;
  std::deque<Plan> kept_ ASSENT_GUARDED_BY(kept_mutex_);
  std::unordered_map<std::string, bool> told_ ASSENT_GUARDED_BY(kept_mutex_);  // of those kept
};

}  // namespace
}  // namespace assent::crash

// campaign-initiator ENDPOINT[,..] JOURNAL SEED [lie]
int main(int argc, char** argv) {
  using assent::crash::Initiator;
  if (argc != 4 && argc != 5) return 2;
  assent::crash::lies = argc == 5 && std::string(argv[4]) == "lie";
  std::signal(SIGTERM, assent::crash::OnSignal);
  const std::uint64_t seed = std::strtoull(argv[3], nullptr, 10);
  std::istringstream coordinators(argv[1]);
  std::vector<std::string> endpoints;
  for (std::string one; std::getline(coordinators, one, ',');) endpoints.push_back(one);
  Initiator initiator(std::move(endpoints), argv[2]);
  std::vector<std::thread> threads;
  for (const std::uint64_t i : {1, 2, 3})
    threads.emplace_back([&, i] { initiator.SubmitMany(seed * 16 + i); });
  for (const std::uint64_t i : {4, 5})
    threads.emplace_back([&, i] { initiator.OpenMany(seed * 16 + i); });
  threads.emplace_back([&] { initiator.StreamMany(seed * 16 + 6); });
  threads.emplace_back([&] { initiator.AskAgain(seed * 16 + 7); });
  for (std::thread& thread : threads) thread.join();
  return 0;
}
