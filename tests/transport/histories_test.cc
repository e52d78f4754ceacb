// Random histories of a dispatcher, against what whoever sends may rely on: each command has one
// end, in its time, and what is said of it is what can be known.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"
#include "tools/assent-sim/dice.h"

namespace assent::transport {
namespace {

constexpr int kHistories = 300;
constexpr int kSteps = 400;

class History {
 public:
  explicit History(std::uint64_t seed) : dice_(seed), rig_(Limits()) {}

  void Live() {
    for (int i = 0; i < kSteps && !::testing::Test::HasFailure(); ++i) Step();
    while (!sessions_.empty()) Leave(*sessions_.begin());
    EXPECT_EQ(rig_.dispatcher.held_bytes(), 0U);
    EXPECT_EQ(rig_.dispatcher.session_count(), 0U);
    for (const auto& [key, fate] : fates_)
      EXPECT_TRUE(fate.settled || fate.expires_at <= rig_.now) << key.first << " has no end";
  }

 private:
  using Key = std::pair<std::string, std::uint32_t>;  // gid, attempt
  struct Fate {
    core::MonoTime expires_at{};
    InstanceId out_on = 0;  // 0: it waits
    std::uint64_t command_id = 0;
    bool settled = false;
  };

  static DispatcherLimits Limits() {
    DispatcherLimits limits;
    limits.max_queued_count = 12;
    limits.max_outbox_count = 3;
    limits.max_held_bytes = 8'000;
    return limits;
  }

  void Step() {
    switch (dice_.Below(8)) {
      case 0:
        if (sessions_.size() < 4) Come();
        return;
      case 1:
        if (dice_.Chance(200) && !sessions_.empty()) Leave(Any());
        return;
      case 2: return Pass();
      case 3:
      case 4: return Take();
      case 5: return Answer();
      default: return Send();
    }
  }

  InstanceId Any() {
    return *std::next(sessions_.begin(),
                      static_cast<std::ptrdiff_t>(dice_.Below(sessions_.size())));
  }

  void Come() {
    const InstanceId id = ++last_session_;
    ASSERT_TRUE(
        rig_.Attach(id, Rig::Hello("s", 1 + static_cast<std::uint32_t>(dice_.Below(4)))).ok());
    sessions_.insert(id);
    Hear(rig_.Replies());
  }

  void Leave(InstanceId id) {
    sessions_.erase(id);
    Hear(rig_.Detach(id), id);
    for (const auto& [key, fate] : fates_) {
      if (fate.settled || fate.out_on != id) continue;
      EXPECT_LE(fate.expires_at, rig_.now) << key.first << ": out on a session that is gone";
    }
  }

  void Pass() {
    const core::Millis time(dice_.Below(40));
    if (dice_.Chance(500)) {  // and nobody looks
      rig_.now += time;
      return;
    }
    Hear(rig_.Pass(time));
    for (const auto& [key, fate] : fates_) {
      if (fate.settled || fate.out_on != 0) continue;
      EXPECT_GT(fate.expires_at, rig_.now) << key.first << " waits longer than its time";
    }
  }

  void Send() {
    std::vector<Command> commands;
    for (std::uint64_t n = 1 + dice_.Below(4); n > 0; --n) {
      const std::string gid = "g" + std::to_string(dice_.Below(40));
      Command command = Rig::Try(gid);
      command.attempt = ++attempts_[gid];
      command.timeout = core::Millis(20 * (1 + dice_.Below(3)));  // several are due at one moment
      command.payload = std::string(dice_.Below(800), 'x');
      fates_[{gid, command.attempt}].expires_at = rig_.now + command.timeout;
      commands.push_back(std::move(command));
    }
    Hear(rig_.Send(std::move(commands)));
  }

