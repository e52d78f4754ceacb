#include <algorithm>

#include <grpcpp/grpcpp.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assent-bench/certificates.h"
#include "tools/assent-bench/fleet.h"

namespace assent::bench {

struct Asker::Impl {
  std::unique_ptr<v1::TransactionService::Stub> stub;
};

Asker::Asker(const std::string& endpoint, const std::string& tls_folder)
    : impl_(std::make_unique<Impl>()) {
  if (endpoint.empty()) return;
  impl_->stub = v1::TransactionService::NewStub(
      grpc::CreateChannel(endpoint, ChannelCredentialsOf(tls_folder, "initiator")));
}
Asker::~Asker() = default;

ServerInfo Asker::Ask() const {
  if (impl_->stub == nullptr) return {};
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::ServerInfo info;
  if (!impl_->stub->GetServerInfo(&context, {}, &info).ok()) return {};
  return {.begun = info.begun(),
          .active = info.active(),
          .retained = info.retained(),
          .records = info.log_records(),
          .commits = info.log_commits()};
}

namespace {

// Who has less than three quarters of its share asks for more, and with more it is content.
bool IsShared(const v1::ClusterView& view, int coordinators) {
  const auto slots = static_cast<std::uint32_t>(view.slots().size() / 2);
  const auto least = slots / static_cast<std::uint32_t>(coordinators) * 3 / 4;
  return view.members_size() == coordinators &&
         std::all_of(view.members().begin(), view.members().end(),
                     [least](const v1::ClusterMember& member) { return member.slots() >= least; });
}

}  // namespace

void WaitShared(const std::string& endpoint, int coordinators, const std::string& tls_folder) {
  const auto stub = v1::ClusterService::NewStub(
      grpc::CreateChannel(endpoint, ChannelCredentialsOf(tls_folder, "initiator")));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto reader = stub->Watch(&context, {});
  v1::ClusterView view;
  while (reader->Read(&view)) {
    if (!IsShared(view, coordinators)) continue;
    context.TryCancel();
    return;
  }
  Die("the coordinators did not share the log within a minute");
}

}  // namespace assent::bench
