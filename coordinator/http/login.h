#pragma once

// Who asks, whatever he shows it with, and the login of the console:
//
//   GET  /v1/login    who one is here, and may what
//   POST /v1/login    {"token": "…"}: a cookie for it
//   POST /v1/logout   and its end
//
// Invariant: a cookie alone changes nothing. What changes something and is asked with it shows
// besides what a page of ours has been told (`x-assent-csrf`).

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/http/exchange.h"
#include "coordinator/http/sessions.h"
#include "coordinator/security/guard.h"

namespace assent::http {

inline constexpr std::string_view kLoginPath = "/v1/login";
inline constexpr std::string_view kLogoutPath = "/v1/logout";

class Login {
 public:
  // nullptr: nobody is asked. Outlives it.
  explicit Login(security::Guard* guard) : guard_(guard) {}

  bool asks() const { return guard_ != nullptr && guard_->enforces(); }
  // The answer, if it is for the login to give.
  std::optional<Answer> Take(Request& request);
  // Who asks, by a header, a session, or the certificate of the connection, in this order.
  // UNAUTHENTICATED: there is something, and it is nothing, or no more. PERMISSION_DENIED: it may
  // have been a page of somebody else's that made the browser send it.
  Result<security::Visitor> Admit(Request& request);
  // Of a stream that this request, which was admitted, begins: whether it may go on. Asked again
  // and again, from any thread, also when the login is gone; the guard is there.
  std::function<Status()> Staying(const Request& request) const;
  // Of one that was not let in: also when to come back.
  Answer Refusal(const Request& request, const Status& why) const;
  std::size_t sessions_count() const { return sessions_->count(); }

 private:
  Answer LogIn(Request& request);
  Answer LogOut(const Request& request);
  Answer Tell(Request& request);
  void Note(security::Sighting::Kind kind, const Request& request, std::string identity,
            const Status& status) const;

  security::Guard* const guard_;
  const std::shared_ptr<Sessions> sessions_ = std::make_shared<Sessions>();
};

// The secret of the session that its cookie has; empty: there is none. With two it is not known
// which one is ours.
std::string SessionOf(const Request& request);

}  // namespace assent::http
