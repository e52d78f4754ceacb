#include "coordinator/log/unwritten.h"

#include <gtest/gtest.h>

#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

TEST(Unwritten, WhatBuildsOnARefusedBatchIsKnownUntilThatOneIsWritten) {
  Unwritten unwritten;
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(1, 3, "a", ""))));
  unwritten.NoteUnwritten(Batch(Update(1, 3, "a", ""), Begin(2, "b")));
  unwritten.NoteUnwritten(Batch(Update(1, 4, "a", "")));  // the first missing version stays 3
  EXPECT_TRUE(unwritten.BuiltOn(Batch(Update(1, 4, "a", ""))));
  EXPECT_TRUE(unwritten.BuiltOn(Batch(Update(9, 2, "i", ""), End(2, 2, "b"))));
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(1, 3, "a", ""))));
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(1, 3, "a", ""), Update(1, 4, "a", ""))));
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(3, 7, "c", ""), Forget("a"))));
  unwritten.NoteWritten(Batch(Update(1, 3, "a", "")));
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(1, 4, "a", ""))));
  EXPECT_TRUE(unwritten.BuiltOn(Batch(Update(2, 2, "b", ""))));
}

TEST(Unwritten, LetsTheOldestGo) {
  Unwritten unwritten;
  unwritten.NoteUnwritten(Batch(Begin(1, "a")));
  unwritten.NoteWritten(Batch(Begin(1, "a")));
  for (std::uint64_t serial = 2; serial <= Unwritten::kMaxSerials; ++serial) {
    unwritten.NoteUnwritten(Batch(Begin(serial, "x")));
  }
  // Marked again: the mark of now stays when the one of then would have gone.
  unwritten.NoteUnwritten(Batch(Begin(1, "a")));
  const std::uint64_t last = Unwritten::kMaxSerials + 10;
  for (std::uint64_t serial = Unwritten::kMaxSerials + 1; serial <= last; ++serial) {
    unwritten.NoteUnwritten(Batch(Begin(serial, "x")));
  }
  EXPECT_TRUE(unwritten.BuiltOn(Batch(Update(1, 2, "a", ""))));
  EXPECT_FALSE(unwritten.BuiltOn(Batch(Update(2, 2, "x", ""))));
  EXPECT_TRUE(unwritten.BuiltOn(Batch(Update(last, 2, "x", ""))));
}

TEST(Unwritten, NeverBegunIsForGood) {
  Unwritten unwritten;
  EXPECT_FALSE(unwritten.NeverBegun(1));
  unwritten.NoteNeverBegun(1);
  unwritten.NoteWritten(Batch(Begin(1, "a")));
  EXPECT_TRUE(unwritten.NeverBegun(1));
}

}  // namespace
}  // namespace assent::log
