// Every kind of bad input has a status code, a message that names the field and the limit, and
// leaves everything as it was.

#include <functional>
#include <thread>

#include <grpcpp/generic/generic_stub.h>

#include <assent/limits.h>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

using BadInput = ApiRig;

TEST_F(BadInput, SubmitNamesTheFieldAndTheLimit) {
  using Spoil = std::function<void(v1::SubmitRequest&)>;
  const auto first = [](v1::SubmitRequest& r) {
    return r.mutable_transaction()->mutable_branches(0);
  };
  const std::vector<std::pair<std::string, Spoil>> cases{
      {"gid has 65 bytes, the limit is 64",
       [](auto& r) { r.mutable_transaction()->set_gid(std::string(65, 'x')); }},
      {"gid is \"a b\": only [A-Za-z0-9._:-] are allowed",
       [](auto& r) { r.mutable_transaction()->set_gid("a b"); }},
      {"branches is empty: a transaction needs at least one",
       [](auto& r) { r.mutable_transaction()->clear_branches(); }},
      {"branches has 129 entries, the limit is 128",
       [](auto& r) {
         for (int i = 0; i < 128; ++i) AddBranch(r, "more-" + std::to_string(i));
       }},
      {"branches[0].protocol is 9: it takes TWO_PHASE, TCC or SAGA",
       [&](auto& r) { first(r)->set_protocol(static_cast<v1::Protocol>(9)); }},
      {"branches[0].protocol is 0: it takes TWO_PHASE, TCC or SAGA",
       [&](auto& r) { first(r)->clear_protocol(); }},
      {"branches[0].service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]",
       [&](auto& r) { first(r)->clear_service(); }},
      {"branches[0].action is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]",
       [&](auto& r) { first(r)->clear_action(); }},
      {"branches[1].branch_id \"b1\" is used twice: branch ids are unique within a transaction",
       [](auto& r) { AddBranch(r, "b1"); }},
      {"branches[0].after names \"nobody\", which is no branch of this transaction",
       [&](auto& r) { first(r)->add_after("nobody"); }},
      {"branches follow one another in a circle: `after` must not have cycles",
       [&](auto& r) {
         AddBranch(r, "b2")->add_after("b1");
         first(r)->add_after("b2");
       }},
      {"branches[0].payload has 1048577 bytes, the limit is 1048576",
       [&](auto& r) { first(r)->set_payload(std::string(limits::kMaxPayloadBytes + 1, 'x')); }},
      {"deadline_ms is 604800001, the limit is 604800000",
       [](auto& r) { r.mutable_transaction()->set_deadline_ms(limits::kMaxDeadlineMs + 1); }},
      {"deadline_ms is -1: it cannot be negative",
       [](auto& r) { r.mutable_transaction()->set_deadline_ms(-1); }},
      {"labels has 17 entries, the limit is 16",
       [](auto& r) {
         for (int i = 0; i < 17; ++i)
           (*r.mutable_transaction()->mutable_labels())["k" + std::to_string(i)] = "v";
       }},
      {"labels[k] has 257 bytes, the limit is 256",
       [](auto& r) { (*r.mutable_transaction()->mutable_labels())["k"] = std::string(257, 'v'); }},
      {"branches[0].headers[h] has 1025 bytes, the limit is 1024",
       [&](auto& r) { (*first(r)->mutable_headers())["h"] = std::string(1025, 'v'); }},
      {"branches[0].attempt_timeout_ms is 3600001, the limit is 3600000",
       [&](auto& r) { first(r)->set_attempt_timeout_ms(3'600'001); }},
      {"branches[0].pivot is set on a tcc branch: only a SAGA step can be a pivot",
       [&](auto& r) { first(r)->set_pivot(true); }},
      {"ordering is 7: it takes ORDERING_SEQUENTIAL or ORDERING_DECLARED, or nothing",
       [](auto& r) { r.mutable_transaction()->set_ordering(static_cast<v1::Ordering>(7)); }},
      {"wait_for is 9: it takes WAIT_ACCEPTED, WAIT_DECIDED or WAIT_COMPLETED",
       [](auto& r) { r.set_wait_for(static_cast<v1::WaitFor>(9)); }},
  };
  for (const auto& [message, spoil] : cases) {
    v1::SubmitRequest request = Submit("g");
    spoil(request);
    EXPECT_EQ(TrySubmit(request), "INVALID_ARGUMENT: " + message);
  }
  v1::GetRequest get;
  get.set_gid("g");
  v1::Transaction txn;
  EXPECT_EQ(Text(stub_->Get(Context().get(), get, &txn)),
            "NOT_FOUND: no transaction g among the unfinished and the retained finished ones")
      << "one of them began something";
}

