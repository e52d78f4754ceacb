#include "coordinator/transport/hello.h"

#include <set>

#include <assent/limits.h>

#include "coordinator/core/spec.h"

namespace assent::transport {
namespace {

constexpr std::uint32_t kProtocolVersion = 1;

Status AtMost(const char* field, std::size_t size, const char* unit, std::size_t limit) {
  if (size <= limit) return OkStatus();
  return InvalidArgument(std::string(field) + " has " + std::to_string(size) + " " + unit +
                         ", the limit is " + std::to_string(limit));
}

}  // namespace

Status CheckHello(const SessionHello& hello) {
  if (hello.version != kProtocolVersion) {
    return InvalidArgument("hello.version is " + std::to_string(hello.version) +
                           ": this coordinator speaks version " + std::to_string(kProtocolVersion));
  }
  Status status = core::CheckServiceName(hello.service, "hello.service");
  if (!status.ok()) return status;
  status = AtMost("hello.instance", hello.instance.size(), "bytes", limits::kMaxInstanceNameBytes);
  if (!status.ok()) return status;
  status = AtMost("hello.agent", hello.agent.size(), "bytes", limits::kMaxAgentBytes);
  if (!status.ok()) return status;
  status = AtMost("hello.actions", hello.actions.size(), "entries",
                  limits::kMaxActionsPerParticipantCount);
  if (!status.ok()) return status;
  std::set<std::pair<std::string_view, core::Protocol>> names;
  for (const auto& [name, protocol] : hello.actions) {
    status = core::CheckActionName(name, "hello.actions.name");
    if (!status.ok()) return status;
    if (protocol < core::Protocol::kTwoPhase || protocol > core::Protocol::kSaga) {
      return InvalidArgument("hello.actions: the protocol of " + name +
                             " is unknown: it takes TWO_PHASE, TCC or SAGA");
    }
    if (!names.emplace(name, protocol).second) {
      return InvalidArgument("hello.actions names " + std::string(core::Name(protocol)) + ":" +
                             name + " twice");
    }
  }
  return OkStatus();
}

}  // namespace assent::transport
