#pragma once

// Where requests come in, whole: who may ask, for what, and who answers.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/http/calls.h"
#include "coordinator/http/exchange.h"
#include "coordinator/http/health.h"
#include "coordinator/http/login.h"
#include "coordinator/security/guard.h"

namespace assent::http {

struct DeskOptions {
  HealthOptions health{};
  // The page of metrics, of a type; made on a thread of the door's, whenever somebody asks.
  std::function<std::string()> metrics{};
  std::string metrics_type{};
  std::string version{};
  // Only this machine can reach us. Then a browser that was led here by a name that somebody else
  // has pointed at us is turned away.
  bool loopback = true;
  // Who may what. nullptr: everybody may everything. Outlives every call of Take.
  security::Guard* guard = nullptr;
};

class Desk final : public Taker {
 public:
  explicit Desk(DeskOptions options)
      : options_(std::move(options)),
        health_(std::make_shared<Health>(options_.health)),
        login_(options_.guard) {}

  // Before it, all of /v1 is UNAVAILABLE. The rooms outlive every call of Take.
  void Open(Rooms rooms) {
    std::atomic_store(&rooms_, std::shared_ptr<const Rooms>(new Rooms(rooms)));
  }
  Health& health() { return *health_; }

  std::size_t MaxBody(std::string_view method, std::string_view target) const override;

  std::shared_ptr<Pending> Take(Request request,
                                const std::shared_ptr<Exchange>& exchange) override;

 private:
  // Nothing: it is nobody's but the service's.
  std::shared_ptr<Pending> TakeOther(Request& request, const std::shared_ptr<Exchange>& exchange,
                                     bool* taken);
  // Who asks, into its caller, and that it may.
  Status Admit(Request& request, security::Permission needs);
  // What it may not is on record.
  Status NoteRefused(const Request& request, const Status& why) const;
  // Why not, and, of one who is to come back, when.
  std::shared_ptr<Pending> TakeCall(Request request, const std::shared_ptr<Exchange>& exchange);

  // Ends the stream as soon as it may not stay.
  void Keep(const std::shared_ptr<Pending>& pending, const std::function<Status()>& staying) const;

  const DeskOptions options_;
  const std::shared_ptr<Health> health_;
  Login login_;
  std::shared_ptr<const Rooms> rooms_;  // atomically
};

// Of a target in absolute form the host is taken, instead of what Host says, and cut off.
void TakeHost(Request& request);

// Whether a page of somebody else's may have sent this: a browser says where it comes from, and
// cannot say that it is JSON without asking first, which nobody answers. A link may lead here. OK:
// no.
Answer CheckSender(const Request& request, bool loopback);

}  // namespace assent::http
