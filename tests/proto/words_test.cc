// The vocabulary's words beside the wire's: the numbers are held by the compiler (proto/words), the
// names here.

#include "proto/words/words.h"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

namespace assent::wire {
namespace {

template <typename Ours>
void ExpectWireNames(const std::string& (*wire_name)(typename TwinOf<Ours>::Type)) {
  for (int number = TwinOf<Ours>::first == 0 ? 1 : TwinOf<Ours>::first;
       number <= TwinOf<Ours>::last; ++number) {
    const auto wire = static_cast<typename TwinOf<Ours>::Type>(number);
    const auto ours = FromWire<Ours>(wire);
    ASSERT_TRUE(ours.has_value()) << number;
    EXPECT_EQ(Name(*ours), wire_name(wire));
    EXPECT_EQ(ToWire(*ours), wire);
  }
}

TEST(Words, AreCalledAsOnTheWire) {
  ExpectWireNames<Operation>(&v1::Operation_Name);
  ExpectWireNames<Outcome>(&v1::Outcome_Name);
  ExpectWireNames<TransactionState>(&v1::TransactionState_Name);
  ExpectWireNames<BranchState>(&v1::BranchState_Name);
  ExpectWireNames<AttemptResult>(&v1::Attempt::Result_Name);
}

TEST(Words, HaveNamesForNothingToo) {
  EXPECT_EQ(Name(kNoOperation), "NONE");
  EXPECT_EQ(Name(Outcome::kUndecided), "UNDECIDED");
  EXPECT_EQ(Name(static_cast<Operation>(9)), "?");
  EXPECT_EQ(Name(static_cast<Protocol>(0)), "?");
  EXPECT_EQ(Name(static_cast<Protocol>(200)), "?");
}

// 257 narrowed to eight bits would be PREPARE.
TEST(Words, WhatIsNotOursDoesNotBecomeOurs) {
  for (const int number : {-1, 0, 9, 256, 257, INT32_MAX}) {
    EXPECT_FALSE(FromWire<Operation>(static_cast<v1::Operation>(number)).has_value()) << number;
    EXPECT_FALSE(FromWire<Protocol>(static_cast<v1::Protocol>(number)).has_value()) << number;
  }
  EXPECT_EQ(FromWire<Outcome>(v1::OUTCOME_UNSPECIFIED), Outcome::kUndecided);
}

TEST(Operations, EachHasOneProtocolAndOneRole) {
  for (int number = 1; number <= static_cast<int>(Operation::kCompensate); ++number) {
    const auto operation = static_cast<Operation>(number);
    const Operations& all = OperationsOf(ProtocolOf(operation));
    const Operation by_role = RoleOf(operation) == Role::kForward  ? all.forward
                              : RoleOf(operation) == Role::kFinish ? all.finish
                                                                   : all.undo;
    EXPECT_EQ(by_role, operation) << Name(operation);
    EXPECT_EQ(IsForward(operation), RoleOf(operation) == Role::kForward);
  }
}

}  // namespace
}  // namespace assent::wire
