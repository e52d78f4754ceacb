#pragma once

// Takes every method's request as bytes (call.h says why), which the generated code has a class for
// each of; this is what those do.

#include <functional>
#include <memory>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/stay.h"
#include "coordinator/security/permission.h"
#include "coordinator/service/service.h"
#include "coordinator/transport/refused.h"

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
  // What whoever calls it needs.
  struct Need {
    security::Permission permission;
    std::string call;  // "TransactionService/Abort"
  };
  template <typename Request>
  Need Needed() const {
    for (int i = 0; i < descriptor_.method_count(); ++i) {
      const auto* const method = descriptor_.method(i);
      if (method->input_type() != Request::descriptor()) continue;
      return {security::NeededBy(descriptor_.full_name(), method->name()),
              descriptor_.name() + "/" + method->name()};
    }
    CheckFailed(__FILE__, __LINE__, "there is such a method");
  }
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
        [this, take = std::move(take), needs = Needed<Request>()](
            Context* context, const Bytes* bytes, Bytes* reply) -> grpc::ServerUnaryReactor* {
          const auto caller = Admit(*context, service_.guard(), needs.permission, needs.call);
          if (!caller.ok()) {
            Free(*bytes);
            return new transport::RefusedUnary(caller.status());
          }
          return Begin<Request, Reply>(context, *caller, *bytes, reply, take);
        }));
  }
  // Reads a request, and shows one answer after the other.
  template <typename Request>
  void Stream(std::function<grpc::ServerWriteReactor<Bytes>*(const service::Caller&, const StayPtr&,
                                                             Context*, const Bytes&)>
                  start) {
    Serve<Request>(new grpc::internal::CallbackServerStreamingHandler<Bytes, Bytes>(
        [this, start = std::move(start), needs = Needed<Request>()](
            Context* context, const Bytes* request) -> grpc::ServerWriteReactor<Bytes>* {
          const auto caller = Admit(*context, service_.guard(), needs.permission, needs.call);
          if (!caller.ok()) {
            Free(*request);
            return new transport::RefusedReader<Bytes>(caller.status());
          }
          const StayPtr stay = StayOf(*context, service_.guard(), needs.permission, *caller);
          auto* const stream = start(*caller, stay, context, *request);
          Free(*request);
          return stream;
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
  grpc::ServerUnaryReactor* Begin(Context* context, const service::Caller& caller,
                                  const Bytes& bytes, Bytes* reply, const Take& take) {
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
