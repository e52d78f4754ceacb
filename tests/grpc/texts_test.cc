// What initiators and operators send that no parser takes: the answer names what was wrong, and
// costs only itself. It was UNIMPLEMENTED with an empty message.

#include <map>

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/generic/generic_stub.h>

#include <assent/limits.h>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

class Texts : public ApiRig {
 protected:
  // One unary call of a method, with these bytes.
  std::string Send(const std::string& method, const std::string& bytes) {
    grpc::GenericStub generic(channel_);
    grpc::CompletionQueue queue;
    const auto context = Context();
    const grpc::Slice slice(bytes);
    auto call = generic.PrepareUnaryCall(context.get(), "/assent.v1.TransactionService/" + method,
                                         grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    (void)queue.Next(&tag, &ok);
    return Text(status);
  }

  google::protobuf::LogSilencer quiet_;  // protobuf tells stderr of each text that it refuses
};

constexpr const char* kBad = "caf\xe9";
constexpr const char* kSuffix = " is not UTF-8: texts are, bytes go into a payload";

TEST_F(Texts, EveryMethodNamesTheFieldThatIsNotUtf8) {
  const auto field = [](int number, const std::string& content) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(content.size())} +
           content;
  };
  const std::string gid = field(1, kBad);
  const std::string label = field(1, field(5, field(1, "shop") + field(2, kBad)));
  const std::map<std::string, std::pair<std::string, std::string>> cases{
      {"Submit", {label, "transaction.labels[\"shop\"]"}},
      {"Begin", {label, "transaction.labels[\"shop\"]"}},
      {"ExecuteBranch", {field(2, field(6, "a") + field(6, kBad)), "branch.after[1]"}},
      {"Commit", {gid, "gid"}},
      {"Rollback", {field(3, kBad), "reason"}},
      {"Get", {gid, "gid"}},
      {"List", {field(6, kBad), "gid_prefix"}},
      {"Wait", {gid, "gid"}},
      {"RetryNow", {field(1, field(2, kBad)), "action.who"}},
      {"Abort", {field(1, field(3, kBad)), "action.reason"}},
      {"Suspend", {field(1, field(2, kBad)), "action.who"}},
      {"Resume", {field(1, field(2, kBad)), "action.who"}},
      {"ResolveBranch", {field(2, kBad), "branch_id"}},
      {"Forget", {field(1, field(2, kBad)), "action.who"}},
      {"ListAudit", {field(2, kBad), "who"}},
      {"ListCauses", {field(6, kBad), "gid_prefix"}},
      {"ListParticipants", {field(1, kBad), "service_prefix"}},
      {"SetBreaker", {field(2, kBad), "instance"}},
      {"Watch", {gid, "gid"}},
      {"Events", {field(1, kBad), "after"}},
  };
  for (const auto& [method, one] : cases)
    EXPECT_EQ(Send(method, one.first), "INVALID_ARGUMENT: " + one.second + kSuffix) << method;
  const auto& methods = *v1::SubmitRequest::descriptor()->file()->service(0);
  for (int i = 0; i < methods.method_count(); ++i) {
    const auto& method = *methods.method(i);
    if (method.client_streaming()) continue;
    EXPECT_EQ(cases.count(method.name()), method.input_type()->field_count() > 0 ? 1u : 0u)
        << method.name();
    EXPECT_EQ(Send(method.name(), "\xff\xff\xff\xff no message"),
              "INVALID_ARGUMENT: the request is not a valid " + method.input_type()->full_name() +
                  " message");
  }
}

TEST_F(Texts, WhatIsTooLargeIsToldTheLimit) {
  v1::SubmitRequest request = Submit("g");
  for (int i = 0; i < 4; ++i)
    AddBranch(request, "large-" + std::to_string(i))->set_payload(std::string(1'048'576, 'p'));
  const std::string told = TrySubmit(request);
  EXPECT_NE(told.find(std::to_string(limits::kMaxFrameBytes)), std::string::npos) << told;
}

TEST_F(Texts, OneBadSubmitOfAStreamCostsItself) {
  RawSession participant(channel_);
  participant.Join("s");
  std::thread answering([&] {
    for (int i = 0; i < 4; ++i) participant.Reply(RawSession::ReplyTo(participant.Next()));
  });
  auto context = Context();
  auto stream = stub_->SubmitStream(context.get());
  v1::SubmitRequestFrame frame;
  for (int i = 1; i <= 3; ++i) {
    v1::SubmitRequest request = Submit("g" + std::to_string(i));
    if (i == 2) (*request.mutable_transaction()->mutable_labels())["shop"] = kBad;
    request.set_request_id(static_cast<std::uint64_t>(i));
    *frame.add_requests() = request;
  }
  ASSERT_TRUE(stream->Write(frame));
  stream->WritesDone();
  std::map<std::uint64_t, v1::SubmitReply> replies;
  v1::SubmitReplyFrame got;
  while (stream->Read(&got)) {
    for (const v1::SubmitReply& reply : got.replies()) replies[reply.request_id()] = reply;
  }
  answering.join();
  EXPECT_EQ(Text(stream->Finish()), "OK");
  EXPECT_EQ(replies[1].outcome(), v1::COMMITTED);
  EXPECT_EQ(replies[2].error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(replies[2].error_message(), std::string("transaction.labels[\"shop\"]") + kSuffix);
  EXPECT_EQ(replies[3].outcome(), v1::COMMITTED);
}

// The end of a stream says why it ended; it was OK, as if all were well.
TEST_F(Texts, AFrameThatIsNoneEndsItsStreamWithAReason) {
  grpc::GenericStub generic(channel_);
  for (const auto& [bytes, told] : std::vector<std::pair<std::string, std::string>>{
           {"\xff\xff\xff\xff no frame",
            "INVALID_ARGUMENT: the request is not a valid assent.v1.SubmitRequestFrame message"},
           {std::string(limits::kMaxFrameBytes + 1, 'x'),
            std::to_string(limits::kMaxFrameBytes)}}) {
    grpc::CompletionQueue queue;
    const auto context = Context();
    const auto wait = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    auto stream =
        generic.PrepareCall(context.get(), "/assent.v1.TransactionService/SubmitStream", &queue);
    stream->StartCall(nullptr);
    ASSERT_TRUE(wait());
    const grpc::Slice slice(bytes);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    (void)wait();
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    EXPECT_FALSE(wait());
    grpc::Status status;
    stream->Finish(&status, nullptr);
    (void)wait();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(Text(status).find(told), std::string::npos) << Text(status);
  }
}

}  // namespace
}  // namespace assent::test
