#include "tests/core/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <variant>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "tests/core/checker.h"

namespace assent::core::testing {

World::World(std::uint64_t seed, Plant plant, Tally& tally, bool trace)
    : draw_(seed), plant_(plant), tally_(tally), trace_(trace) {
  now_.mono = MonoTime(std::chrono::hours(1));
  now_.wall = WallTime(Millis(1'700'000'000'000));
  DrawSpec();
}

void World::Note(const std::string& line) const {
  if (trace_)
    std::printf("%8.3f %s\n", (now_.mono.time_since_epoch().count() - 3.6e9) / 1e6, line.c_str());
}

std::string World::StateLine() const {
  std::string line = std::string(Name(transaction_->phase())) +
                     (transaction_->sealed() ? "" : " open") +
                     (transaction_->suspended() ? " suspended" : "");
  for (BranchIndex i = 0; i < transaction_->branches().size(); ++i) {
    const BranchSpec& spec = transaction_->spec().branches[i];
    line += " " + spec.id + (spec.pivot ? "!" : "") + "=" +
            std::string(Name(transaction_->branches()[i].state));
  }
  return line + "; " + std::to_string(durable_) + " of " + std::to_string(log_.size()) + " durable";
}

void World::Break(const std::string& rule) {
  Note("BROKEN " + rule);
  if (broken_.empty()) broken_ = rule;
}

BranchSpec World::DrawBranch(std::size_t i) {
  BranchSpec branch;
  branch.id = std::string(1, static_cast<char>('a' + i));
  branch.protocol = kProtocols[draw_.Below(kProtocols.size())].protocol;
  branch.service = draw_.Percent(50) ? "inventory" : "payment";
  branch.action = "act";
  branch.retry.max_attempts = static_cast<std::uint32_t>(draw_.Below(4));
  branch.attempt_timeout = Millis(1 + draw_.Below(3000));
  for (std::size_t j = 0; j < i; ++j) {
    if (draw_.Percent(25)) branch.after_ids.emplace_back(1, static_cast<char>('a' + j));
  }
  return branch;
}

void World::DrawSpec() {
  for (;;) {
    TransactionSpec spec;
    spec.gid = "g";
    spec.open = draw_.Percent(20);
    spec.ordering = static_cast<Ordering>(draw_.Below(3));
    spec.deadline = Millis(1 + draw_.Below(10'000));
    const std::size_t branches = spec.open ? 0 : 1 + draw_.Below(5);
    for (std::size_t i = 0; i < branches; ++i) spec.branches.push_back(DrawBranch(i));
    for (BranchSpec& branch : spec.branches) {
      if (branch.protocol == Protocol::kSaga && draw_.Percent(30)) branch.pivot = true;
    }
    if (!Normalise(spec).ok()) continue;
    participants_.resize(spec.branches.size());
    for (const BranchSpec& branch : spec.branches) {
      std::string line = branch.id + " " + std::string(Name(branch.protocol)) + " after";
      for (const BranchIndex a : branch.after) line += " " + spec.branches[a].id;
      Note(line);
    }
    transaction_ = std::make_unique<Transaction>(std::move(spec));
    spec_bytes_ = Codec::EncodeSpec(*transaction_);
    return;
  }
}

// ---- The shell ----------------------------------------------------------------------------------

void World::Apply(const Event& event) {
  ++tally_.events;
  const Transaction before = *transaction_;
  now_.entropy = draw_.Next();
  Step step = transaction_->Apply(event, now_);
  const std::string broken = BrokenByStep(before, event, step, *transaction_, now_);
  if (!broken.empty()) Break(broken);
  participants_.resize(transaction_->branches().size());
  if (step.record != Record::kNone) {
    log_.push_back(Codec::EncodeState(*transaction_));
    if (step.gating) last_gate_ = log_.size();
  }
  Note("event " + std::to_string(event.index()) + " -> " + StateLine());
  waiting_.push_back({last_gate_, transaction_->decision(), std::move(step.effects)});
  ReleaseEffects();
}

void World::ReleaseEffects() {
  while (!waiting_.empty() && broken_.empty() &&
         (waiting_.front().needs <= durable_ || plant_ == Plant::kSendBeforeDurable)) {
    const Waiting ready = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    for (const Effect& effect : ready.effects) {
      if (const auto* send = std::get_if<Send>(&effect)) {
        Perform(*send);
      } else if (std::get<Announce>(effect).milestone == Milestone::kDecided) {
        if (told_ != Decision::kNone && told_ != ready.decision) Break("S4: told two decisions");
        told_ = ready.decision;
      }
    }
  }
}

void World::Perform(const Send& send) {
  const ProtocolRules& rules = Rules(transaction_->spec().branches[send.branch].protocol);
  if (send.operation == rules.undo) {
    undo_was_sent_ = true;
    if (send.attempt == 1 && transaction_->phase() == Phase::kActive) ++tally_.one_phase_asked;
  }
  if (send.operation == rules.forward && undo_was_sent_)
    Break("G3: a forward operation was sent after an undoing one");
  Note("send " + transaction_->spec().branches[send.branch].id + " " +
       std::string(Name(send.operation)) + " #" + std::to_string(send.attempt));
  commands_.push_back({send});
}

void World::PassTime(Micros time) {
  now_.mono += time;
  now_.wall += std::chrono::duration_cast<Millis>(time);
}

void World::Crash() {
  ++tally_.crashes;
  // What was durable survives, and of what was on its way to the disk some first part.
  std::size_t survives = durable_ + draw_.Below(log_.size() - durable_ + 1);
  if (plant_ == Plant::kForgetRecord && survives > 1) --survives;
  log_.resize(survives);
  durable_ = last_gate_ = survives;
  waiting_.clear();
  // What the shell itself says of an attempt dies with it; what participants say may still come.
  std::erase_if(replies_, [](const Answered& reply) {
    return reply.result == AttemptResult::kUnknown || reply.result == AttemptResult::kNotSent;
  });
  if (survives == 0) {
    gone_ = true;
    return;
  }
  Result<Transaction> restored = Codec::Decode("g", spec_bytes_, log_.back());
  if (!restored.ok()) return Break(restored.status().ToString());
  Note("crash");
  *transaction_ = std::move(restored).value();
  for (std::size_t i = transaction_->branches().size(); i < participants_.size(); ++i) {
    if (participants_[i].row != Row::kNothing) Break("S8: a branch that was asked is gone");
  }
  participants_.resize(transaction_->branches().size());
  if (told_ != Decision::kNone && transaction_->decision() != told_ && !transaction_->finished())
    Break("S6: a restart does not remember what was told");
  if (draw_.Percent(20)) now_.wall += Millis(draw_.Below(20'000'000)) - Millis(10'000'000);
  if (!transaction_->finished()) Apply(Recover{});
}

// ---- The network --------------------------------------------------------------------------------

void World::DeliverCommand(bool healthy) {
  if (commands_.empty()) return;
  const std::size_t at = draw_.Below(commands_.size());
  commands_[at].arrived = true;
  const Send command = commands_[at].send;
  if (healthy || !draw_.Percent(15)) {  // or it comes once more
    commands_.erase(commands_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  const AttemptResult result = Handle(command, healthy);
  Note("participant " + std::to_string(command.branch) + " " +
       std::string(Name(command.operation)) + " #" + std::to_string(command.attempt) + " " +
       std::string(Name(result)));
  Answered reply{command.branch, command.operation, command.attempt, result, {}, {}, Millis(0)};
  if (result == AttemptResult::kRefused) reply.reason = "no";
  if (healthy || draw_.Percent(80)) replies_.push_back(std::move(reply));
}

void World::DeliverReply(bool healthy) {
  if (replies_.empty()) return;
  const std::size_t at = draw_.Below(replies_.size());
  const Answered reply = replies_[at];
  const bool by_participant =
      reply.result != AttemptResult::kUnknown && reply.result != AttemptResult::kNotSent;
  if (healthy || !by_participant || !draw_.Percent(15))
    replies_.erase(replies_.begin() + static_cast<std::ptrdiff_t>(at));
  Note("reply of " + std::to_string(reply.branch) + " to " + std::string(Name(reply.operation)) +
       " #" + std::to_string(reply.attempt) + " " + std::string(Name(reply.result)));
  if (!gone_ && !transaction_->finished()) Apply(reply);
}

// The connection breaks: the command is lost, or may still come; the shell knows no more than that,
// unless it was not sent at all.
void World::LoseCommand() {
  if (commands_.empty()) return;
  const std::size_t at = draw_.Below(commands_.size());
  const Send lost = commands_[at].send;
  Answered report{lost.branch, lost.operation, lost.attempt, AttemptResult::kUnknown,
                  {},          "reset",        Millis(0)};
  // Only of what has just been sent can it be known that it was not.
  const bool in_this_life = transaction_->branches().size() > lost.branch &&
                            transaction_->branches()[lost.branch].in_flight &&
                            transaction_->branches()[lost.branch].attempts == lost.attempt &&
                            transaction_->Due(lost.branch) == lost.operation;
  const bool surely =
      at + 1 == commands_.size() && !commands_[at].arrived && in_this_life && draw_.Percent(40);
  const bool arrives = !surely && draw_.Percent(50);
  if (surely) report.result = AttemptResult::kNotSent;
  report.service_absent = surely && draw_.Percent(50);
  if (plant_ == Plant::kUnknownIsRefused) report.result = AttemptResult::kRefused;
  if (plant_ == Plant::kUnknownIsNotSent) report.result = AttemptResult::kNotSent;
  if (!arrives) commands_.erase(commands_.begin() + static_cast<std::ptrdiff_t>(at));
  replies_.push_back(std::move(report));
}

// ---- One life -----------------------------------------------------------------------------------

void World::People() {
  const Actor ann{"ann", "because"};
  switch (draw_.Below(7)) {
    case 0: ++tally_.suspended; return Apply(Suspend{ann});
    case 1:
    case 2: return Apply(Resume{ann});
    case 3: return Apply(RetryNow{ann});
    case 4: return Apply(ServiceAppeared{draw_.Percent(50) ? "inventory" : "payment"});
    case 5: return ResolveByHand();
    default:
      if (draw_.Percent(30)) Apply(Abort{ann, draw_.Percent(50)});
  }
}

void World::RandomStep() {
  switch (draw_.Below(12)) {
    case 0:
    case 1:
    case 2: return DeliverCommand(false);
    case 3:
    case 4:
    case 5: return DeliverReply(false);
    case 6:
    case 7: durable_ += draw_.Below(log_.size() - durable_ + 1); return ReleaseEffects();
    case 8: return LoseCommand();
    case 9:
      PassTime(Micros(draw_.Below(1'500'000)));
      if (transaction_->Wakeup() <= now_.mono) Apply(Tick{});
      return;
    case 10:
      if (!transaction_->sealed() && draw_.Percent(80)) {
        BranchSpec branch = DrawBranch(transaction_->branches().size());
        if (draw_.Percent(25) || transaction_->branches().size() == 6) return Apply(Seal{});
        if (NormaliseAdded(branch, *transaction_).ok()) Apply(AddBranch{std::move(branch)});
        return;
      }
      return draw_.Percent(30) ? People() : void();
    default:
      if (draw_.Percent(durable_ == 0 ? 4 : 20)) Crash();
  }
}

// Faults stop: everything sent arrives, participants answer, people let go.
void World::Heal() {
  for (int round = 0; round < 2000 && broken_.empty(); ++round) {
    durable_ = log_.size();
    ReleaseEffects();
    while ((!commands_.empty() || !replies_.empty()) && broken_.empty()) {
      DeliverCommand(true);
      DeliverReply(true);
      durable_ = log_.size();
      ReleaseEffects();
    }
    if (gone_ || transaction_->finished()) return;
    for (const char* service : {"inventory", "payment"}) Apply(ServiceAppeared{service});
    if (transaction_->suspended()) {
      Apply(Resume{});
    } else if (!transaction_->sealed() && transaction_->phase() == Phase::kActive) {
      Apply(Seal{});
    } else {
      const MonoTime wakeup = transaction_->Wakeup();
      if (wakeup != kNever) PassTime(std::max<Micros>(wakeup - now_.mono, Micros(0)));
      Apply(Tick{});
    }
  }
  Break("L1: it does not end although everything works");
}

std::string World::Live(int steps) {
  Apply(Begin{});
  for (int i = 0; i < steps && !gone_ && !transaction_->finished() && broken_.empty(); ++i)
    RandomStep();
  // Once more through a restart, so that what is healed has been through the codec.
  if (draw_.Percent(50) && durable_ > 0 && broken_.empty()) Crash();
  Heal();
  if (broken_.empty()) CheckEnd();
  return broken_;
}

}  // namespace assent::core::testing
