// Random histories under policies: second copies, instances asked one after the other, breakers,
// limits and rates, changed while everything is under way. Each command still has one end, and what
// is said of it is what can be known of all of its copies.

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

constexpr int kHistories = 400;
constexpr int kSteps = 400;

class History {
 public:
  explicit History(std::uint64_t seed) : dice_(seed), rig_(Limits(), AnyPolicies()) {}

  void Live() {
    for (int i = 0; i < kSteps && !::testing::Test::HasFailure(); ++i) Step();
    while (!instances_.empty()) Leave(*instances_.begin());
    EXPECT_EQ(rig_.dispatcher.held_bytes(), 0U);
    for (const auto& [key, fate] : fates_)
      EXPECT_TRUE(fate.settled || fate.expires_at <= rig_.now) << key.first << " has no end";
    for (const ServiceFigures& figures : rig_.dispatcher.Figures()) {
      moved += figures.moved;
      hedged += figures.hedged;
      opened += figures.opened;
    }
  }

  std::uint64_t moved = 0;
  std::uint64_t hedged = 0;
  std::uint64_t opened = 0;

 private:
  using Key = std::pair<std::string, std::uint32_t>;  // gid, attempt
  struct Fate {
    core::MonoTime expires_at{};
    std::map<std::uint64_t, InstanceId> out;  // copies, by command id
    bool was_out = false;
    bool done = false;  // somebody said so
    bool settled = false;
  };

  static DispatcherLimits Limits() {
    DispatcherLimits limits;
    limits.max_queued_count = 12;
    limits.max_outbox_count = 3;
    limits.max_held_bytes = 12'000;
    return limits;
  }

  traffic::Policies AnyPolicies() {
    traffic::Policies policies;
    traffic::Policy& all = policies.all;
    all.select = static_cast<traffic::Select>(dice_.Below(5));
    if (dice_.Chance(300)) all.near = {"near"};
    if (dice_.Chance(300)) all.weights = {{"far", dice_.Below(3)}, {"near-1", 5}};
    if (dice_.Chance(500)) all.not_now = traffic::NotNow::kNext;
    if (dice_.Chance(200)) all.absence = traffic::Absence::kRefuse;
    if (dice_.Chance(500)) all.hedge_after = core::Millis(1 + dice_.Below(20));
    all.breaker = {.on = dice_.Chance(700),
                   .of_service = dice_.Chance(200),
                   .failure_percent = 30,
                   .slow_percent = dice_.Chance(300) ? 50U : 0U,
                   .slow = core::Millis(10),
                   .window = core::Millis(200),
                   .min_calls_count = 3,
                   .open = core::Millis(30),
                   .probes_count = 2};
    all.limit = {
        .concurrency = dice_.Below(4), .adaptive = dice_.Chance(500), .slow_start = dice_.Below(3)};
    if (dice_.Chance(200)) all.rate_per_second = 100;
    if (dice_.Chance(200)) all.retry_percent = 10;
    return policies;
  }

  void Step() {
    switch (dice_.Below(10)) {
      case 0:
        if (instances_.size() < 4) Come();
        return;
      case 1:
        if (dice_.Chance(150) && !instances_.empty()) Leave(Any());
        return;
      case 2: return Pass();
      case 3:
      case 4: return Take();
      case 5:
      case 6: return Answer();
      case 7:
        if (dice_.Chance(60)) {
          rig_.Treat(AnyPolicies());
          Hear(rig_.Replies());
        } else if (dice_.Chance(60)) {
          const auto held = static_cast<traffic::Breaker::Held>(dice_.Below(3));
          (void)rig_.dispatcher.HoldBreakers("s", dice_.Chance(500) ? "" : "near-1", held,
                                             rig_.effects);
          Hear(rig_.Replies());
        }
        return;
      default: return Send();
    }
  }

  InstanceId Any() {
    return *std::next(instances_.begin(),
                      static_cast<std::ptrdiff_t>(dice_.Below(instances_.size())));
  }

  void Come() {
    const InstanceId id = ++last_instance_;
    SessionHello hello = Rig::Hello("s", 1 + static_cast<std::uint32_t>(dice_.Below(4)));
    hello.instance = dice_.Chance(500) ? "far" : "near-" + std::to_string(id);
    ASSERT_TRUE(rig_.Attach(id, hello).ok());
    instances_.insert(id);
    Hear(rig_.Replies());
  }

