#include "assent/v1/batch.grpc.pb.h"
#include "coordinator/grpc/raw_service.h"
#include "coordinator/grpc/transaction_service.h"

namespace assent::door {
namespace {

class BatchService final : public RawService<v1::BatchService::Service> {
 public:
  explicit BatchService(service::Service& service)
      : RawService(service,
                   *v1::BatchRequest::descriptor()->file()->FindServiceByName("BatchService")) {
    Unary<v1::BatchRequest, v1::BatchReply>();
    CheckAllAreServed();
  }
};

}  // namespace

std::unique_ptr<grpc::Service> MakeBatchService(service::Service& service) {
  return std::make_unique<BatchService>(service);
}

}  // namespace assent::door
