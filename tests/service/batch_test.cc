// One deed for all that match: counted first, done to each as if it had been asked for alone, and
// whoever has them.

#include "coordinator/service/batch.h"

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/cluster_rig.h"

namespace assent::service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BatchTest : public ClusterRig {
 protected:
  // Begins `count` with a branch of the service, at all members in turn, which nobody answers.
  void BeginMany(int count, const std::string& service) {
    for (int i = 0; i < count; ++i, ++begun_) {
      const std::string gid = GidIn(static_cast<Slot>((5 * begun_) % kSlotsCount), begun_);
      v1::SubmitRequest request = Submit(gid);
      request.mutable_transaction()->mutable_branches(0)->set_service(service);
      ASSERT_TRUE(Ask<v1::SubmitReply>(Owner(gid), request).first.ok());
      gids_.push_back(gid);
    }
  }
  std::size_t Owner(const std::string& gid) const {
    return SlotOf(gid, kSlotsCount) % members_.size();
  }
  static v1::BatchRequest Request(v1::BatchRequest::Verb verb, const std::string& service,
                                  bool dry_run = false) {
    v1::BatchRequest request;
    request.set_verb(verb);
    request.set_service(service);
    request.mutable_action()->set_who("ann");
    request.mutable_action()->set_reason("all is well again");
    request.mutable_action()->set_dry_run(dry_run);
    return request;
  }
  v1::BatchReply Batch(const v1::BatchRequest& request, std::size_t member = 0) {
    auto [status, reply] = Ask<v1::BatchReply>(member, request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return reply;
  }
  v1::Transaction Get(const std::string& gid) {
    v1::GetRequest request;
    request.set_gid(gid);
    auto [status, reply] = Ask<v1::Transaction>(Owner(gid), request);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return reply;
  }
  int CountSuspended() {
    int count = 0;
    for (const std::string& gid : gids_) count += Get(gid).suspended() ? 1 : 0;
    return count;
  }

  int begun_ = 0;
  std::vector<std::string> gids_;
};

TEST_F(BatchTest, ADryRunCountsAndDoesNothing) {
  Start(3);
  BeginMany(40, "payment");
  BeginMany(3, "stock");
  const v1::BatchReply reply = Batch(Request(v1::BatchRequest::SUSPEND, "payment", true), 1);
  EXPECT_EQ(reply.matched(), 40U);
  EXPECT_EQ(reply.gids_size(), static_cast<int>(kMaxBatchSampleCount));
  EXPECT_EQ(reply.done() + reply.failed(), 0U);
  EXPECT_FALSE(reply.more());
  EXPECT_GT(reply.as_of_unix_ms(), 0);
  EXPECT_EQ(CountSuspended(), 0);
}

TEST_F(BatchTest, AllThatMatchWhoeverHasThemAndEachIsOnItsRecord) {
  Start(3);
  BeginMany(700, "payment");
  BeginMany(3, "stock");
  const v1::BatchReply reply = Batch(Request(v1::BatchRequest::SUSPEND, "payment"), 1);
  EXPECT_EQ(reply.matched(), 700U);
  EXPECT_EQ(reply.done(), 700U);
  EXPECT_EQ(reply.failed(), 0U);
  EXPECT_THAT(reply.failures(), IsEmpty());
  EXPECT_EQ(reply.slots_left_out(), 0U);
  EXPECT_EQ(CountSuspended(), 700);
  const v1::Transaction one = Get(gids_[17]);
  ASSERT_EQ(one.interventions_size(), 1);
  EXPECT_EQ(one.interventions(0).verb(), "suspend");
  EXPECT_EQ(one.interventions(0).who(), "ann");
  EXPECT_EQ(one.interventions(0).reason(), "all is well again");
  EXPECT_EQ(Batch(Request(v1::BatchRequest::RESUME, "payment")).done(), 700U);
  EXPECT_EQ(CountSuspended(), 0);
}

TEST_F(BatchTest, EachVerbDoesWhatItSays) {
  Start(1);
  BeginMany(2, "payment");
  EXPECT_EQ(Batch(Request(v1::BatchRequest::RETRY, "payment")).done(), 2U);
  EXPECT_EQ(Get(gids_[0]).interventions(0).verb(), "retry");
  EXPECT_EQ(Batch(Request(v1::BatchRequest::ABORT, "payment")).done(), 2U);
  EXPECT_NE(Get(gids_[0]).decision(), v1::DECISION_COMMIT);
  EXPECT_EQ(Get(gids_[0]).interventions(1).verb(), "abort");
}

TEST_F(BatchTest, ThoseThatSayNoAreCountedAndSomeAreNamed) {
  Start(2);
  BeginMany(30, "payment");
  // What is not suspended cannot be resumed.
  const v1::BatchReply reply = Batch(Request(v1::BatchRequest::RESUME, "payment"));
  EXPECT_EQ(reply.matched(), 30U);
  EXPECT_EQ(reply.done() + reply.failed(), 30U);
  EXPECT_EQ(reply.failed(), 30U);
  ASSERT_EQ(reply.failures_size(), static_cast<int>(kMaxBatchFailuresCount));
  std::set<std::string> named;
  for (const auto& failure : reply.failures()) {
    EXPECT_EQ(failure.code(), "FAILED_PRECONDITION");
    EXPECT_FALSE(failure.message().empty());
    named.insert(failure.gid());
  }
  EXPECT_EQ(named.size(), kMaxBatchFailuresCount);
}

TEST_F(BatchTest, WhatNobodyHasCountedIsLeftAlone) {
  Start(2);
  BeginMany(4, "payment");
  v1::BatchRequest request = Request(v1::BatchRequest::SUSPEND, "payment");
  request.set_as_of_unix_ms(1);
  const v1::BatchReply reply = Batch(request);
  EXPECT_EQ(reply.matched(), 0U);
  EXPECT_EQ(reply.as_of_unix_ms(), 1);
  EXPECT_EQ(CountSuspended(), 0);
}

TEST_F(BatchTest, WhatMakesNoSenseIsRefused) {
  Start(1);
  BeginMany(1, "payment");
  const auto refused = [&](const v1::BatchRequest& request) {
    const Status status = Ask<v1::BatchReply>(0, request).first;
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    return status.message();
  };
  v1::BatchRequest request = Request(v1::BatchRequest::ABORT, "");
  EXPECT_THAT(refused(request), HasSubstr("there is no filter"));
  request.set_all(true);
  request.set_service("payment");
  EXPECT_THAT(refused(request), HasSubstr("all goes without filters"));
  request = Request(v1::BatchRequest::VERB_UNSPECIFIED, "payment");
  EXPECT_THAT(refused(request), HasSubstr("verb takes"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.mutable_action()->set_gid("g");
  EXPECT_THAT(refused(request), HasSubstr("action.gid"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.mutable_action()->clear_who();
  EXPECT_THAT(refused(request), HasSubstr("who"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.add_states(v1::FINISHED);
  EXPECT_THAT(refused(request), HasSubstr("FINISHED"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.set_cause("x");
  EXPECT_THAT(refused(request), HasSubstr("cause"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.set_at_most_ms(kMaxBatchTime.count() + 1);
  EXPECT_THAT(refused(request), HasSubstr("at_most_ms"));
  request = Request(v1::BatchRequest::ABORT, "payment");
  request.mutable_slice()->add_after(1);
  request.mutable_slice()->add_after(1);
  EXPECT_THAT(Ask<v1::BatchReply>(0, request, {.forwarded = true}).first.message(),
              HasSubstr("slice.after"));
  EXPECT_EQ(Get(gids_[0]).interventions_size(), 0);
}

TEST_F(BatchTest, AnAgeBelowNoneAndASliceOfNobodysAreRefused) {
  Start(1);
  BeginMany(1, "mail");
  v1::BatchRequest request = Request(v1::BatchRequest::ABORT, "mail");
  request.set_min_age_ms(-1);
  EXPECT_EQ(Ask<v1::BatchReply>(0, request).first, InvalidArgument("min_age_ms is negative"));
  request.set_min_age_ms(0);
  request.mutable_slice();
  EXPECT_EQ(Ask<v1::BatchReply>(0, request).first,
            InvalidArgument("slice is what coordinators ask of each other"));
  EXPECT_NE(Get(gids_[0]).state(), v1::ABORTING);
}

// What is under way is done, and nothing more is begun with, also in the middle of a slice.
TEST_F(BatchTest, WhoLeavesStopsItInTheMiddleOfASlice) {
  Start(1);
  BeginMany(300, "mail");
  std::atomic<int> begun = 0;
  std::vector<OneDone> waiting;
  std::promise<v1::BatchReply> told;
  v1::BatchRequest request = Request(v1::BatchRequest::ABORT, "mail");
  std::atomic<bool> gone = false;
  Mutex mutex;
  RunBatch(
      {*members_[0]->engine, members_[0]->service->router(), nullptr}, request,
      [&](const std::string&, OneDone done) {
        const MutexLock lock(mutex);
        waiting.push_back(std::move(done));
        if (++begun == 64) gone = true;
      },
      [&] { return gone.load(); },
      [&](const Status& status, v1::BatchReply reply) {
        EXPECT_EQ(status, OkStatus());
        told.set_value(std::move(reply));
      });
  while (begun < 64) std::this_thread::yield();
  std::vector<OneDone> under_way;
  {
    const MutexLock lock(mutex);
    under_way.swap(waiting);
  }
  for (const auto& done : under_way) done(OkStatus(), /*had_ended=*/false);
  const v1::BatchReply reply = told.get_future().get();
  EXPECT_EQ(begun, 64);
  EXPECT_EQ(reply.done(), 64U);
  EXPECT_EQ(reply.matched(), 300U);
  EXPECT_TRUE(reply.more());
}

TEST_F(BatchTest, WithoutAFilterItHasToBeSaid) {
  Start(2);
  BeginMany(3, "payment");
  BeginMany(3, "stock");
  v1::BatchRequest request = Request(v1::BatchRequest::SUSPEND, "");
  request.set_all(true);
  EXPECT_EQ(Batch(request).done(), 6U);
}

TEST_F(BatchTest, WhoIsSilentIsNamedAndWhatIsDoneIsDone) {
  Start(3);
  BeginMany(48, "payment");
  silent_ = {2};
  v1::BatchReply reply = Batch(Request(v1::BatchRequest::SUSPEND, "payment"));
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).node(), "b");
  EXPECT_TRUE(reply.more());
  EXPECT_EQ(reply.done(), 33U);
  EXPECT_EQ(CountSuspended(), 33);
  silent_.clear();
  // Another version, or another program, at its address: what it says it has done counts.
  v1::BatchReply odd;
  odd.mutable_slice()->set_more(true);
  odd.set_done(5);
  says_[3] = odd.SerializeAsString();
  reply = Batch(Request(v1::BatchRequest::RESUME, "payment"));
  ASSERT_EQ(reply.silent_size(), 1);
  EXPECT_EQ(reply.silent(0).why(), "it does not go on");
  EXPECT_TRUE(reply.more());
}

TEST_F(BatchTest, ItsTimeEndsItWithAnAnswer) {
  Start(1);
  BeginMany(1500, "payment");
  v1::BatchRequest request = Request(v1::BatchRequest::SUSPEND, "payment");
  request.set_at_most_ms(1);
  const v1::BatchReply reply = Batch(request);
  // A slice at least; the rest is not begun with once the millisecond is over.
  EXPECT_TRUE(reply.more());
  EXPECT_GE(reply.done(), 1U);
  EXPECT_LT(reply.done(), 1500U);
  EXPECT_EQ(CountSuspended(), static_cast<int>(reply.done()));
}

// Whoever asked has left: what has not begun does not begin.
TEST_F(BatchTest, WhoLeavesStopsIt) {
  Start(1);
  BeginMany(1500, "payment");
  class Left final : public Asker<v1::BatchReply> {
   public:
    void Answer(const Status&, absl::FunctionRef<void(v1::BatchReply&)>) override {
      answers.Put(true);
    }
    bool Over() override { return true; }
    Inbox<bool> answers;
  };
  const auto left = std::make_shared<Left>();
  members_[0]->service->Take(Caller{}, Request(v1::BatchRequest::SUSPEND, "payment"), left);
  (void)left->answers.Take();
  EXPECT_LT(CountSuspended(), 1500);
}

// Those beyond the limit are told so, and when one is over the next may begin.
TEST_F(BatchTest, AFewAtATime) {
  Start(1);
  BeginMany(300, "payment");
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<Waiting<v1::BatchReply>>> askers;
    for (std::size_t i = 0; i < kMaxBatchesCount * 4; ++i) {
      askers.push_back(std::make_shared<Waiting<v1::BatchReply>>());
      members_[0]->service->Take(Caller{}, Request(v1::BatchRequest::RETRY, "payment"),
                                 askers.back());
    }
    std::map<Code, std::size_t> codes;
    for (const auto& asker : askers) ++codes[asker->answers.Take().first.code()];
    EXPECT_GE(codes[Code::kOk], kMaxBatchesCount);
    EXPECT_EQ(codes[Code::kOk] + codes[Code::kResourceExhausted], askers.size());
  }
}

}  // namespace
}  // namespace assent::service
