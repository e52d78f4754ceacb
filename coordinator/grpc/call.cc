#include "coordinator/grpc/call.h"

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <grpc/grpc_security_constants.h>

#include <assent/limits.h>

#include "coordinator/base/clock.h"
#include "coordinator/grpc/stay.h"
#include "coordinator/security/shown.h"
#include "coordinator/service/trace.h"
#include "coordinator/tls/material.h"
#include "proto/parse/parse.h"

namespace assent::door {

service::Caller CallerOf(const std::string& peer) {
  const bool has_port = peer.rfind("ip", 0) == 0;
  return {.connection = peer, .address = has_port ? peer.substr(0, peer.rfind(':')) : peer};
}

std::string_view UnixUidOf(const service::Caller& caller) {
  const std::string_view name = caller.connection;
  return name.starts_with(security::kUnixUser) ? name.substr(security::kUnixUser.size()) : "";
}

namespace {

std::string_view OneOf(const grpc::CallbackServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

tls::Names NamesOf(const grpc::AuthContext& auth) {
  const auto names = [&](const char* property) {
    std::vector<std::string> all;
    for (const grpc::string_ref& value : auth.FindPropertyValues(property))
      all.emplace_back(value.data(), value.size());
    return all;
  };
  auto uris = names(GRPC_PEER_URI_PROPERTY_NAME);
  auto dns_names = names(GRPC_PEER_DNS_PROPERTY_NAME);
  if (!uris.empty() || !dns_names.empty())
    return tls::NamesOf(std::move(uris), std::move(dns_names));
  // Of several common names gRPC tells the first alone.
  const auto certificates = names(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return certificates.size() == 1 ? tls::NamesOf(certificates.front()) : tls::Names{};
}

}  // namespace

security::Proof ProofOf(const grpc::CallbackServerContext& context, const service::Caller& caller) {
  security::Proof proof;
  proof.address = caller.address;
  proof.authorization = security::ShownBy(context.client_metadata().count("authorization"),
                                          OneOf(context, "authorization"));
  proof.unix_uid = UnixUidOf(caller);
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return proof;
  tls::Names names = NamesOf(*auth);
  proof.uris = std::move(names.uris);
  proof.dns_names = std::move(names.dns_names);
  proof.common_name = std::move(names.common_name);
  return proof;
}

std::string_view OnBehalfOf(const grpc::CallbackServerContext& context) {
  return context.client_metadata().count(kForwarded) > 0 ? OneOf(context, kOnBehalfOf) : "";
}

Status Settle(security::Guard& guard, security::Permission needs, bool forwarded,
              std::string_view on_behalf_of, security::Visitor& visitor) {
  const Status may = CheckCall(visitor, forwarded ? security::Permission::kHandOn : needs);
  if (!forwarded || !may.ok()) return may;
  visitor = on_behalf_of.empty() ? security::Visitor{} : guard.Vouched(std::string(on_behalf_of));
  return on_behalf_of.empty() ? may : CheckCall(visitor, needs);
}

namespace {

void Name(security::Visitor&& visitor, service::Caller& caller) {
  if (visitor.name != nullptr) caller.name = *visitor.name;
  caller.grants = std::move(visitor.grants);
}

Status Refused(security::Guard& guard, const security::Visitor& visitor,
               const service::Caller& caller, std::string_view call, const Status& why) {
  guard.Note({.identity = visitor.name == nullptr ? std::string() : *visitor.name,
              .address = caller.address,
              .call = std::string(call),
              .status = why});
  return why;
}

}  // namespace

Result<service::Caller> Admit(grpc::CallbackServerContext& context, security::Guard* guard,
                              security::Permission needs, std::string_view call) {
  service::Caller caller = CallerOf(context.peer());
  const bool forwarded = context.client_metadata().count(kForwarded) > 0;
  caller.forwarded = forwarded;
  if (guard == nullptr || !guard->enforces()) return caller;
  const std::int64_t now_unix_ms = base::UnixNowMs();
  auto visitor = guard->Admit(ProofOf(context, caller), now_unix_ms);
  if (visitor.status().code() == Code::kResourceExhausted) {
    context.AddTrailingMetadata("assent-retry-after-ms",
                                std::to_string(guard->BarredForMs(caller.address, now_unix_ms)));
  }
  if (!visitor.ok()) return Refused(*guard, {}, caller, call, visitor.status());
  const Status may = Settle(*guard, needs, forwarded, OnBehalfOf(context), *visitor);
  if (!may.ok()) {
    guard->CountDenied();
    return Refused(*guard, *visitor, caller, call, may);
  }
  Name(*std::move(visitor), caller);
  guard->strangers().Admitted(caller.connection);
  return caller;
}

grpc::Status Told(const Status& status, grpc::CallbackServerContext& context) {
  if (status.code() == Code::kResourceExhausted)
    context.AddTrailingMetadata("assent-retry-after-ms", std::to_string(kRetryHintMs));
  return transport::ToGrpc(status);
}

namespace {

Status MayServe(const service::Caller& caller, const std::string& service) {
  if (caller.grants == nullptr || caller.grants->MayServe(service)) return OkStatus();
  return PermissionDenied(caller.name + " may not be a participant of " + service);
}

}  // namespace

transport::AdmitStream AdmitSessions(security::Guard* guard) {
  return [guard](grpc::CallbackServerContext& context) -> Result<transport::StreamPeer> {
    auto caller = Admit(context, guard, security::Permission::kServe, "ParticipantSession/Connect");
    if (!caller.ok()) return caller.status();
    if (caller->grants == nullptr) return transport::StreamPeer(caller->connection);
    auto seat = service::SpendAndSit(security::Seated::kSession, *caller);
    if (!seat.ok()) {
      (void)Told(seat.status(), context);
      return seat.status();
    }
    // The stream keeps this, and with it the place, until it ends.
    const auto may_serve = [guard, caller = *caller,
                            seat = *std::move(seat)](const std::string& service) {
      Status may = MayServe(caller, service);
      if (may.ok()) return may;
      guard->CountDenied();
      guard->Note({.identity = caller.name,
                   .address = caller.address,
                   .call = "ParticipantSession/Connect",
                   .status = may});
      return may;
    };
    transport::StreamPeer peer(caller->connection, may_serve);
    peer.stays = [stay = StayOf(context, guard, security::Permission::kServe, *caller)](
                     const std::string& service, transport::StreamPeer::Told told) {
      stay->Keep(std::move(told),
                 [service](const service::Caller& now) { return MayServe(now, service); });
    };
    return peer;
  };
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
