// A page of List has a size in bytes, not only in rows: else a few hundred transactions with many
// headers make a reply that no client takes, and the operator sees nothing at all.

#include <map>
#include <string>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

class ListTest : public ApiRig {
 protected:
  // For a service that is not there; each branch has as many headers as it may.
  void SubmitLarge(const std::string& gid, int branches) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    for (int i = 1; i <= branches; ++i) {
      v1::BranchSpec* branch = AddBranch(request, "b" + std::to_string(i), "absent");
      for (std::size_t h = 0; h < limits::kMaxHeadersCount; ++h)
        (*branch->mutable_headers())["h" + std::to_string(h)] = std::string(1000, 'h');
    }
    ASSERT_EQ(TrySubmit(request), "OK");
  }
  // For a service that is not there, for longer than a test takes.
  static v1::SubmitRequest Waiting(const std::string& gid) {
    v1::SubmitRequest request = Submit(gid, "absent");
    request.mutable_transaction()->set_deadline_ms(600'000);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    return request;
  }
  void Abort(const std::string& gid) {
    v1::AbortRequest abort;
    abort.mutable_action()->set_who("ann");
    abort.mutable_action()->set_gid(gid);
    v1::OperatorReply reply;
    ASSERT_EQ(Text(stub_->Abort(Context().get(), abort, &reply)), "OK");
  }
};

TEST_F(ListTest, APageEndsBeforeItIsTooLargeAndTheNextGoesOn) {
  // 160 kB each, half of them finished; one is larger than a page.
  for (int i = 0; i < 40; ++i) {
    const std::string gid = "g" + std::to_string(i);
    SubmitLarge(gid, i == 20 ? 80 : 10);
    if (i % 2 == 0) Abort(gid);
  }
  std::map<std::string, int> seen;
  int pages = 0;
  v1::ListRequest request;
  request.set_all(true);
  request.set_page_size(limits::kMaxPageSizeCount);
  do {
    v1::ListReply page;
    ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
    EXPECT_TRUE(page.ByteSizeLong() < limits::kMaxPageBytes + 64 || page.transactions_size() == 1)
        << page.ByteSizeLong();
    for (const v1::Transaction& row : page.transactions()) ++seen[row.gid()];
    request.set_page_token(page.next_page_token());
    ASSERT_LT(++pages, 41);
  } while (!request.page_token().empty());
  EXPECT_GE(pages, 7);
  EXPECT_EQ(seen.size(), 40U);
  for (const auto& [gid, times] : seen) EXPECT_EQ(times, 1) << gid;
}

// Once a transaction that ended between two pages was shown as unfinished on one and as finished on
// the next.
TEST_F(ListTest, WhatEndsBetweenTwoPagesIsShownOnceAndNothingIsLeftOut) {
  for (int i = 0; i < 60; ++i) ASSERT_EQ(TrySubmit(Waiting("g" + std::to_string(i))), "OK");
  for (int i = 0; i < 60; i += 3) Abort("g" + std::to_string(i));
  std::map<std::string, int> seen;
  int aborted = 1;
  v1::ListRequest request;
  request.set_all(true);
  request.set_page_size(7);
  do {
    v1::ListReply page;
    ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
    for (const v1::Transaction& row : page.transactions()) ++seen[row.gid()];
    request.set_page_token(page.next_page_token());
    for (int end = aborted + 9; aborted < 60 && aborted < end; ++aborted) {
      if (aborted % 3 != 0) Abort("g" + std::to_string(aborted));
    }
    (void)TrySubmit(Waiting("late" + std::to_string(aborted)));
  } while (!request.page_token().empty());
  for (int i = 0; i < 60; ++i) EXPECT_EQ(seen["g" + std::to_string(i)], 1) << i;
}

// ... of unfinished ones alone: those that are there all the time are all shown, those that end
// meanwhile at most once.
TEST_F(ListTest, UnfinishedOnesAreShownOnceWhileOthersEnd) {
  for (int i = 0; i < 60; ++i) ASSERT_EQ(TrySubmit(Waiting("g" + std::to_string(i))), "OK");
  std::map<std::string, int> seen;
  int pages = 0;
  v1::ListRequest request;
  request.set_page_size(8);
  do {
    v1::ListReply page;
    ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
    for (const v1::Transaction& row : page.transactions()) ++seen[row.gid()];
    request.set_page_token(page.next_page_token());
    Abort("g" + std::to_string(5 * pages));
    Abort("g" + std::to_string(59 - 5 * pages));
    ++pages;
  } while (!request.page_token().empty());
  for (int i = 0; i < 60; ++i) {
    const std::string gid = "g" + std::to_string(i);
    EXPECT_LE(seen[gid], 1) << gid;
    if (i % 5 != 0 && i % 5 != 4) {
      EXPECT_EQ(seen[gid], 1) << gid;
    }
  }
}

TEST_F(ListTest, AFilterThatFitsFewIsAnsweredWithThem) {
  for (int i = 0; i < 300; ++i) ASSERT_EQ(TrySubmit(Waiting("g" + std::to_string(i))), "OK");
  v1::ListRequest request;
  request.set_gid_prefix("g29");
  v1::ListReply page;
  ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
  EXPECT_EQ(page.transactions_size(), 11);  // g29, g290 to g299
  EXPECT_EQ(page.next_page_token(), "");
  request.set_all(true);
  for (int i = 290; i < 300; i += 2) Abort("g" + std::to_string(i));
  ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
  EXPECT_EQ(page.transactions_size(), 11);
  request.Clear();
  request.add_states(v1::FINISHED);
  // Their ends are still on their way to the log, perhaps.
  EXPECT_TRUE(WaitUntil(
      [&] {
        EXPECT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
        return page.transactions_size() == 5;
      },
      std::chrono::seconds(20)));
  request.set_page_token("L1.0.5");  // of another list
  EXPECT_NE(Text(stub_->List(Context().get(), request, &page)), "OK");
}

// The last instance of a service has gone, or never came: what waits for it is seen, and stays seen
// until nothing does.
TEST_F(ListTest, AServiceForWhichSomethingWaitsIsListedWhenNobodyIsThere) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(TrySubmit(Waiting("g" + std::to_string(i))), "OK");
  const auto waiting = [&] {
    v1::ListParticipantsReply reply;
    EXPECT_EQ(Text(stub_->ListParticipants(Context().get(), {}, &reply)), "OK");
    std::string text;
    for (const v1::ParticipantInfo& participant : reply.participants()) {
      text += participant.service() + " " + std::to_string(participant.instances_size()) + " " +
              std::to_string(participant.waiting()) + "\n";
    }
    return text;
  };
  EXPECT_TRUE(WaitUntil([&] { return waiting() == "absent 0 3\n"; }, std::chrono::seconds(20)))
      << waiting();
  EXPECT_NE(Get("g0").why_not_finished().find("goes on as soon as absent appears"),
            std::string::npos)
      << Get("g0").why_not_finished();
  Abort("g0");
  EXPECT_TRUE(WaitUntil([&] { return waiting() == "absent 0 2\n"; }, std::chrono::seconds(20)))
      << waiting();
  RawSession session(channel_);
  session.Join("absent");
  EXPECT_TRUE(WaitUntil([&] { return waiting() == "absent 1 0\n"; }, std::chrono::seconds(20)))
      << waiting();
}

}  // namespace
}  // namespace assent::test
