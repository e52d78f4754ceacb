// The participant with real threads and scripted streams: what TSan sees, and what concurrency
// could break.

#include "participant-sdk/cpp/src/participant_shell.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "assent/v1/participant.pb.h"
#include "tests/sdk/scripted_dialer.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ScriptedDialer;
using testing::ScriptedStream;

// A gate that handlers wait at until the test opens it.
class Gate {
 public:
  void Open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitArrivals(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

class ParticipantShellTest : public ::testing::Test {
 protected:
  ParticipantShellTest() : dials_(2) {
    for (auto& dial : dials_) dial = std::make_shared<ScriptedDialer::Shared>();
    options_.service = "inventory";
    options_.worker_threads = 2;
    options_.reconnect_initial_backoff = milliseconds(1);
    options_.reconnect_max_backoff = milliseconds(5);
    options_.stop_grace = seconds(5);
  }
  ~ParticipantShellTest() override {
    shell_->Stop();
    for (auto& dial : dials_) dial->Join();
    shell_->Join();
  }

  // With so many coordinators.
  void Start(std::size_t coordinators = 1) {
    options_.endpoints.clear();
    for (std::size_t i = 0; i < coordinators; ++i)
      options_.endpoints.push_back("c" + std::to_string(i));
    ParticipantShell::Dialers dialers;
    dialers.session = [dials = dials_](const std::string& endpoint) {
      return std::make_unique<ScriptedDialer>(dials[std::stoul(endpoint.substr(1))]);
    };
    shell_ = std::make_shared<ParticipantShell>(options_, std::move(dialers), &actions_, 1);
    shell_->Start();
  }
  // The next stream to coordinator `i`, welcomed.
  std::shared_ptr<ScriptedStream> Welcome(std::size_t i = 0) {
    return Welcome(i, static_cast<std::uint32_t>(i + 1));
  }
  std::shared_ptr<ScriptedStream> Welcome(std::size_t i, std::uint32_t coordinator_id) {
    auto stream = dials_[i]->Next();
    EXPECT_NE(stream, nullptr);
    v1::ParticipantFrame hello;
    EXPECT_TRUE(stream->Receive(&hello));
    EXPECT_TRUE(hello.has_hello());
    v1::CoordinatorFrame welcome;
    welcome.mutable_welcome()->set_coordinator_id(coordinator_id);
    stream->Send(welcome);
    return stream;
  }
  static void AddCommand(v1::CoordinatorFrame* frame, std::uint64_t id, const std::string& gid,
                         v1::Operation operation = v1::TRY, const std::string& action = "reserve") {
    v1::BranchCommand* command = frame->add_commands();
    command->set_command_id(id);
    command->set_gid(gid);
    command->set_branch_id("1");
    command->set_operation(operation);
    command->set_protocol(operation == v1::ACTION || operation == v1::COMPENSATE ? v1::SAGA
                                                                                 : v1::TCC);
    command->set_action(action);
  }
  static void Command(ScriptedStream& stream, std::uint64_t id, const std::string& gid,
                      v1::Operation operation = v1::TRY, const std::string& action = "reserve") {
    v1::CoordinatorFrame frame;
    AddCommand(&frame, id, gid, operation, action);
    stream.Send(frame);
  }
  // The next reply, whatever frames it comes in.
  static v1::BranchReply Reply1(ScriptedStream& stream) {
    v1::ParticipantFrame frame;
    while (stream.Receive(&frame)) {
      if (frame.replies_size() > 0) {
        EXPECT_EQ(frame.replies_size(), 1);
        return frame.replies(0);
      }
    }
    ADD_FAILURE() << "no reply";
    return {};
  }

  std::vector<std::shared_ptr<ScriptedDialer::Shared>> dials_;
  ParticipantOptions options_;
  ActionTable actions_;
  std::shared_ptr<ParticipantShell> shell_;
};

Handler Done() {
  return [](const Call&) { return Reply::Done(); };
}

TEST_F(ParticipantShellTest, AThrowingHandlerIsAFailedAttempt) {
  actions_.Add(
      Protocol::kTcc, "reserve",
      [](const Call&) -> Reply { throw std::runtime_error("disk on fire"); }, Done(),
      [](const Call&) -> Reply { throw 42; });
  Start();
  auto stream = Welcome();
  Command(*stream, 1, "g1");
  const v1::BranchReply thrown = Reply1(*stream);
  EXPECT_EQ(thrown.kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_THAT(thrown.reason(), HasSubstr("disk on fire"));
  Command(*stream, 2, "g1", v1::CANCEL);
  EXPECT_EQ(Reply1(*stream).kind(), v1::BranchReply::RETRY_LATER);
  Command(*stream, 3, "g2", v1::CONFIRM);
  EXPECT_EQ(Reply1(*stream).kind(), v1::BranchReply::DONE);
}

TEST_F(ParticipantShellTest, AnUnknownActionIsNeitherRefusedNorDone) {
  actions_.Add(Protocol::kTcc, "reserve", Done(), Done(), Done());
  Start();
  auto stream = Welcome();
  Command(*stream, 1, "g1", v1::TRY, "no such");
  const v1::BranchReply refused = Reply1(*stream);
  EXPECT_EQ(refused.kind(), v1::BranchReply::RETRY_LATER);
  EXPECT_THAT(refused.reason(), HasSubstr("tcc:no such"));
  for (const v1::Operation operation : {v1::CONFIRM, v1::CANCEL}) {
    Command(*stream, 2, "g1", operation, "no such");
    EXPECT_EQ(Reply1(*stream).kind(), v1::BranchReply::RETRY_LATER);
  }
  Command(*stream, 4, "g1", v1::ACTION, "reserve");  // known, but not as a Saga step
  EXPECT_EQ(Reply1(*stream).kind(), v1::BranchReply::RETRY_LATER);
}

TEST_F(ParticipantShellTest, AStreamCutInMidFlightRunsNothingTwiceAtOnce) {
  Gate gate;
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> runs{0};
  const auto handler = [&](const Call&) {
    most = std::max(most.load(), ++running);
    ++runs;
    gate.Pass();
    --running;
    return Reply::Done("the first one's answer");
  };
  actions_.Add(Protocol::kTcc, "reserve", handler, Done(), Done());
  Start();
  auto first = Welcome();
  Command(*first, 1, "g1");
  gate.AwaitArrivals(1);
  first->Close(Unavailable("cut"));
  auto second = Welcome();
  Command(*second, 2, "g1");
  Command(*second, 3, "g1");
  // Both have been taken in once the third, of another branch, is being run.
  Command(*second, 4, "g2");
  gate.AwaitArrivals(2);
  gate.Open();
  std::map<std::uint64_t, v1::BranchReply> replies;
  v1::ParticipantFrame frame;
  while (replies.size() < 3 && second->Receive(&frame)) {
    for (const v1::BranchReply& reply : frame.replies()) replies.emplace(reply.command_id(), reply);
  }
  EXPECT_EQ(replies.count(1), 0u);  // of the lost stream
  EXPECT_EQ(replies.at(2).result(), "the first one's answer");
  EXPECT_EQ(replies.at(3).result(), "the first one's answer");
  EXPECT_EQ(runs, 2);  // g1 once, g2 once
  EXPECT_EQ(shell_->Stats().dropped_replies, 1u);
  EXPECT_EQ(shell_->Stats().joined, 2u);
}

TEST_F(ParticipantShellTest, TwoCoordinatorsAskingTheSameShareOneRun) {
  Gate gate;
  std::atomic<int> runs{0};
  actions_.Add(
      Protocol::kTcc, "reserve",
      [&](const Call&) {
        ++runs;
        gate.Pass();
        return Reply::Done("one");
      },
      Done(), Done());
  Start(2);
  auto a = Welcome(0);
  auto b = Welcome(1);
  Command(*a, 1, "g1");
  gate.AwaitArrivals(1);
  Command(*b, 1, "g1");
  Command(*b, 2, "g2");
  gate.AwaitArrivals(2);
  gate.Open();
  EXPECT_EQ(Reply1(*a).result(), "one");
  std::set<std::string> gids;
  v1::ParticipantFrame frame;
  while (gids.size() < 2 && b->Receive(&frame)) {
    for (const v1::BranchReply& reply : frame.replies()) gids.insert(reply.gid());
  }
  EXPECT_EQ(gids, (std::set<std::string>{"g1", "g2"}));
  EXPECT_EQ(runs, 2);
}

TEST_F(ParticipantShellTest, AFrameThatDoesNotParseIsSurvived) {
  actions_.Add(Protocol::kTcc, "reserve", Done(), Done(), Done());
  Start();
  auto first = Welcome();
  first->SendBytes("\xFF\xFF\xFF garbage");
  auto second = Welcome();  // dialled again
  Command(*second, 1, "g1");
  EXPECT_EQ(Reply1(*second).kind(), v1::BranchReply::DONE);
}

TEST_F(ParticipantShellTest, StopAnswersWhatRunsAndDropsWhatIsQueued) {
  options_.worker_threads = 1;
  Gate gate;
  std::atomic<int> runs{0};
  actions_.Add(
      Protocol::kTcc, "reserve",
      [&](const Call&) {
        ++runs;
        gate.Pass();
        return Reply::Done("answered");
      },
      Done(), Done());
  Start();
  auto stream = Welcome();
  Command(*stream, 1, "g1");
  gate.AwaitArrivals(1);
  std::thread stopper([&] { shell_->Stop(); });
  v1::ParticipantFrame goodbye;
  ASSERT_TRUE(stream->Receive(&goodbye));
  EXPECT_TRUE(goodbye.goodbye());
  gate.Open();
  EXPECT_EQ(Reply1(*stream).result(), "answered");
  stopper.join();
  EXPECT_EQ(runs, 1);
}

TEST_F(ParticipantShellTest, StopDoesNotWaitForAHandlerBeyondItsGrace) {
  options_.stop_grace = milliseconds(50);
  Gate gate;
  actions_.Add(
      Protocol::kTcc, "reserve",
      [&](const Call&) {
        gate.Pass();
        return Reply::Done();
      },
      Done(), Done());
  Start();
  auto stream = Welcome();
  Command(*stream, 1, "g1");
  gate.AwaitArrivals(1);
  shell_->Stop();  // returns although the handler has not
  gate.Open();
  shell_->Join();  // which waits for it
}

TEST_F(ParticipantShellTest, WaitConnectedSaysWhatTheLastAttemptMet) {
  actions_.Add(Protocol::kTcc, "reserve", Done(), Done(), Done());
  Start();
  dials_[0]->Next()->Close(Unavailable("connection refused"));
  dials_[0]->Next();  // the second attempt hangs
  const Status status = shell_->WaitConnected(milliseconds(20));
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("connection refused"));
}

// A resource that holds a branch, answers late, from another thread, twice, or never.
class OddResource final : public Resource {
 public:
  std::vector<OfferedAction> Actions() const override { return {{"odd", Protocol::kTwoPhase}}; }
  void Execute(Call call, Responder respond) override {
    if (call.payload == "drop") return;
    std::thread([call, respond] {
      respond(Reply::Done("late"));
      respond(Reply::Refused("a second answer"));
    }).join();
  }
  std::vector<HeldBranch> Questions(std::size_t limit) override {
    EXPECT_GE(limit, 1u);
    ++questions_;
    return {{"held", "1", 1, 5}};
  }
  void Answer(const HeldBranch& branch, Verdict verdict, bool finished) override {
    const std::lock_guard lock(mutex_);
    answers_.push_back(branch.gid + (verdict == Verdict::kCommit ? " commit" : " other") +
                       (finished ? " finished" : ""));
    answered_.notify_all();
  }
  int questions() const { return questions_; }
  std::string FirstAnswer() {
    std::unique_lock lock(mutex_);
    answered_.wait_for(lock, seconds(10), [this] { return !answers_.empty(); });
    return answers_.empty() ? "none" : answers_.front();
  }

 private:
  std::atomic<int> questions_{0};
  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<std::string> answers_;
};

TEST_F(ParticipantShellTest, AResourceIsAskedForItsQuestionsOnConnectionAndAnswered) {
  OddResource resource;
  actions_.Attach(resource);
  Start();
  auto stream = Welcome();
  v1::ParticipantFrame frame;
  while (stream->Receive(&frame) && frame.queries_size() == 0) {
  }
  ASSERT_EQ(frame.queries_size(), 1);
  EXPECT_EQ(frame.queries(0).gid(), "held");
  EXPECT_EQ(frame.queries(0).began_epoch(), 5u);
  v1::CoordinatorFrame answers;
  v1::OutcomeAnswer* answer = answers.add_answers();
  answer->set_gid("held");
  answer->set_branch_id("1");
  answer->set_verdict(v1::OutcomeAnswer::COMMIT);
  stream->Send(answers);
  EXPECT_EQ(resource.FirstAnswer(), "held commit");
}

TEST_F(ParticipantShellTest, AQuestionGoesToTheCoordinatorThatBeganTheTransaction) {
  OddResource resource;  // holds a branch of coordinator 1
  actions_.Attach(resource);
  options_.question_interval = milliseconds(20);
  Start(2);
  auto b = Welcome(1);
  auto a = Welcome(0);
  v1::ParticipantFrame frame;
  while (a->Receive(&frame) && frame.queries_size() == 0) {
  }
  EXPECT_EQ(frame.queries_size(), 1);
}

// Coordinators that share a log: one is asked, and if it does not answer, another one next round.
TEST_F(ParticipantShellTest, OneCoordinatorOfALogIsAskedAnotherNextRound) {
  OddResource resource;  // holds a branch of coordinator 1
  actions_.Attach(resource);
  options_.question_interval = milliseconds(50);
  Start(2);
  auto a = Welcome(0, 1);
  v1::ParticipantFrame frame;
  while (a->Receive(&frame) && frame.queries_size() == 0) {
  }
  EXPECT_EQ(frame.queries_size(), 1);
  auto b = Welcome(1, 1);
  while (b->Receive(&frame) && frame.queries_size() == 0) {
  }
  EXPECT_EQ(frame.queries_size(), 1);
}

TEST_F(ParticipantShellTest, ASecondCoordinatorOfTheLogIsNotAskedAtOnce) {
  OddResource resource;  // holds a branch of coordinator 1
  actions_.Attach(resource);
  options_.question_interval = std::chrono::hours(1);
  Start(2);
  auto a = Welcome(0, 1);
  v1::ParticipantFrame frame;
  while (a->Receive(&frame) && frame.queries_size() == 0) {
  }
  EXPECT_EQ(frame.queries_size(), 1);
  auto b = Welcome(1, 1);
  while (resource.questions() < 2) std::this_thread::yield();
  Command(*b, 1, "g1", v1::TRY, "nothing of ours");
  EXPECT_TRUE(b->Receive(&frame));
  EXPECT_EQ(frame.queries_size(), 0);
}

TEST_F(ParticipantShellTest, AResourceThatAnswersTwiceOrNeverIsSurvived) {
  OddResource resource;
  actions_.Attach(resource);
  Start();
  auto stream = Welcome();
  v1::CoordinatorFrame frame;
  AddCommand(&frame, 1, "g1", v1::PREPARE, "odd");
  frame.mutable_commands(0)->set_protocol(v1::TWO_PHASE);
  stream->Send(frame);
  EXPECT_EQ(Reply1(*stream).result(), "late");
  frame.mutable_commands(0)->set_gid("g2");
  frame.mutable_commands(0)->set_payload("drop");
  stream->Send(frame);
  const v1::BranchReply dropped = Reply1(*stream);
  EXPECT_EQ(dropped.gid(), "g2");
  EXPECT_EQ(dropped.kind(), v1::BranchReply::RETRY_LATER);
}

// Streams are cut at random moments while commands run; nothing is run twice at once, everything
// asked on the last stream is answered, and no call is left behind.
TEST_F(ParticipantShellTest, ManyCutsLeaveNothingBehind) {
  options_.worker_threads = 4;
  std::mutex mutex;
  std::set<std::string> inside;
  std::atomic<int> overlaps{0};
  const auto handler = [&](const Call& call) {
    {
      const std::lock_guard lock(mutex);
      if (!inside.insert(call.gid).second) ++overlaps;
    }
    std::this_thread::yield();
    const std::lock_guard lock(mutex);
    inside.erase(call.gid);
    return Reply::Done(call.gid);
  };
  actions_.Add(Protocol::kTcc, "reserve", handler, handler, handler);
  Start();
  constexpr int kRounds = 50;
  constexpr int kBranches = 40;
  for (int round = 0; round < kRounds; ++round) {
    auto stream = Welcome();
    v1::CoordinatorFrame frame;
    for (int i = 0; i < kBranches; ++i) {
      const v1::Operation operation = round % 2 == 0 ? v1::TRY : v1::CANCEL;
      AddCommand(&frame, static_cast<std::uint64_t>(i + 1), "g" + std::to_string(i), operation);
    }
    stream->Send(frame);
    if (round + 1 < kRounds) {
      if (round % 3 == 0) {
        v1::ParticipantFrame some;
        stream->Receive(&some);
      }
      stream->Close(Unavailable("cut"));
      continue;
    }
    std::set<std::uint64_t> answered;
    v1::ParticipantFrame replies;
    while (answered.size() < kBranches && stream->Receive(&replies)) {
      for (const v1::BranchReply& reply : replies.replies()) {
        EXPECT_EQ(reply.result(), reply.operation() == v1::TRY ? reply.gid() : "");
        EXPECT_TRUE(answered.insert(reply.command_id()).second);
      }
    }
    EXPECT_EQ(answered.size(), static_cast<std::size_t>(kBranches));
  }
  EXPECT_EQ(overlaps, 0);
  shell_->Stop();
  EXPECT_EQ(shell_->Stats().running_calls, 0u);
}

}  // namespace
}  // namespace assent::internal
