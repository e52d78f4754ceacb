#pragma once

// Takes every method's request as bytes (call.h says why), which the generated code has a class for
// each of; this is what those do.

#include <memory>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "coordinator/grpc/call.h"
#include "coordinator/service/service.h"

namespace assent::door {

using Bytes = grpc::ByteBuffer;
using Context = grpc::CallbackServerContext;

// gRPC keeps the bytes of a request as long as the call lasts. They are its own, and nobody reads
// them again.
inline void Free(const Bytes& request) { const_cast<Bytes&>(request).Clear(); }

// `Base` is the generated service class.
template <typename Base>
class RawService : public Base {
 protected:
  RawService(service::Service& service, const google::protobuf::ServiceDescriptor& descriptor)
      : service_(service), descriptor_(descriptor) {}

  // Each method has a request of its own.
  template <typename Request>
  void Serve(grpc::internal::MethodHandler* handler) {
    for (int i = 0; i < descriptor_.method_count(); ++i) {
      if (descriptor_.method(i)->input_type() != Request::descriptor()) continue;
      this->MarkMethodRawCallback(i, handler);
      ++served_;
    }
  }
  // Each call is handed to `take`, with its bytes if there are several coordinators.
  template <typename Request, typename Reply, typename Take>
  void Unary(Take take) {
    Serve<Request>(new grpc::internal::CallbackUnaryHandler<Bytes, Bytes>(
        [this, take = std::move(take)](Context* context, const Bytes* bytes, Bytes* reply) {
          return Begin<Request, Reply>(context, *bytes, reply, take);
        }));
  }
  // To the service, as it is.
  template <typename Request, typename Reply>
  void Unary() {
    Unary<Request, Reply>([this](const service::Caller& caller, Request&& request,
                                 const std::shared_ptr<Call<Reply>>& call, Context*,
                                 Bytes&&) { service_.Take(caller, std::move(request), call); });
  }
  void CheckAllAreServed() const { ASSENT_CHECK(served_ == descriptor_.method_count()); }

  service::Service& service_;

 private:
  template <typename Request, typename Reply, typename Take>
  grpc::ServerUnaryReactor* Begin(Context* context, const Bytes& bytes, Bytes* reply,
                                  const Take& take) {
    const service::Caller caller = CallerOf(*context);
    const auto call = Call<Reply>::Start(context, reply, service_.holdings(), caller);
    Request request;
    const Status parsed = ParseRequest(bytes, request);
    Bytes kept;
    if (!service_.router().alone()) kept = bytes;
    Free(bytes);
    if (call->Over()) return call.get();
    if (parsed.ok()) {
      take(caller, std::move(request), call, context, std::move(kept));
    } else {
      call->Fail(parsed);
    }
    return call.get();
  }

  const google::protobuf::ServiceDescriptor& descriptor_;
  int served_ = 0;
};

}  // namespace assent::door
