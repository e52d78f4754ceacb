#include "tests/crash/campaign/journal.h"

#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <assent/status.h>

namespace assent::crash {

JournalWriter::JournalWriter(const std::string& path)
    : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  ASSENT_CHECK(file_ >= 0);
  Write("\n");  // ends what a former life may have left half-written
}

JournalWriter::~JournalWriter() { close(file_); }

void JournalWriter::Write(const std::string& lines) {
  ASSENT_CHECK(write(file_, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
}

std::string PlanLine(const std::string& gid) { return "plan " + gid + "\n"; }

std::string BranchLine(const std::string& gid, const PlannedBranch& branch) {
  return "branch " + gid + " " + branch.id + " " + std::to_string(branch.bank) + " " +
         std::to_string(branch.tokens) + " " + std::to_string(branch.delta) + " " + branch.action +
         "\n";
}

Outcome OutcomeOf(const std::string& word) {
  for (const Outcome outcome :
       {Outcome::kCommitted, Outcome::kAborted, Outcome::kMixed, Outcome::kHazard}) {
    if (word == OutcomeName(outcome)) return outcome;
  }
  return Outcome::kUndecided;
}

void AnswerBook::Follow(const std::string& journal) { offsets_.emplace(journal, 0); }

void AnswerBook::Read() {
  for (auto& [journal, offset] : offsets_) {
    std::ifstream file(journal, std::ios::binary);
    if (!file) continue;  // not written yet
    file.seekg(offset);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::size_t end = text.rfind('\n');
    if (end == std::string::npos) continue;
    text.resize(end + 1);
    offset += static_cast<std::int64_t>(text.size());
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) Take(journal, line);
    }
  }
}

void AnswerBook::Take(const std::string& journal, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  std::string gid;
  std::string how;
  words >> verb >> gid;
  Entry& entry = entries_[gid];
  if (entry.journal.empty()) entry.journal = journal;
  if (verb == "plan") return;
  if (verb == "branch") {
    PlannedBranch branch;
    words >> branch.id >> branch.bank >> branch.tokens >> branch.delta >> branch.action;
    if (!words) return unreadable_.push_back(journal + ": " + line);
    entry.branches.push_back(branch);
    return;
  }
  words >> how;
  std::string rest;
  std::getline(words >> std::ws, rest);
  if (verb == "ask") {
    ++entry.asked;
  } else if (verb == "none") {
    ++entry.none;
  } else if (verb == "odd" || verb == "held") {
    entry.complaints.push_back("the answer to " + how + " can never be right: " + rest);
  } else if (verb == "told") {
    ++answers_;
    const Outcome outcome = OutcomeOf(rest);
    if (outcome == Outcome::kUndecided) return unreadable_.push_back(journal + ": " + line);
    if (entry.told == Outcome::kUndecided) {
      entry.told = outcome;
      entry.told_how = how;
    } else if (entry.told != outcome) {
      entry.complaints.push_back(std::string("was told ") + OutcomeName(entry.told) + " by " +
                                 entry.told_how + ", and later " + rest + " by " + how);
    }
  } else if (verb != "unknown") {
    unreadable_.push_back(journal + ": " + line);
  }
}

std::map<Outcome, long> AnswerBook::ByOutcome() const {
  std::map<Outcome, long> counts;
  for (const auto& [gid, entry] : entries_) ++counts[entry.told];
  return counts;
}

long AnswerBook::NeverBegun() const {
  long count = 0;
  for (const auto& [gid, entry] : entries_) count += entry.NeverBegun() ? 1 : 0;
  return count;
}

}  // namespace assent::crash
