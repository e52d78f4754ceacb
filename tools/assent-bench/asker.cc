#include <grpcpp/grpcpp.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assent-bench/fleet.h"

namespace assent::bench {

struct Asker::Impl {
  std::unique_ptr<v1::TransactionService::Stub> stub;
};

Asker::Asker(const std::string& endpoint) : impl_(std::make_unique<Impl>()) {
  impl_->stub = v1::TransactionService::NewStub(
      grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()));
}
Asker::~Asker() = default;

ServerInfo Asker::Ask() const {
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

}  // namespace assent::bench
