#include "coordinator/grpc/stay.h"

#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/grpc/call.h"

namespace assent::door {
namespace {

// The same, of texts that last.
security::Proof Lasting(security::Proof proof, const std::string& authorization,
                        const service::Caller& caller) {
  proof.authorization = authorization;
  proof.address = caller.address;
  proof.unix_uid = UnixUidOf(caller);
  return proof;
}

}  // namespace

Stay::Stay(const security::Proof& shown, std::string_view on_behalf_of, security::Guard& guard,
           security::Permission needs, service::Caller caller)
    : guard_(guard),
      needs_(needs),
      caller_(std::move(caller)),
      authorization_(shown.authorization),
      on_behalf_of_(on_behalf_of),
      proof_(Lasting(shown, authorization_, caller_)) {}

Result<service::Caller> Stay::Again() const {
  auto visitor = guard_.AdmitAgain(proof_, base::UnixNowMs());
  if (!visitor.ok()) return visitor.status();
  const Status may = Settle(guard_, needs_, caller_.forwarded, on_behalf_of_, *visitor);
  if (!may.ok()) return may;
  service::Caller now = caller_;
  now.name = visitor->name == nullptr ? "" : *visitor->name;
  now.grants = std::move(visitor->grants);
  return now;
}

Status Stay::Check() const { return Check({}); }

Status Stay::Check(const More& more) const {
  const auto now = Again();
  if (!now.ok()) return now.status();
  if (now->grants == nullptr || caller_.grants == nullptr) return OkStatus();
  if (now->grants == caller_.grants) return OkStatus();  // nothing has changed
  const Status may = security::CheckStay(now->name, *now->grants, *caller_.grants);
  return may.ok() && more ? more(*now) : may;
}

void Stay::Keep(Told told, More more) const {
  guard_.standing().Join([self = shared_from_this(), told = std::move(told),
                          more = std::move(more)] { return told(self->Check(more)); });
}

StayPtr StayOf(const grpc::CallbackServerContext& context, security::Guard* guard,
               security::Permission needs, const service::Caller& caller) {
  if (guard == nullptr || !guard->enforces()) return nullptr;
  return std::make_shared<const Stay>(ProofOf(context, caller), OnBehalfOf(context), *guard, needs,
                                      caller);
}

}  // namespace assent::door
