#include "tests/contract/initiator/trial.h"

#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "tests/contract/limits.h"
#include "tests/contract/subject.h"
#include "tests/contract/work.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

constexpr int kNoSuchCall = 77;

std::string Joined(const std::set<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " or ") + word;
  return all;
}

}  // namespace

Trial::~Trial() { cluster_.reset(); }

std::string Trial::Gid(std::set<std::string> conclusions) {
  std::string gid = NewName(rule_);
  book_.Expect(gid);
  gids_.emplace_back(gid, std::move(conclusions));
  return gid;
}

bool Trial::Listen(std::size_t members) {
  cluster_ = std::make_unique<ScriptedCluster>(options_.listen, members, script, book_);
  for (std::size_t i = 0; i < members; ++i) {
    const Status started = cluster_->Start(i);
    if (!findings_.Expect(started.ok(), "the scripted coordinator listens", started.ToString()))
      return false;
  }
  return true;
}

bool Trial::WaitFor(const std::function<bool()>& condition) {
  return test::WaitUntil(condition, options_.patience);
}

void Trial::Run(const std::function<void()>& meanwhile) {
  std::string gids;
  for (const auto& [gid, conclusions] : gids_) gids += (gids.empty() ? "" : ",") + gid;
  Subject subject(options_.start,
                  {{"ASSENT_ENDPOINT", cluster_->endpoints()},
                   {"ASSENT_CONTRACT_GIDS", gids},
                   {"ASSENT_CONTRACT_CALL", call},
                   {"ASSENT_CONTRACT_GIVE_UP_MS", std::to_string(give_up.count())}},
                  options_.output_file);
  const Status started = subject.Start();
  if (!findings_.Expect(started.ok(), "the command can be started", started.ToString())) return;
  if (meanwhile) meanwhile();
  const std::optional<int> code = subject.WaitForExit(2 * give_up + options_.patience);
  if (code == kNoSuchCall) return findings_.DoesNotApply("the command has no call " + call);
  const std::string output = subject.Output();
  findings_.Expect(code == 0, "the command ends with exit code 0",
                   (code ? "exit code " + std::to_string(*code) : "it runs") +
                       ", and wrote: " + Printable(output));
  Look(output);
  for (const Fault& fault : book_.TakeFaults()) findings_.Expect(false, fault.expected, fault.seen);
}

void Trial::Look(const std::string& output) {
  std::map<std::string, std::vector<std::string>> concluded;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("gid") || !json["gid"].is_string()) continue;
    const auto conclusion = json.find("conclusion");
    concluded[json["gid"].get<std::string>()].push_back(
        conclusion != json.end() && conclusion->is_string() ? conclusion->get<std::string>()
                                                            : json.dump());
  }
  for (const auto& [gid, allowed] : gids_) {
    const std::vector<std::string> said = concluded[gid];
    if (!findings_.Expect(said.size() == 1, "one line about " + gid,
                          std::to_string(said.size()) + " lines"))
      continue;
    findings_.Expect(allowed.count(said.front()) != 0, gid + ": " + Joined(allowed), said.front());
    const v1::Outcome outcome = book_.OutcomeOf(gid);
    const std::string truth = outcome == v1::COMMITTED ? "committed"
                              : outcome == v1::ABORTED ? "aborted"
                                                       : "no outcome";
    if (said.front() == "committed" || said.front() == "aborted") {
      findings_.Expect(said.front() == truth, gid + ": what the coordinator has done: " + truth,
                       said.front());
    }
    if (said.front() == "not-begun") {
      findings_.Expect(!book_.Begun(gid), gid + ": it was begun", said.front());
    }
  }
}

}  // namespace assent::contract
