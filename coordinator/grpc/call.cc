#include "coordinator/grpc/call.h"

#include <cstdint>
#include <iterator>
#include <string>

#include <assent/limits.h>

#include "coordinator/service/trace.h"
#include "proto/parse/parse.h"

namespace assent::door {

service::Caller CallerOf(const std::string& peer) {
  const bool has_port = peer.rfind("ip", 0) == 0;
  return {.connection = peer, .address = has_port ? peer.substr(0, peer.rfind(':')) : peer};
}

service::Caller CallerOf(const grpc::CallbackServerContext& context) {
  service::Caller caller = CallerOf(context.peer());
  caller.forwarded = context.client_metadata().count(kForwarded) > 0;
  return caller;
}

bool AdoptTrace(const grpc::CallbackServerContext& context, v1::TransactionSpec& spec) {
  const auto& metadata = context.client_metadata();
  const auto parents = metadata.equal_range("traceparent");
  // The standard has no trace with several parents.
  if (std::distance(parents.first, parents.second) != 1) return false;
  std::string state;
  const auto states = metadata.equal_range("tracestate");
  for (auto at = states.first; at != states.second; ++at)
    state.append(state.empty() ? "" : ",").append(at->second.data(), at->second.size());
  const grpc::string_ref parent = parents.first->second;
  return service::AdoptTrace({parent.data(), parent.size()}, state, spec);
}

Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  if (bytes.Length() > limits::kMaxFrameBytes) {
    return InvalidArgument("the request has " + std::to_string(bytes.Length()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxFrameBytes));
  }
  grpc::Slice slice;
  if (!bytes.TrySingleSlice(&slice).ok() && !bytes.DumpToSingleSlice(&slice).ok())
    return Internal("the request cannot be read");
  return wire::Parse({reinterpret_cast<const char*>(slice.begin()), slice.size()}, "the request",
                     message);
}

grpc::ByteBuffer Serialised(const google::protobuf::Message& message) {
  const std::size_t size = message.ByteSizeLong();
  grpc::Slice slice(size);
  // The slice is ours alone until it is in a buffer.
  message.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  return {&slice, 1};
}

}  // namespace assent::door