  void Leave(InstanceId id) {
    instances_.erase(id);
    for (auto& [key, fate] : fates_)
      std::erase_if(fate.out, [&](const auto& one) { return one.second == id; });
    Hear(rig_.Detach(id));
  }

  void Pass() {
    rig_.now += core::Millis(dice_.Below(25));
    if (dice_.Chance(500)) Hear(rig_.Pass(core::Millis(0)));
  }

  void Send() {
    std::vector<Command> commands;
    for (std::uint64_t n = 1 + dice_.Below(4); n > 0; --n) {
      const std::string gid = "g" + std::to_string(dice_.Below(30));
      Command command = Rig::Try(gid);
      command.attempt = ++attempts_[gid];
      command.timeout = core::Millis(20 * (1 + dice_.Below(3)));
      command.payload = std::string(dice_.Below(800), 'x');
      fates_[{gid, command.attempt}].expires_at = rig_.now + command.timeout;
      commands.push_back(std::move(command));
    }
    Hear(rig_.Send(std::move(commands)));
  }

  void Take() {
    if (instances_.empty()) return;
    const InstanceId id = Any();
    for (const Dispatcher::Outgoing& out : rig_.Take(id, 1 + dice_.Below(4), 2'000)) {
      EXPECT_EQ(out.command.payload.find_first_not_of('x'), std::string::npos);
      Fate& fate = fates_.at({out.command.gid, out.command.attempt});
      EXPECT_FALSE(fate.settled) << out.command.gid << " had its end, and leaves";
      EXPECT_GT(fate.expires_at, rig_.now) << out.command.gid << " leaves after its time";
      for (const auto& [number, where] : fate.out)
        EXPECT_NE(where, id) << out.command.gid << " is there already";
      EXPECT_LT(fate.out.size(), 2U) << out.command.gid << " is with two already";
      fate.out[out.command_id] = id;
      fate.was_out = true;
    }
    Hear(rig_.Replies());
  }

  void Answer() {
    std::vector<std::tuple<Key, std::uint64_t, InstanceId>> out;
    for (const auto& [key, fate] : fates_) {
      for (const auto& [number, where] : fate.out) out.emplace_back(key, number, where);
    }
    if (out.empty()) return;
    const auto [key, number, where] = out[dice_.Below(out.size())];
    Fate& fate = fates_.at(key);
    fate.out.erase(number);
    SessionReply reply = Rig::Done(key.first, number);
    if (dice_.Chance(400)) {
      reply.result = core::AttemptResult::kRetryLater;
    } else {
      fate.done = true;
    }
    Hear(rig_.Answer(where, std::move(reply)));
    EXPECT_TRUE(!fate.done || fate.settled || fate.expires_at <= rig_.now) << key.first;
  }

  void Hear(const std::vector<Reply>& replies) {
    for (const Reply& reply : replies) {
      Fate& fate = fates_.at({reply.gid, reply.attempt});
      EXPECT_FALSE(fate.settled) << reply.gid << " ends twice";
      fate.settled = true;
      switch (reply.result) {
        case core::AttemptResult::kRefused:  // as the policy says of absence
        case core::AttemptResult::kNotSent: EXPECT_FALSE(fate.was_out) << reply.gid; break;
        case core::AttemptResult::kDone: EXPECT_TRUE(fate.done) << reply.gid; break;
        default:
          EXPECT_TRUE(fate.was_out) << reply.gid;
          EXPECT_FALSE(reply.service_absent) << reply.gid;
      }
    }
  }

  sim::Dice dice_;
  Rig rig_;
  InstanceId last_instance_ = 0;
  std::set<InstanceId> instances_;
  std::map<std::string, std::uint32_t> attempts_;
  std::map<Key, Fate> fates_;
};

TEST(PolicyHistories, EachCommandHasOneEndWhateverItsCopiesSay) {
  std::uint64_t moved = 0;
  std::uint64_t hedged = 0;
  std::uint64_t opened = 0;
  for (std::uint64_t seed = 1; seed <= kHistories && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    history.Live();
    moved += history.moved;
    hedged += history.hedged;
    opened += history.opened;
  }
  EXPECT_GT(moved, 100U) << "the histories show something";
  EXPECT_GT(hedged, 100U);
  EXPECT_GT(opened, 100U);
}

}  // namespace
}  // namespace assent::transport
