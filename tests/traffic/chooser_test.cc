// Who is next.

#include "coordinator/traffic/chooser.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace assent::traffic {
namespace {

struct Rig {
  std::uint64_t random = 7;
  std::uint64_t uses = 0;
  std::unique_ptr<Chooser> chooser;
  std::vector<std::unique_ptr<Candidate>> all;

  Rig(Select select, std::vector<unsigned> weights) : chooser(Chooser::Make(select, random)) {
    for (const unsigned weight : weights) Come(weight);
  }
  Candidate& Come(unsigned weight = 1) {
    Candidate& one = *all.emplace_back(std::make_unique<Candidate>());
    one.id = all.size();
    one.name = HashOf("instance-" + std::to_string(one.id));
    one.weight = weight;
    chooser->Join(one);
    SetFree(one, true);
    return one;
  }
  void SetFree(Candidate& one, bool free) {
    chooser->SetFree(one, free);
    one.free = free;
  }
  // Its number; 0: nobody's.
  std::uint64_t Next(std::uint64_t key = 0) {
    Candidate* const who = chooser->Choose(key).who;
    if (who == nullptr) return 0;
    who->last_used = ++uses;
    chooser->Used(*who);
    return who->id;
  }
  std::map<std::uint64_t, int> Times(int count) {
    std::map<std::uint64_t, int> times;
    for (int i = 0; i < count; ++i) ++times[Next(HashOf("g" + std::to_string(i)))];
    return times;
  }
};

constexpr Select kAll[] = {Select::kRoundRobin, Select::kRandom, Select::kWeighted,
                           Select::kLeastInFlight, Select::kHash};

TEST(Chooser, NobodyIsChosenWhoHasNoRoom) {
  for (const Select select : kAll) {
    SCOPED_TRACE(static_cast<int>(select));
    Rig rig(select, {1, 1, 1});
    rig.SetFree(*rig.all[1], false);
    EXPECT_EQ(rig.Times(300).count(2), 0U);
    rig.SetFree(*rig.all[0], false);
    rig.SetFree(*rig.all[2], false);
    EXPECT_EQ(rig.Next(5), 0U);
    rig.SetFree(*rig.all[1], true);
    EXPECT_EQ(rig.Next(5), 2U);
  }
}

TEST(Chooser, RoundRobinTakesTurns) {
  Rig rig(Select::kRoundRobin, {1, 1, 1});
  std::vector<std::uint64_t> order;
  for (int i = 0; i < 6; ++i) order.push_back(rig.Next());
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 3, 1, 2, 3}));
}

TEST(Chooser, WeightsAreSharesEvenlyMixed) {
  Rig rig(Select::kWeighted, {5, 1, 1});
  std::string order;
  for (int i = 0; i < 7; ++i) order += std::to_string(rig.Next());
  EXPECT_EQ(order.find("11111"), std::string::npos) << order;
  const auto times = rig.Times(7'000);
  EXPECT_EQ(times.at(1), 5'000);
  EXPECT_EQ(times.at(2), 1'000);
}

// Who was away has not saved up what it would have got.
TEST(Chooser, WhoComesBackGetsItsShareAndNoMore) {
  Rig rig(Select::kWeighted, {1, 1});
  rig.SetFree(*rig.all[1], false);
  (void)rig.Times(1'000);
  rig.SetFree(*rig.all[1], true);
  const auto times = rig.Times(100);
  EXPECT_NEAR(times.at(2), 50, 1);
}

TEST(Chooser, RandomIsFair) {
  Rig rig(Select::kRandom, {1, 1, 1, 1});
  for (const auto& [id, count] : rig.Times(40'000)) EXPECT_NEAR(count, 10'000, 600) << id;
}

TEST(Chooser, OfTwoTheOneWithLess) {
  Rig rig(Select::kLeastInFlight, {1, 1});
  rig.all[0]->in_flight = 10;
  rig.all[1]->in_flight = 1;
  const auto times = rig.Times(4'000);
  EXPECT_NEAR(times.at(1), 1'000, 200) << "only when both draws are of it";
  rig.all[1]->in_flight = 10;
  rig.all[0]->weight = 4;
  EXPECT_NEAR(rig.Times(4'000).at(2), 1'000, 200) << "who weighs more may have more";
}

TEST(Chooser, AHashIsTheSameUntilItsOwnerLeaves) {
  Rig rig(Select::kHash, {1, 1, 1, 1});
  std::map<int, std::uint64_t> owners;
  std::map<std::uint64_t, int> shares;
  for (int i = 0; i < 4'000; ++i) {
    owners[i] = rig.Next(HashOf("g" + std::to_string(i)));
    ++shares[owners[i]];
  }
  for (const auto& [id, share] : shares) EXPECT_NEAR(share, 1'000, 450) << id;
  rig.SetFree(*rig.all[2], false);
  rig.chooser->Leave(*rig.all[2]);
  for (int i = 0; i < 4'000; ++i) {
    const std::uint64_t now = rig.Next(HashOf("g" + std::to_string(i)));
    EXPECT_NE(now, 3U);
    EXPECT_TRUE(owners[i] == 3 || now == owners[i]) << "only what was its own moves";
  }
  rig.chooser->Join(*rig.all[2]);
  rig.SetFree(*rig.all[2], true);
  for (int i = 0; i < 4'000; ++i)
    EXPECT_EQ(rig.Next(HashOf("g" + std::to_string(i))), owners[i]) << "and moves back";
}

// An owner without room is passed over, and keeps what is its own.
TEST(Chooser, AHashGoesOnToTheNextWhereItsOwnerIsFull) {
  Rig rig(Select::kHash, {1, 1, 1});
  const std::uint64_t key = HashOf("some");
  const std::uint64_t owner = rig.Next(key);
  rig.SetFree(*rig.all[owner - 1], false);
  const std::uint64_t second = rig.Next(key);
  EXPECT_NE(second, owner);
  EXPECT_EQ(rig.Next(key), second);
  rig.SetFree(*rig.all[owner - 1], true);
  EXPECT_EQ(rig.Next(key), owner);
}

// Two sessions may call themselves the same.
TEST(Chooser, TwoOfOneNameAreTwo) {
  for (const Select select : kAll) {
    SCOPED_TRACE(static_cast<int>(select));
    Rig rig(select, {});
    for (std::uint64_t id = 1; id <= 2; ++id) {
      Candidate& one = *rig.all.emplace_back(std::make_unique<Candidate>());
      one.id = id;
      one.name = HashOf("same");
      rig.chooser->Join(one);
      rig.SetFree(one, true);
    }
    rig.SetFree(*rig.all[0], false);
    rig.chooser->Leave(*rig.all[0]);
    EXPECT_EQ(rig.Next(5), 2U);
    rig.SetFree(*rig.all[1], false);
    rig.chooser->Leave(*rig.all[1]);
    EXPECT_EQ(rig.Next(5), 0U);
  }
}

}  // namespace
}  // namespace assent::traffic
