#pragma once

// Takes every method's request as bytes (call.h says why), which the generated code has a class for
// each of; this is what those do.

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
  template <typename Request, typename Reply>
  void Unary() {
    Serve<Request>(new grpc::internal::CallbackUnaryHandler<Bytes, Bytes>(
        [this](Context* context, const Bytes* bytes, Bytes* reply) {
          return Take<Request, Reply>(context, *bytes, reply);
        }));
  }
  void CheckAllAreServed() const { ASSENT_CHECK(served_ == descriptor_.method_count()); }

  service::Service& service_;

 private:
  template <typename Request, typename Reply>
  grpc::ServerUnaryReactor* Take(Context* context, const Bytes& bytes, Bytes* reply) {
    const service::Caller caller = CallerOf(*context);
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

  const google::protobuf::ServiceDescriptor& descriptor_;
  int served_ = 0;
};

}  // namespace assent::door
