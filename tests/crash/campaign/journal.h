#pragma once

// What an initiator writes down, before it acts on it: one line each, appended with one write(2),
// so that a kill leaves whole lines. The supervisor reads the same files and knows what was
// promised to whom.
//
//   plan GID                                   begins a transaction (its branches follow)
//   branch GID ID BANK TOKENS DELTA ACTION     one of its branches; TOKENS: how many it leaves if
//                                              it commits (0 or 1)
//   ask GID HOW                                about to ask for it to be begun
//   none GID HOW CODE                          was told that this asking certainly began nothing
//   unknown GID HOW CODE                       was told nothing
//   told GID HOW OUTCOME                       was told the outcome
//   held GID HOW TEXT                          was told that it is held for a person: only behind a
//                                              log that has been put back
//   odd GID HOW TEXT                           was told something that can never be right

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <assent/transaction.h>

namespace assent::crash {

struct PlannedBranch {
  std::string id;
  int bank = 0;
  int tokens = 1;
  std::int64_t delta = 0;
  std::string action;
};

// Thread-safe: one write(2) per call to a file opened for appending.
class JournalWriter {
 public:
  explicit JournalWriter(const std::string& path);
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;
  void Write(const std::string& lines);

 private:
  int file_ = -1;
};
std::string PlanLine(const std::string& gid);
std::string BranchLine(const std::string& gid, const PlannedBranch& branch);
// kUndecided for a word that is no outcome.
Outcome OutcomeOf(const std::string& word);

// What is known of one transaction from the initiators' side.
struct Entry {
  std::string journal;  // the file it stands in
  std::vector<PlannedBranch> branches;
  long asked = 0;
  long none = 0;
  Outcome told = Outcome::kUndecided;
  std::string told_how;                 // of the first answer
  std::vector<std::string> complaints;  // answers that contradict one another, or are odd

  // Every asking was answered with "certainly not begun".
  bool NeverBegun() const { return asked > 0 && asked == none; }
};

class AnswerBook {
 public:
  void Follow(const std::string& journal);
  // Takes what was written since the last time. Whole lines only.
  void Read();

  const std::map<std::string, Entry>& entries() const { return entries_; }
  long answers() const { return answers_; }
  // Transactions by what was told first; kUndecided: nothing yet.
  std::map<Outcome, long> ByOutcome() const;
  // Of those without an outcome: certainly not begun, says every answer.
  long NeverBegun() const;
  const std::vector<std::string>& unreadable() const { return unreadable_; }

 private:
  void Take(const std::string& journal, const std::string& line);

  std::map<std::string, std::int64_t> offsets_;  // by file
  std::map<std::string, Entry> entries_;         // by gid
  std::vector<std::string> unreadable_;
  long answers_ = 0;
};

}  // namespace assent::crash
