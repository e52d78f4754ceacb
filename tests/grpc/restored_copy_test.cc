// The story of a coordinator whose folder was copied while it was stopped, that ran on, and whose
// older copy was then put back. It used to count its starts only: the first life of the copy had
// the number of the first one that it had missed, and of a transaction that was committed in the
// missed one it said "never heard of it: aborted, and finished".

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

namespace fs = std::filesystem;

class RestoredCopy : public ApiRig {
 protected:
  void Restart() {
    server_->Stop();
    server_.reset();
    StartServer();
  }
  void StopAndThen(const std::function<void()>& meanwhile) {
    server_->Stop();
    server_.reset();
    meanwhile();
    StartServer();
  }

  // Commits, is told so, and leaves the participant holding what it prepared: COMMIT was sent and
  // not answered.
  v1::BranchCommand CommitAndHold(const std::string& gid) {
    RawSession bank(channel_);
    bank.Join("s");
    v1::SubmitRequest request = Submit(gid, "s", v1::TWO_PHASE);
    AddBranch(request, "b2", "s", v1::TWO_PHASE);
    request.set_wait_for(v1::WAIT_DECIDED);
    v1::SubmitReply reply;
    std::string told;
    std::thread initiator([&] { told = TrySubmit(request, &reply); });
    std::optional<v1::BranchCommand> held;
    for (int branch = 0; branch < 2; ++branch) {
      held = bank.Next();
      EXPECT_EQ(held->operation(), v1::PREPARE);
      bank.Reply(RawSession::ReplyTo(*held));
    }
    initiator.join();
    EXPECT_EQ(told, "OK");
    EXPECT_EQ(Get(gid).outcome(), v1::COMMITTED);
    return *held;
  }

  v1::OutcomeAnswer Ask(const v1::BranchCommand& held) {
    RawSession bank(channel_);
    bank.Join("s");
    v1::OutcomeQuery query;
    query.set_gid(held.gid());
    query.set_branch_id(held.branch_id());
    query.set_coordinator_id(held.coordinator_id());
    query.set_began_epoch(held.began_epoch());
    return bank.Ask(query);
  }

  void Copy(const fs::path& from, const fs::path& to) {
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
  }
};

TEST_F(RestoredCopy, DoesNotPresumeAbortOfWhatTheLifeItMissedCommitted) {
  TempDir backup;
  StopAndThen([&] { Copy(dir_.path(), backup.path()); });
  const v1::BranchCommand held = CommitAndHold("order-1");
  EXPECT_EQ(Ask(held).verdict(), v1::OutcomeAnswer::COMMIT);

  StopAndThen([&] { Copy(backup.path(), dir_.path()); });
  const v1::OutcomeAnswer answer = Ask(held);
  EXPECT_EQ(answer.gid(), "order-1");
  EXPECT_EQ(answer.verdict(), v1::OutcomeAnswer::CANNOT_TELL);
  EXPECT_FALSE(answer.finished());

  // Nor does it after more starts.
  Restart();
  EXPECT_EQ(Ask(held).verdict(), v1::OutcomeAnswer::CANNOT_TELL);
}

// The same gid again, of another instance: the barrier of the participant knows better than to mix
// them up, and so do we.
TEST_F(RestoredCopy, DoesNotPresumeAbortWhenTheGidIsUsedAgain) {
  TempDir backup;
  StopAndThen([&] { Copy(dir_.path(), backup.path()); });
  const v1::BranchCommand held = CommitAndHold("order-1");
  StopAndThen([&] { Copy(backup.path(), dir_.path()); });
  v1::SubmitRequest again = Submit("order-1", "nobody-yet", v1::TWO_PHASE);
  again.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(again), "OK");
  EXPECT_EQ(Ask(held).verdict(), v1::OutcomeAnswer::CANNOT_TELL);
}

// What makes presumed abort worth having: in its own lives the log is sure.
TEST_F(RestoredCopy, StillPresumesAbortInItsOwnLives) {
  v1::BranchCommand held = CommitAndHold("order-1");
  held.set_gid("order-never-durable");
  EXPECT_EQ(Ask(held).verdict(), v1::OutcomeAnswer::ABORT);
  Restart();
  const v1::OutcomeAnswer answer = Ask(held);
  EXPECT_EQ(answer.verdict(), v1::OutcomeAnswer::ABORT);
  EXPECT_TRUE(answer.finished());
}

}  // namespace
}  // namespace assent::test
