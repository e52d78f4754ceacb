#pragma once

// A tiny world around one transaction, drawn from a seed: participants that keep the contract of
// participant.proto (a barrier row per branch), a network that loses, repeats and delays, a log
// that becomes durable when it pleases, crashes, and people. Everything is checked all the time.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <assent/random.h>

#include "coordinator/core/transaction.h"

namespace assent::core::testing {

class Draw : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  // 0 <= result < n.
  std::size_t Below(std::size_t n) { return static_cast<std::size_t>(Next() % n); }
  bool Percent(unsigned percent) { return Next() % 100 < percent; }
};

// Mistakes that a shell or a participant could make: the world must notice each.
enum class Plant {
  kNone,
  kSendBeforeDurable,   // effects leave at once
  kForgetRecord,        // the log drops a gating record it had called durable
  kNoTombstone,         // an undo without a forward operation leaves nothing behind
  kRefusalForgotten,    // the barrier row goes with the first refusal
  kUnknownIsRefused,    // a lost connection is reported as a no
  kUnknownIsNotSent,    // a lost connection is reported as certainly not sent
  kFinishWithoutAsking  // a COMMIT or CONFIRM is answered done, and nothing is done
};

struct Tally {
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t never_began = 0;
  std::uint64_t crashes = 0;
  std::uint64_t one_phase_asked = 0;
  std::uint64_t pivots = 0;
  std::uint64_t compensated = 0;
  std::uint64_t read_only = 0;
  std::uint64_t suspended = 0;
  std::uint64_t resolved = 0;
  std::uint64_t events = 0;
};

class World {
 public:
  // `trace`: print what happens.
  World(std::uint64_t seed, Plant plant, Tally& tally, bool trace = false);

  // Lives through `steps` random ones, heals, and drives the transaction to its end. The first
  // broken rule, or nothing.
  std::string Live(int steps);

 private:
  enum class Row { kNothing, kExecuted, kReadOnly, kRefused, kFinished, kUndone, kTombstone };
  struct Participant {
    Row row = Row::kNothing;
    bool one_phase = false;
  };
  struct Command {
    Send send;
    bool arrived = false;  // at least once
  };
  struct Waiting {  // effects, until that many records are durable
    std::size_t needs = 0;
    Decision decision = Decision::kNone;
    std::vector<Effect> effects;
  };

  void DrawSpec();
  BranchSpec DrawBranch(std::size_t i);
  void Apply(const Event& event);
  void ReleaseEffects();
  void Perform(const Send& send);
  void RandomStep();
  void People();
  void ResolveByHand();
  void Crash();
  void PassTime(Micros time);
  void DeliverCommand(bool healthy);
  void DeliverReply(bool healthy);
  void LoseCommand();
  AttemptResult Handle(const Send& command, bool healthy);
  AttemptResult HandleForward(const Send& command, bool healthy);
  AttemptResult HandleUndo(const Send& command);
  void CheckForwardEffect(BranchIndex i);
  void CheckUndoEffect(BranchIndex i);
  void CheckAtomicity();
  void CheckEnd();
  void Heal();
  void Break(const std::string& rule);
  void Note(const std::string& line) const;
  std::string StateLine() const;
  bool MayRefuse(BranchIndex i) const;
  // Whether `later` comes after `earlier`, directly or through others.
  bool Follows(BranchIndex later, BranchIndex earlier) const;

  Draw draw_;
  Plant plant_;
  Tally& tally_;
  bool trace_;
  std::string broken_;

  std::unique_ptr<Transaction> transaction_;
  std::string spec_bytes_;
  Now now_;
  std::vector<std::string> log_;
  std::size_t durable_ = 0;
  std::size_t last_gate_ = 0;
  std::vector<Waiting> waiting_;
  std::vector<Command> commands_;
  std::vector<Answered> replies_;
  std::vector<Participant> participants_;
  Decision told_ = Decision::kNone;
  bool undo_was_sent_ = false;
  bool gone_ = false;  // nothing of it was durable when the coordinator died
};

}  // namespace assent::core::testing
