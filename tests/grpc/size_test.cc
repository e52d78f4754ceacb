// The largest transaction over a channel with default settings, which takes messages of 4 MiB
// (tests/service has what is in them).

#include <thread>

#include <assent/limits.h>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

using SizeOverTheWire = ApiRig;
TEST_F(SizeOverTheWire, GetAndWatchOfTheLargestSubmit) {
  RawSession participant(channel_);
  participant.Join("s");
  v1::SubmitRequest request = Submit("g", "s", v1::SAGA);
  request.mutable_transaction()->clear_branches();
  request.set_wait_for(v1::WAIT_COMPLETED);
  for (int i = 0; i < 8; ++i)
    AddBranch(request, "b" + std::to_string(i), "s", v1::SAGA)
        ->set_payload(std::string(limits::kMaxTransactionBytes / 8, 'p'));
  std::thread answering([&] {
    for (int i = 0; i < 8; ++i) {
      v1::BranchReply reply = RawSession::ReplyTo(participant.Next());
      reply.set_result(std::string(limits::kMaxResultBytes, 'r'));
      participant.Reply(reply);
    }
  });
  EXPECT_EQ(TrySubmit(request), "OK");
  answering.join();
  v1::GetRequest get;
  get.set_gid("g");
  get.set_payloads(true);
  get.set_results(true);
  v1::Transaction txn;
  ASSERT_EQ(Text(stub_->Get(Context().get(), get, &txn)), "OK");
  std::size_t payloads = 0;
  for (const v1::Branch& branch : txn.branches()) {
    EXPECT_EQ(branch.result().size(), limits::kMaxResultBytes);
    EXPECT_EQ(branch.spec().payload_bytes(), limits::kMaxTransactionBytes / 8);
    payloads += branch.spec().payload().empty() ? 0 : 1;
  }
  EXPECT_LT(payloads, 8u) << "both together have no room";
  get.set_branch_id("b7");
  ASSERT_EQ(Text(stub_->Get(Context().get(), get, &txn)), "OK");
  EXPECT_EQ(txn.branches(0).spec().payload().size(), limits::kMaxTransactionBytes / 8);
  get.set_branch_id("b9");
  EXPECT_EQ(Text(stub_->Get(Context().get(), get, &txn)),
            "NOT_FOUND: transaction g has no branch b9");
  EXPECT_TRUE(Get("g").branches(0).result().empty()) << "not asked for";
  v1::WatchRequest watch;
  watch.set_gid("g");
  watch.set_payloads(true);
  watch.set_results(true);
  auto context = Context();
  auto watching = stub_->Watch(context.get(), watch);
  ASSERT_TRUE(watching->Read(&txn));
  EXPECT_EQ(txn.state(), v1::FINISHED);
  EXPECT_FALSE(watching->Read(&txn));
  EXPECT_EQ(Text(watching->Finish()), "OK");
}

}  // namespace
}  // namespace assent::test
