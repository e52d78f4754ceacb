#include "coordinator/grpc/health.h"

#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>

namespace assent::door {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
// HealthCheckResponse with its only field.
constexpr char kServing[] = "\x08\x01";
constexpr char kNotServing[] = "\x08\x02";

// The whole has the empty name: no field, or an empty one.
bool AsksForTheWhole(const grpc::ByteBuffer& request) {
  if (request.Length() == 0) return true;
  std::vector<grpc::Slice> slices;
  if (request.Length() != 2 || !request.Dump(&slices).ok()) return false;
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes == std::string("\x0a\0", 2);
}

}  // namespace

HealthService::HealthService() {
  AddMethod(
      new grpc::internal::RpcServiceMethod(kCheck, grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
  MarkMethodRawCallback(
      0, new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
             [this](grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                    grpc::ByteBuffer* reply) -> grpc::ServerUnaryReactor* {
               const grpc::Slice said(serving_ ? kServing : kNotServing);
               *reply = grpc::ByteBuffer(&said, 1);
               auto* const reactor = context->DefaultReactor();
               reactor->Finish(AsksForTheWhole(*request)
                                   ? grpc::Status::OK
                                   : grpc::Status(grpc::StatusCode::NOT_FOUND,
                                                  "the whole is asked about, by the empty name"));
               return reactor;
             }));
}

}  // namespace assent::door