  void Take() {
    if (sessions_.empty()) return;
    const InstanceId id = Any();
    for (const Dispatcher::Outgoing& out : rig_.Take(id, 1 + dice_.Below(4), 2'000)) {
      Fate& fate = fates_.at({out.command.gid, out.command.attempt});
      EXPECT_FALSE(fate.settled) << out.command.gid << " had its end, and leaves";
      EXPECT_EQ(fate.out_on, 0U) << out.command.gid << " leaves twice";
      EXPECT_GT(fate.expires_at, rig_.now) << out.command.gid << " leaves after its time";
      fate.out_on = id;
      fate.command_id = out.command_id;
    }
    Hear(rig_.Replies());
  }

  // The answer to one that is out, perhaps after its time, when nobody waits for it any more.
  void Answer() {
    std::vector<std::pair<Key, Fate>> out;
    for (const auto& one : fates_) {
      if (!one.second.settled && sessions_.contains(one.second.out_on)) out.push_back(one);
    }
    if (out.empty()) return;
    const auto& [key, fate] = out[dice_.Below(out.size())];
    Hear(rig_.Answer(fate.out_on, Rig::Done(key.first, fate.command_id)));
    EXPECT_TRUE(fates_.at(key).settled || fate.expires_at <= rig_.now) << key.first;
  }

  // `lost`: the session that has just been lost.
  void Hear(const std::vector<Reply>& replies, InstanceId lost = 0) {
    for (const Reply& reply : replies) {
      Fate& fate = fates_.at({reply.gid, reply.attempt});
      EXPECT_FALSE(fate.settled) << reply.gid << " ends twice";
      fate.settled = true;
      switch (reply.result) {
        case core::AttemptResult::kNotSent: EXPECT_EQ(fate.out_on, 0U) << reply.gid; break;
        case core::AttemptResult::kUnknown:
          EXPECT_TRUE(lost != 0 && fate.out_on == lost) << reply.gid;
          break;
        default:
          EXPECT_EQ(reply.result, core::AttemptResult::kDone);
          EXPECT_NE(fate.out_on, 0U) << reply.gid;
      }
    }
  }

  sim::Dice dice_;
  Rig rig_;
  InstanceId last_session_ = 0;
  std::set<InstanceId> sessions_;
  std::map<std::string, std::uint32_t> attempts_;
  std::map<Key, Fate> fates_;
};

TEST(Histories, EachCommandHasOneEndInItsTime) {
  for (std::uint64_t seed = 1; seed <= kHistories && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History(seed).Live();
  }
}

// Who waits for room is told of it by the answer that makes it, not by what happens to come next.
TEST(Histories, RoomThatAnAnswerMakesIsOfferedAtOnce) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  const Rig::Outgoing out = rig.Take(1);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(rig.Send("b").empty());
  (void)rig.Touched();
  EXPECT_EQ(rig.Answer(1, Rig::Done("a", out[0].command_id)).size(), 1U);
  EXPECT_EQ(rig.Touched(), std::vector<InstanceId>{1});
}

// Of those that are due at one moment any may be settled first; the others are due as they were.
TEST(Histories, WhatIsDueAtOneMomentEndsInAnyOrder) {
  for (std::size_t first = 0; first < 4; ++first) {
    for (std::size_t second = 0; second < 4; ++second) {
      Rig rig;
      ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
      for (const char* gid : {"a", "b", "c", "d"}) EXPECT_TRUE(rig.Send(gid).empty());
      const Rig::Outgoing out = rig.Take(1);
      ASSERT_EQ(out.size(), 4U);
      std::set<std::size_t> answered;
      for (const std::size_t n : {first, second}) {
        const bool fresh = answered.insert(n).second;
        EXPECT_EQ(rig.Answer(1, Rig::Done(out[n].command.gid, out[n].command_id)).size(), fresh);
      }
      EXPECT_TRUE(rig.Pass(core::Millis(1000)).empty());  // what is out ends without a word
      EXPECT_EQ(rig.dispatcher.counters().expired, 4 - answered.size());
      EXPECT_TRUE(rig.Detach(1).empty());
    }
  }
}

}  // namespace
}  // namespace assent::transport
