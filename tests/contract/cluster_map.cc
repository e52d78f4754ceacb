#include "tests/contract/cluster_map.h"

#include "assent/v1/cluster.grpc.pb.h"
#include "tests/contract/limits.h"
#include "tests/contract/session_server.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

constexpr int kSlotsCount = 16;

class Service final : public v1::ClusterService::Service {
 public:
  explicit Service(const ClusterMap& map) : map_(map) {}
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchClusterRequest* /*request*/,
                     grpc::ServerWriter<v1::ClusterView>* stream) override {
    v1::ClusterView said = map_.view();
    while (stream->Write(said)) {
      test::WaitUntil(
          [&] { return context->IsCancelled() || map_.view().version() != said.version(); },
          kMaxPatience);
      if (context->IsCancelled()) break;
      said = map_.view();
    }
    return {grpc::StatusCode::UNAVAILABLE, "stopping"};
  }
  grpc::Status Get(grpc::ServerContext* /*context*/, const v1::GetClusterRequest* /*request*/,
                   v1::ClusterView* view) override {
    *view = map_.view();
    return grpc::Status::OK;
  }

 private:
  const ClusterMap& map_;
};

}  // namespace

void ClusterMap::Show(const std::vector<Member>& members) {
  const MutexLock lock(mutex_);
  ++version_;
  view_.Clear();
  if (members.empty()) return;
  view_.set_version(version_);
  view_.set_coordinator_id(SessionServer::kCoordinatorId);
  view_.set_generation(1);
  view_.set_answered_by(members.front().epoch);
  view_.set_lease_ms(1000);
  for (const Member& one : members) {
    v1::ClusterMember* const member = view_.add_members();
    member->set_epoch(one.epoch);
    member->set_node("member-" + std::to_string(view_.members_size()));
    member->set_address(one.address);
  }
  for (int i = 0; i < kSlotsCount; ++i) view_.mutable_slots()->append(std::string("\1\0", 2));
}

v1::ClusterView ClusterMap::view() const {
  const MutexLock lock(mutex_);
  return view_;
}

std::uint64_t ClusterMap::NewEpoch() {
  const MutexLock lock(mutex_);
  return ++epoch_;
}

std::unique_ptr<grpc::Service> NewClusterService(const ClusterMap& map) {
  return std::make_unique<Service>(map);
}

}  // namespace assent::contract
