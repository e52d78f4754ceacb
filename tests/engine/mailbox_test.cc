#include "coordinator/base/mailbox.h"

#include <string>

#include <gtest/gtest.h>

namespace assent::base {
namespace {

TEST(Mailbox, NewWorkIsBoundedByNumberAndByBytesAndTakingMakesRoom) {
  Mailbox<std::string> mailbox;
  std::vector<std::string> taken;
  const auto put = [&](std::string text, std::size_t bytes) {
    return mailbox.TryPut(text, 3, bytes, 100);
  };
  EXPECT_TRUE(put("a", 60));
  EXPECT_FALSE(put("b", 50));  // too many bytes together
  EXPECT_TRUE(put("c", 40));
  mailbox.Put("d");           // an answer is never refused, and counts as one
  EXPECT_FALSE(put("e", 0));  // three wait
  mailbox.TakeAll(taken, std::chrono::microseconds(0));
  EXPECT_EQ(taken, (std::vector<std::string>{"a", "c", "d"}));
  EXPECT_TRUE(put("f", 100));
}

}  // namespace
}  // namespace assent::base
