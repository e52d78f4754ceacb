#include "assent/v1/cluster.grpc.pb.h"
#include "coordinator/grpc/raw_service.h"
#include "coordinator/grpc/streams.h"
#include "coordinator/grpc/transaction_service.h"

namespace assent::door {
namespace {

class ClusterService final : public RawService<v1::ClusterService::Service> {
 public:
  explicit ClusterService(service::Service& service)
      : RawService(service, *v1::GetClusterRequest::descriptor()->file()->FindServiceByName(
                                "ClusterService")) {
    Unary<v1::GetClusterRequest, v1::ClusterView>();
    Unary<v1::DrainMemberRequest, v1::ClusterReply>();
    Unary<v1::MoveSlotsRequest, v1::ClusterReply>();
    Unary<v1::FenceMemberRequest, v1::ClusterReply>();
    Unary<v1::GiveWayRequest, v1::GiveWayReply>();
    Stream<v1::WatchClusterRequest>([this](const service::Caller& caller, const StayPtr& stay,
                                           Context* context, const Bytes& request) {
      return StartClusterWatch(service_, caller, stay, context, request);
    });
    CheckAllAreServed();
  }
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClusterService(service::Service& service) {
  return std::make_unique<ClusterService>(service);
}

}  // namespace assent::door
