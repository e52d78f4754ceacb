#include "coordinator/grpc/transaction_service.h"

#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/grpc/raw_service.h"
#include "coordinator/grpc/streams.h"

namespace assent::door {
namespace {

class TransactionService final : public RawService<v1::TransactionService::Service> {
 public:
  explicit TransactionService(service::Service& service)
      : RawService(service, *v1::SubmitRequest::descriptor()->file()->FindServiceByName(
                                "TransactionService")) {
    Unary<v1::SubmitRequest, v1::SubmitReply>();
    Unary<v1::BeginRequest, v1::BeginReply>();
    Unary<v1::ExecuteBranchRequest, v1::ExecuteBranchReply>();
    Unary<v1::CommitRequest, v1::SubmitReply>();
    Unary<v1::RollbackRequest, v1::SubmitReply>();
    Unary<v1::WaitRequest, v1::SubmitReply>();
    Unary<v1::GetRequest, v1::Transaction>();
    Unary<v1::ListRequest, v1::ListReply>();
    Unary<v1::ListParticipantsRequest, v1::ListParticipantsReply>();
    Unary<v1::GetServerInfoRequest, v1::ServerInfo>();
    Unary<v1::RetryNowRequest, v1::OperatorReply>();
    Unary<v1::AbortRequest, v1::OperatorReply>();
    Unary<v1::SuspendRequest, v1::OperatorReply>();
    Unary<v1::ResumeRequest, v1::OperatorReply>();
    Unary<v1::ResolveBranchRequest, v1::OperatorReply>();
    Unary<v1::ForgetRequest, v1::OperatorReply>();
    Serve<v1::SubmitRequestFrame>(
        new grpc::internal::CallbackBidiHandler<Bytes, Bytes>([this](Context* context) {
          return StartSubmitStream(service_, CallerOf(*context), context);
        }));
    Serve<v1::WatchRequest>(new grpc::internal::CallbackServerStreamingHandler<Bytes, Bytes>(
        [this](Context* context, const Bytes* request) {
          auto* const watch = StartWatch(service_, CallerOf(*context), context, *request);
          Free(*request);
          return watch;
        }));
    CheckAllAreServed();
  }
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransactionService(service::Service& service) {
  return std::make_unique<TransactionService>(service);
}

}  // namespace assent::door