TEST_F(BadInput, AStreamedSubmitFailsAloneAndTheStreamGoesOn) {
  RawSession participant(channel_);
  participant.Join("s");
  std::thread answering([&] {
    for (int i = 0; i < 2; ++i) participant.Reply(RawSession::ReplyTo(participant.Next()));
  });
  auto context = Context();
  auto stream = stub_->SubmitStream(context.get());
  v1::SubmitRequestFrame frame;
  *frame.add_requests() = Submit("a b");
  frame.mutable_requests(0)->set_request_id(1);
  *frame.add_requests() = Submit("good");
  frame.mutable_requests(1)->set_request_id(2);
  ASSERT_TRUE(stream->Write(frame));
  stream->WritesDone();
  std::map<std::uint64_t, v1::SubmitReply> replies;
  v1::SubmitReplyFrame got;
  while (stream->Read(&got)) {
    for (const v1::SubmitReply& reply : got.replies()) replies[reply.request_id()] = reply;
  }
  answering.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(replies[1].error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(replies[2].outcome(), v1::COMMITTED);
}

TEST_F(BadInput, GidsThatAreWrongOrUnknown) {
  for (const auto& [gid, answer] : std::vector<std::pair<std::string, std::string>>{
           {"", "INVALID_ARGUMENT: gid is empty: it takes 1 to 64 of [A-Za-z0-9._:-]"},
           {std::string(65, 'g'), "INVALID_ARGUMENT: gid has 65 bytes, the limit is 64"},
           {"a/b", "INVALID_ARGUMENT: gid is \"a/b\": only [A-Za-z0-9._:-] are allowed"},
           {"nobody",
            "NOT_FOUND: no transaction nobody among the unfinished and the retained finished "
            "ones"}}) {
    v1::WaitRequest wait;
    wait.set_gid(gid);
    v1::SubmitReply reply;
    EXPECT_EQ(Text(stub_->Wait(Context().get(), wait, &reply)), answer);
    v1::AbortRequest abort;
    abort.mutable_action()->set_who("ann");
    abort.mutable_action()->set_gid(gid);
    v1::OperatorReply operated;
    EXPECT_EQ(Text(stub_->Abort(Context().get(), abort, &operated)), answer);
    v1::CommitRequest commit;
    commit.set_gid(gid);
    EXPECT_EQ(Text(stub_->Commit(Context().get(), commit, &reply)), answer);
  }
}

// While it drains, new work is refused, and what holds up the drain can be seen and dealt with.
TEST_F(BadInput, ADrainRefusesOnlyNewWork) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  server_->BeginDrain();
  EXPECT_EQ(TrySubmit(Submit("h")),
            "UNAVAILABLE: this coordinator takes no new work: it is stopping");
  EXPECT_EQ(Get("g").state(), v1::ACTIVE);
  v1::AbortRequest abort;
  abort.mutable_action()->set_who("ann");
  abort.mutable_action()->set_gid("g");
  v1::OperatorReply reply;
  EXPECT_EQ(Text(stub_->Abort(Context().get(), abort, &reply)), "OK");
}

TEST_F(BadInput, TheSameGidWithOtherContent) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  EXPECT_EQ(TrySubmit(request), "OK") << "the same again joins";
  request.mutable_transaction()->mutable_branches(0)->set_payload("other");
  EXPECT_EQ(TrySubmit(request),
            "ALREADY_EXISTS: gid g belongs to a transaction with other content: use a new gid, or "
            "repeat the request exactly");
}

TEST_F(BadInput, AnAbsentParticipantIsWaitedForAndNamed) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.mutable_transaction()->set_deadline_ms(600);
  v1::SubmitReply reply;
  std::thread submitting([&] { EXPECT_EQ(TrySubmit(request, &reply), "OK"); });
  v1::Transaction txn;
  v1::GetRequest get;
  get.set_gid("g");
  while (!stub_->Get(Context().get(), get, &txn).ok() || txn.branches(0).last_error().empty())
    std::this_thread::yield();
  EXPECT_NE(txn.why_not_finished().find("branch b1 absent/act: TRY"), std::string::npos)
      << txn.why_not_finished();
  EXPECT_NE(txn.why_not_finished().find("no participant absent is connected, nor was any since "
                                        "the start (for "),
            std::string::npos);
  submitting.join();
  EXPECT_EQ(reply.outcome(), v1::ABORTED);
  EXPECT_EQ(reply.abort_reason().substr(0, reply.abort_reason().rfind(" (")),
            "deadline of 600 ms passed: branch b1 absent/act: no participant absent is connected, "
            "nor was any since the start");
}

