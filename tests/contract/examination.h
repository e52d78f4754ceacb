#pragma once

// What a rule works with: the participant, however it is reached; questions asked until they have
// an answer; the ledger; killing and starting again. One thread.

#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/peer.h"
#include "tests/contract/subject.h"
#include "tests/contract/verdict.h"
#include "tests/contract/work.h"

namespace assent::contract {

struct Ledger {
  std::int64_t balance = 0;
  std::int64_t held = 0;
  friend bool operator==(const Ledger&, const Ledger&) = default;
};

class Examination {
 public:
  Examination(Subject& subject, Peer& peer, std::chrono::milliseconds patience)
      : subject_(subject), peer_(peer), patience_(patience) {}

  // Before each rule. False: it cannot be reached, `findings` says so.
  bool Begin(Findings& findings, const std::string& rule);

  Findings& findings() { return *findings_; }
  Peer& peer() { return peer_; }
  Subject& subject() { return subject_; }
  std::chrono::milliseconds patience() const { return patience_; }
  // Which of the protocols `add` is there for; set by the runner.
  std::vector<v1::Protocol> protocols;
  bool Offers(v1::Protocol protocol) const;

  // A gid or an account that was never used before.
  std::string Name() { return NewName(rule_); }
  Work NewAdd(v1::Protocol protocol, std::int64_t amount, const AddOptions& options = {});

  bool Expect(bool holds, std::string_view expected, std::string_view seen) {
    return findings_->Expect(holds, expected, seen);
  }

  // As a coordinator: again and again until the answer is final (DONE, DONE_READ_ONLY, REFUSED), or
  // patience is over: then the last answer.
  Answer Ask(const Work& work, v1::Operation operation);
  // Once. Waits until the participant answers, at most for patience.
  Answer AskOnce(const Work& work, v1::Operation operation);
  std::future<Answer> Send(const Work& work, v1::Operation operation);
  Answer Take(std::future<Answer>& answer) { return Take(answer, patience_); }
  Answer Take(std::future<Answer>& answer, std::chrono::milliseconds timeout);

  // Asks, and expects this kind; the answer.
  Answer Done(const Work& work, v1::Operation operation);
  Answer Refused(const Work& work, v1::Operation operation, const std::string& because);
  // Anything but DONE: asked once.
  void NotDone(const Work& work, v1::Operation operation, const std::string& because);
  // Asks again, and expects the same bytes as in `first`.
  void SameAgain(const Work& work, v1::Operation operation, const Answer& first);

  // The ledger of an account, read by a transaction of its own. Nothing: it could not be read, and
  // a fault says so.
  std::optional<Ledger> Read(const std::string& account);
  // Expects it to be that; `when`: "after CONFIRM", …
  bool LedgerIs(const std::string& account, Ledger expected, const std::string& when);

  // kill -9, and again until it can be reached. False: a fault says so.
  bool KillAndRestart();
  void Kill();
  bool Restart();
  bool Reachable();

 private:
  Subject& subject_;
  Peer& peer_;
  const std::chrono::milliseconds patience_;
  Findings* findings_ = nullptr;
  std::string rule_;
};

std::string Shown(const std::optional<Ledger>& ledger);
// "TRY of contract/add"
std::string Shown(const Work& work, v1::Operation operation);
bool IsKind(const Answer& answer, v1::BranchReply::Kind kind);
bool IsDone(const Answer& answer);  // DONE or DONE_READ_ONLY

}  // namespace assent::contract
