#pragma once

// What a call has shown, kept for as long as its stream stands, so that it can be asked again
// whether it still may.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "coordinator/security/guard.h"
#include "coordinator/service/asker.h"
#include "coordinator/transport/canceller.h"

namespace assent::door {

// Thread-safety: all of it, from any thread; nothing waits.
class Stay : public std::enable_shared_from_this<Stay> {
 public:
  // `shown` and `on_behalf_of`, whose texts are kept: as of call.h. `caller`: as it was admitted,
  // with this permission.
  Stay(const security::Proof& shown, std::string_view on_behalf_of, security::Guard& guard,
       security::Permission needs, service::Caller caller);
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

  // Who it is by now, with what it may now. UNAUTHENTICATED, PERMISSION_DENIED: what it has shown
  // has expired or is none any more, or the rules do not let it.
  Result<service::Caller> Again() const;
  // The same, and OK only while it may all that it could when it began.
  Status Check() const;

  // Tells it, about once a second and at each change of the rules, what `more` and Check say, until
  // it returns false: it has ended.
  using Told = std::function<bool(const Status&)>;
  using More = std::function<Status(const service::Caller&)>;
  void Keep(Told told, More more = {}) const;

 private:
  Status Check(const More& more) const;

  security::Guard& guard_;
  const security::Permission needs_;
  const service::Caller caller_;
  const std::string authorization_;
  const std::string on_behalf_of_;
  const security::Proof proof_;  // of what is above
};
// Lets a stream leave once it may not stay; one that does not go, because nobody reads what it was
// to be told, is cancelled, or it would keep its place as long as its connection.
template <typename Stream>
Stay::Told UntilGone(std::weak_ptr<Stream> weak) {
  return [weak = std::move(weak), looks = 0](const Status& still) mutable {
    const auto stream = weak.lock();
    if (stream == nullptr) return false;
    if (looks > 0) {
      if (++looks > transport::kLooksUntilCancelledCount) stream->Cancel();
    } else if (!still.ok()) {
      looks = 1;
      stream->Leave(still);
    }
    return true;
  };
}

// nullptr: nobody is asked.
using StayPtr = std::shared_ptr<const Stay>;

StayPtr StayOf(const grpc::CallbackServerContext& context, security::Guard* guard,
               security::Permission needs, const service::Caller& caller);

}  // namespace assent::door