TEST_F(BadInput, AnUnknownActionIsRefusedWithWhatThereIs) {
  RawSession participant(channel_);
  participant.Join("s");
  v1::SubmitRequest request = Submit("g");
  request.mutable_transaction()->mutable_branches(0)->set_action("nope");
  v1::SubmitReply reply;
  EXPECT_EQ(TrySubmit(request, &reply), "OK");
  EXPECT_EQ(reply.outcome(), v1::ABORTED);
  EXPECT_EQ(reply.abort_reason(),
            "branch b1 s/nope refused: participant s has no action tcc:nope; it offers 2pc:act, "
            "tcc:act, saga:act");
}

TEST_F(BadInput, InteractiveCallsInTheWrongState) {
  v1::BeginRequest begin;
  begin.mutable_transaction()->set_gid("g");
  begin.mutable_transaction()->set_deadline_ms(300);
  v1::BeginReply began;
  ASSERT_EQ(Text(stub_->Begin(Context().get(), begin, &began)), "OK");
  ASSERT_EQ(Text(stub_->Begin(Context().get(), begin, &began)), "OK") << "begin is idempotent";
  v1::WaitRequest wait;
  wait.set_gid("g");
  v1::SubmitReply reply;
  ASSERT_EQ(Text(stub_->Wait(Context().get(), wait, &reply)),
            "OK");  // until the deadline aborts it
  EXPECT_EQ(reply.outcome(), v1::ABORTED);
  v1::CommitRequest commit;
  commit.set_gid("g");
  EXPECT_EQ(Text(stub_->Commit(Context().get(), commit, &reply)),
            "FAILED_PRECONDITION: transaction g was aborted: deadline of 300 ms passed: "
            "its initiator had not said Commit");
  v1::ExecuteBranchRequest execute;
  execute.set_gid("g");
  *execute.mutable_branch() = Submit("x").transaction().branches(0);
  v1::ExecuteBranchReply executed;
  EXPECT_EQ(stub_->ExecuteBranch(Context().get(), execute, &executed).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  execute.mutable_branch()->clear_service();
  begin.mutable_transaction()->set_gid("h");
  begin.mutable_transaction()->set_deadline_ms(20'000);
  ASSERT_EQ(Text(stub_->Begin(Context().get(), begin, &began)), "OK");
  execute.set_gid("h");
  EXPECT_EQ(Text(stub_->ExecuteBranch(Context().get(), execute, &executed)),
            "INVALID_ARGUMENT: branch.service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]");
  *begin.mutable_transaction()->add_branches() = Submit("x").transaction().branches(0);
  begin.mutable_transaction()->set_gid("i");
  EXPECT_EQ(Text(stub_->Begin(Context().get(), begin, &began)),
            "INVALID_ARGUMENT: branches must be empty for Begin: add them with ExecuteBranch, or "
            "use Submit");
}

TEST_F(BadInput, ResolvingInTheWrongState) {
  v1::SubmitRequest request = Submit("g", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  v1::ResolveBranchRequest resolve;
  resolve.mutable_action()->set_gid("g");
  resolve.mutable_action()->set_who("ann");
  resolve.set_branch_id("b1");
  resolve.set_resolution(v1::DECISION_COMMIT);
  v1::OperatorReply reply;
  EXPECT_EQ(Text(stub_->ResolveBranch(Context().get(), resolve, &reply)),
            "FAILED_PRECONDITION: branch b1 is EXECUTING: only a branch that is being committed or "
            "undone can be resolved by hand");
  resolve.set_branch_id("b9");
  EXPECT_EQ(Text(stub_->ResolveBranch(Context().get(), resolve, &reply)),
            "NOT_FOUND: transaction g has no branch b9");
  resolve.set_branch_id("b1");
  resolve.clear_resolution();
  EXPECT_EQ(
      Text(stub_->ResolveBranch(Context().get(), resolve, &reply)),
      "INVALID_ARGUMENT: resolution is not given: it takes DECISION_COMMIT or DECISION_ABORT");
  resolve.mutable_action()->set_reason(std::string(1025, 'r'));
  EXPECT_EQ(Text(stub_->ResolveBranch(Context().get(), resolve, &reply)),
            "INVALID_ARGUMENT: reason has 1025 bytes, the limit is 1024");
  v1::ForgetRequest forget;
  forget.mutable_action()->set_gid("g");
  forget.mutable_action()->set_who("ann");
  EXPECT_EQ(Text(stub_->Forget(Context().get(), forget, &reply)),
            "FAILED_PRECONDITION: transaction g is ACTIVE: only a finished one can be forgotten");
}

TEST_F(BadInput, ListRefusesWhatItCannotMean) {
  const auto list = [&](const std::function<void(v1::ListRequest&)>& set) {
    v1::ListRequest request;
    set(request);
    v1::ListReply reply;
    return Text(stub_->List(Context().get(), request, &reply));
  };
  EXPECT_EQ(list([](auto& r) { r.set_page_size(1001); }),
            "INVALID_ARGUMENT: page_size is 1001, the limit is 1000");
  EXPECT_EQ(list([](auto& r) { r.set_page_token("junk"); }),
            "INVALID_ARGUMENT: page_token is not one that a List of this coordinator gave");
  EXPECT_EQ(list([](auto& r) {
              r.set_all(true);
              r.add_states(v1::ACTIVE);
            }),
            "INVALID_ARGUMENT: states must be empty when all is set");
}

// ---- Participants that break the rules ----------------------------------------------------------

TEST_F(BadInput, RepliesThatNobodyAskedForChangeNothing) {
  RawSession participant(channel_);
  participant.Join("s");
  v1::SubmitRequest request = Submit("g");
  AddBranch(request, "b2", "absent");
  request.set_wait_for(v1::WAIT_ACCEPTED);
  ASSERT_EQ(TrySubmit(request), "OK");
  const v1::BranchCommand command = participant.Next();
  ASSERT_EQ(command.branch_id(), "b1");
  v1::BranchReply never_asked = RawSession::ReplyTo(command);
  never_asked.set_branch_id("b2");
  participant.Reply(never_asked);
  v1::BranchReply other_gid = RawSession::ReplyTo(command);
  other_gid.set_gid("other");
  participant.Reply(other_gid);
  v1::BranchReply wrong_operation = RawSession::ReplyTo(command);
  wrong_operation.set_operation(v1::CONFIRM);
  participant.Reply(wrong_operation);
  participant.Reply(RawSession::ReplyTo(command));
  participant.Reply(
      RawSession::ReplyTo(command, v1::BranchReply::REFUSED));  // a second answer, and another one
  v1::WatchRequest watch;
  watch.set_gid("g");
  auto context = Context();
  auto watching = stub_->Watch(context.get(), watch);
  v1::Transaction txn;
  while (watching->Read(&txn) && txn.branches(0).state() != v1::EXECUTED) continue;
  EXPECT_EQ(txn.branches(0).state(), v1::EXECUTED);
  EXPECT_EQ(txn.branches(1).state(), v1::EXECUTING);
  context->TryCancel();
  // The stream is as good as before.
  v1::AbortRequest abort;
  abort.mutable_action()->set_who("ann");
  abort.mutable_action()->set_gid("g");
  v1::OperatorReply reply;
  ASSERT_EQ(Text(stub_->Abort(Context().get(), abort, &reply)), "OK");
  EXPECT_EQ(participant.Next().operation(), v1::CANCEL);
}

TEST_F(BadInput, SessionsThatBreakTheRulesAreEndedWithTheReason) {
  {
    RawSession session(channel_);
    session.Write({});
    EXPECT_EQ(Text(session.End()),
              "FAILED_PRECONDITION: the first frame of a session must carry hello");
  }
  {
    RawSession session(channel_);
    session.Hello("", {});
    EXPECT_EQ(Text(session.End()),
              "INVALID_ARGUMENT: hello.service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]");
  }
  RawSession good(channel_);
  good.Join("s");
  {
    RawSession twice(channel_);
    twice.Join("t");
    twice.Hello("t", {});
    EXPECT_EQ(Text(twice.End()), "FAILED_PRECONDITION: hello came twice on one session");
  }
  {
    RawSession flood(channel_);
    flood.Join("t");
    v1::ParticipantFrame frame;
    for (std::size_t i = 0; i <= limits::kMaxFrameMessagesCount; ++i) frame.add_replies();
    flood.Write(frame);
    EXPECT_EQ(Text(flood.End()), "INVALID_ARGUMENT: the frame has 257 messages, the limit is 256");
  }
  v1::SubmitReply reply;
  std::thread answering([&] { good.Reply(RawSession::ReplyTo(good.Next())); });
  EXPECT_EQ(TrySubmit(Submit("g"), &reply), "OK") << "the good one was disturbed";
  answering.join();
  EXPECT_EQ(reply.outcome(), v1::COMMITTED);
}

TEST_F(BadInput, AFrameThatDoesNotParseEndsOnlyItsOwnStream) {
  grpc::GenericStub generic(channel_);
  grpc::CompletionQueue queue;
  auto context = Context();
  auto stream = generic.PrepareCall(context.get(), "/assent.v1.ParticipantSession/Connect", &queue);
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  stream->StartCall(nullptr);
  ASSERT_TRUE(wait());
  const grpc::Slice garbage("\xff\xff\xff\xff this is no frame");
  stream->Write(grpc::ByteBuffer(&garbage, 1), nullptr);
  ASSERT_TRUE(wait());
  grpc::ByteBuffer answer;
  stream->Read(&answer, nullptr);
  EXPECT_FALSE(wait()) << "an answer to garbage";
  grpc::Status status;
  stream->Finish(&status, nullptr);
  (void)wait();

  RawSession good(channel_);
  good.Join("s");
}

}  // namespace
}  // namespace assent::test
