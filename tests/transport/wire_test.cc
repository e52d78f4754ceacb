// What a command is on the wire.

#include "coordinator/transport/wire.h"

#include <utility>

#include <gtest/gtest.h>

namespace assent::transport {
namespace {

TEST(Wire, ACommandSaysItsSlotAndHowOftenThatHasChangedHands) {
  v1::BranchCommand moved;
  Command command;
  command.slot = 1023;
  command.slot_epoch = 7;
  ToWire(std::move(command), 1, 2, moved);
  EXPECT_EQ(moved.slot(), 1023U);
  EXPECT_EQ(moved.slot_epoch(), 7U);
  v1::BranchCommand owned;
  ToWire(Command(), 1, 2, owned);
  EXPECT_EQ(owned.slot_epoch(), 0U);
}

}  // namespace
}  // namespace assent::transport
