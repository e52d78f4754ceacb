#include "coordinator/grpc/transaction_service.h"

#include <utility>

#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/grpc/call.h"
#include "coordinator/grpc/streams.h"

namespace assent::door {
namespace {

using Bytes = grpc::ByteBuffer;
using Context = grpc::CallbackServerContext;

// Takes every method's request as bytes (call.h says why), which the generated code has a class for
// each of; this is what those do.
class TransactionService final : public v1::TransactionService::Service {
 public:
  explicit TransactionService(service::Service& service) : service_(service) {
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
          return StartSubmitStream(service_, CallerOf(context->peer()), context);
        }));
    Serve<v1::WatchRequest>(new grpc::internal::CallbackServerStreamingHandler<Bytes, Bytes>(
        [this](Context* context, const Bytes* request) {
          auto* const watch = StartWatch(service_, CallerOf(context->peer()), context, *request);
          Free(*request);
          return watch;
        }));
    ASSENT_CHECK(served_ == Descriptor().method_count());
  }

 private:
  static const google::protobuf::ServiceDescriptor& Descriptor() {
    return *v1::SubmitRequest::descriptor()->file()->FindServiceByName("TransactionService");
  }

  // Each method has a request of its own.
  template <typename Request>
  void Serve(grpc::internal::MethodHandler* handler) {
    for (int i = 0; i < Descriptor().method_count(); ++i) {
      if (Descriptor().method(i)->input_type() != Request::descriptor()) continue;
      MarkMethodRawCallback(i, handler);
      ++served_;
    }
  }

  template <typename Request, typename Reply>
  void Unary() {
    Serve<Request>(new grpc::internal::CallbackUnaryHandler<Bytes, Bytes>(
        [this](Context* context, const Bytes* bytes, Bytes* reply) {
          return Take<Request, Reply>(context, *bytes, reply);
        }));
  }

  // gRPC keeps the bytes of a request as long as the call lasts. They are its own, and nobody reads
  // them again.
  static void Free(const Bytes& request) { const_cast<Bytes&>(request).Clear(); }

  template <typename Request, typename Reply>
  grpc::ServerUnaryReactor* Take(Context* context, const Bytes& bytes, Bytes* reply) {
    const service::Caller caller = CallerOf(context->peer());
    const auto call = Call<Reply>::Start(context, reply, service_.holdings(), caller);
    Request request;
    const Status parsed = ParseRequest(bytes, request);
    Free(bytes);
    if (call->Over()) return call.get();
    if (parsed.ok()) {
      service_.Take(caller, std::move(request), call);
    } else {
      call->Fail(parsed);
    }
    return call.get();
  }

  service::Service& service_;
  int served_ = 0;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransactionService(service::Service& service) {
  return std::make_unique<TransactionService>(service);
}

}  // namespace assent::door
