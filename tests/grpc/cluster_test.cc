// ClusterService at a daemon that is alone with its log.

#include "assent/v1/cluster.grpc.pb.h"
#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

class AloneTest : public ApiRig {
 protected:
  std::unique_ptr<v1::ClusterService::Stub> cluster() {
    return v1::ClusterService::NewStub(channel_);
  }
};

TEST_F(AloneTest, TheViewHasVersionZero) {
  v1::ClusterView view;
  v1::GetClusterRequest request;
  request.set_load(true);
  ASSERT_EQ(Text(cluster()->Get(Context().get(), request, &view)), "OK");
  EXPECT_EQ(view.version(), 0U);
  EXPECT_NE(view.coordinator_id(), 0U);
  EXPECT_EQ(view.members_size(), 0);
}

TEST_F(AloneTest, AWatchShowsItOnceAndEndsWhenTheDaemonStops) {
  const auto context = Context();
  const auto stub = cluster();
  const auto watch = stub->Watch(context.get(), {});
  v1::ClusterView view;
  ASSERT_TRUE(watch->Read(&view));
  EXPECT_EQ(view.version(), 0U);
  server_->Stop();
  EXPECT_FALSE(watch->Read(&view));
  EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(AloneTest, ThereIsNothingToMove) {
  v1::ClusterReply reply;
  v1::MoveSlotsRequest move;
  move.mutable_action()->set_who("ann");
  EXPECT_EQ(cluster()->Move(Context().get(), move, &reply).error_code(), grpc::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace assent::test
