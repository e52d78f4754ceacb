// Breakers by hand: on record, and at every coordinator.

#include <utility>

#include "coordinator/core/spec.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/may.h"
#include "coordinator/service/record.h"
#include "coordinator/service/service.h"

namespace assent::service {
namespace {

using traffic::Breaker;

Result<Breaker::Held> HeldOf(const v1::SetBreakerRequest& request) {
  switch (request.mode()) {
    case v1::SetBreakerRequest::AUTO: return Breaker::Held::kAuto;
    case v1::SetBreakerRequest::OPEN: return Breaker::Held::kOpen;
    case v1::SetBreakerRequest::CLOSED: return Breaker::Held::kClosed;
    default: return InvalidArgument("mode is not set: AUTO, OPEN or CLOSED");
  }
}

std::string NameOf(const v1::SetBreakerRequest& request) {
  return request.service() + (request.instance().empty() ? "" : " at " + request.instance());
}

audit::Deed DeedOf(const v1::SetBreakerRequest& request) {
  const bool opens = request.mode() == v1::SetBreakerRequest::OPEN;
  const bool closes = request.mode() == v1::SetBreakerRequest::CLOSED;
  return {.verb = opens    ? "breaker-open"
                  : closes ? "breaker-close"
                           : "breaker-auto",
          .detail = NameOf(request)};
}

std::size_t CountOf(const std::vector<transport::ServiceInfo>& services,
                    const v1::SetBreakerRequest& request) {
  for (const transport::ServiceInfo& service : services) {
    if (service.service != request.service()) continue;
    if (request.instance().empty()) return 1;
    std::size_t count = 0;
    for (const transport::InstanceInfo& one : service.instances)
      count += one.instance == request.instance() || one.address == request.instance() ? 1 : 0;
    return count;
  }
  return 0;
}

}  // namespace

void Service::Take(const Caller& caller, const v1::SetBreakerRequest& asked,
                   const AskerPtr<v1::SetBreakerReply>& asker) {
  const Result<core::Actor> actor = ActorOf(caller, asked.action());
  const Result<Breaker::Held> held = HeldOf(asked);
  Status status = actor.ok() ? held.status() : actor.status();
  if (status.ok()) status = core::CheckServiceName(asked.service(), "service");
  if (!status.ok()) return asker->Fail(status);
  const bool dry_run = asked.action().dry_run();
  const auto here = [this, held = *held, dry_run](const v1::SetBreakerRequest& request) {
    return dry_run ? CountOf(options_.participants(request.service()), request)
                   : options_.hold_breakers(request.service(), request.instance(), held);
  };
  if (caller.forwarded) {
    return asker->Answer(OkStatus(), [&](v1::SetBreakerReply& out) {
      out.set_breakers(static_cast<std::uint32_t>(here(asked)));
    });
  }
  v1::SetBreakerRequest request = asked;
  request.mutable_action()->set_who(actor->who);
  const auto everywhere = [this, request, here](const AskerPtr<v1::SetBreakerReply>& answered,
                                                const auto&) {
    AskOthers<v1::SetBreakerReply>(
        router_, options_.peers, "TransactionService/SetBreaker",
        [&request](const cluster::Member&) { return request.SerializeAsString(); },
        [request, here, answered](const std::vector<MemberAnswer<v1::SetBreakerReply>>& answers) {
          v1::SetBreakerReply reply;
          std::size_t count = here(request);
          for (const auto& answer : answers) {
            if (!answer.status.ok()) FillSilent(answer.member, answer.status, *reply.add_silent());
            count += answer.reply.breakers();
          }
          if (count == 0 && reply.silent().empty()) {
            return answered->Fail(NotFound("no participant " + NameOf(request) +
                                           " is known: see assentctl "
                                           "participants -o wide"));
          }
          reply.set_breakers(static_cast<std::uint32_t>(count));
          answered->Answer(OkStatus(), [&](v1::SetBreakerReply& out) { out.Swap(&reply); });
        });
  };
  if (dry_run) return everywhere(asker, [](std::string) {});
  OnRecord(options_.audit, DeedBy(caller, asked.action(), DeedOf(asked)), asker, everywhere);
}

}  // namespace assent::service
