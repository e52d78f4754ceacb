#include "coordinator/http/login.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/http/json.h"
#include "coordinator/http/routes.h"
#include "coordinator/security/jose.h"
#include "coordinator/tls/material.h"

namespace assent::http {
namespace {

using security::Permission;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kBearer = "Bearer ";

struct Word {
  Permission permission;
  const char* word;
};
constexpr std::array<Word, security::kPermissionsCount> kWords = {{
    {Permission::kBegin, "BEGIN"},
    {Permission::kFollow, "FOLLOW"},
    {Permission::kLook, "LOOK"},
    {Permission::kOperate, "OPERATE"},
    {Permission::kReadRecord, "READ_RECORD"},
    {Permission::kAdminister, "ADMINISTER"},
    {Permission::kServe, "SERVE"},
    {Permission::kHandOn, "HAND_ON"},
    {Permission::kFindWay, "FIND_WAY"},
}};

// On one host several of us may be logged in to, at ports of their own: a browser tells cookies
// apart by their names alone.
std::string CookieName(const Request& request) {
  const std::size_t colon = request.host.rfind(':');
  std::string port = colon == std::string::npos ? "" : request.host.substr(colon + 1);
  constexpr std::size_t kMaxPortDigits = 5;
  const bool is_port =
      !port.empty() && port.size() <= kMaxPortDigits &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  return std::string(request.secure ? "__Host-" : "") + "assent" + (is_port ? "-" + port : "");
}

// A browser keeps it from pages, and from what other origins send.
std::string SetCookie(const Request& request, const std::string& value, std::int64_t seconds) {
  return "Set-Cookie: " + CookieName(request) + "=" + value +
         "; Path=/; HttpOnly; SameSite=Strict" + (request.secure ? "; Secure" : "") +
         "; Max-Age=" + std::to_string(seconds) + "\r\n";
}
std::string ClearCookie(const Request& request) { return SetCookie(request, "", 0); }

// What is sent in the clear stays on this machine.
bool IsPrivate(const Request& request) {
  const std::string_view address = request.caller.address;
  return request.secure || address.starts_with("ipv4:127.") || address == "ipv6:%5B::1%5D";
}
constexpr char kNotPrivate[] =
    "a login is taken over TLS, or from this machine: others could read the token and the cookie "
    "here";

bool IsSecret(std::string_view value) {
  return value.size() == 2 * kSessionSecretBytes &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<std::string> TokenOf(const std::string& body) {
  const auto said = security::ReadObject(body);
  const auto shown = said && said->size() == 1 ? security::TextOf(*said, "token") : std::nullopt;
  if (!shown) return InvalidArgument("a login takes {\"token\": \"…\"}");
  const std::string& token = *shown;
  const bool is_plain = !token.empty() && std::all_of(token.begin(), token.end(),
                                                      [](char c) { return c > ' ' && c < 127; });
  if (!is_plain || token.size() > kMaxCredentialBytes) {
    return InvalidArgument("a token is of 1 to " + std::to_string(kMaxCredentialBytes) +
                           " printable ASCII characters, without blanks");
  }
  return token;
}

security::Proof ProofOf(const Request& request) {
  security::Proof proof{.authorization = request.authorization, .address = request.caller.address};
  if (const auto& certificate = request.certificate) {
    proof.uris = certificate->uris;
    proof.dns_names = certificate->dns_names;
    proof.common_name = certificate->common_name;
  }
  return proof;
}

Json Shown(const security::Visitor& visitor, const char* by) {
  Json may = Json::array();
  for (const Word& one : kWords) {
    if (visitor.grants == nullptr || visitor.grants->May(one.permission)) may.push_back(one.word);
  }
  return {{"rules", visitor.grants != nullptr},
          {"identity", visitor.name == nullptr ? "" : *visitor.name},
          {"by", by},
          {"roles", visitor.grants == nullptr ? "" : visitor.grants->Roles()},
          {"may", std::move(may)},
          {"payloads", visitor.grants == nullptr || visitor.grants->sees_payloads()}};
}

Answer WrongMethod(const std::string& allow) {
  Answer answer = Failure({Code::kUnimplemented, "this path takes " + allow}, 405);
  answer.allow = allow;
  return answer;
}

}  // namespace

std::string SessionOf(const Request& request) {
  const std::string name = CookieName(request) + "=";
  std::string secret;
  int count = 0;
  for (std::string_view rest = request.cookie; !rest.empty();) {
    const std::size_t end = std::min(rest.find(';'), rest.size());
    std::string_view one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    if (!one.starts_with(name)) continue;
    ++count;
    secret = one.substr(name.size());
  }
  return count == 1 ? secret : "";
}

std::optional<Answer> Login::Take(Request& request) {
  const std::string_view path = PathOf(request.target);
  if (path == kLoginPath) {
    if (request.method == "GET") return Tell(request);
    return request.method == "POST" ? LogIn(request) : WrongMethod("GET, POST");
  }
  if (path != kLogoutPath) return {};
  return request.method == "POST" ? LogOut(request) : WrongMethod("POST");
}

Result<security::Visitor> Login::Admit(Request& request) {
  const std::string secret = request.authorization.empty() ? SessionOf(request) : "";
  if (secret.empty()) return guard_->Admit(ProofOf(request), base::UnixNowMs());
  auto shown = IsPrivate(request) && IsSecret(secret) ? sessions_->Find(secret, Clock::now())
                                                      : std::optional<std::string>();
  if (!shown) return Unauthenticated("the session is over: log in again");
  if (request.method != "GET" && !IsSameSecret(request.csrf, Sessions::CsrfOf(secret))) {
    return PermissionDenied(
        "what changes something, and is asked with a session, says x-assent-csrf as GET /v1/login "
        "has it");
  }
  request.authorization = *std::move(shown);
  request.by_session = true;
  auto visitor = guard_->Admit(ProofOf(request), base::UnixNowMs());
  if (!visitor.ok() && visitor.status().code() == Code::kUnauthenticated) {
    (void)sessions_->End(secret);
    return Unauthenticated("the session is over: " + visitor.status().message());
  }
  return visitor;
}

std::function<Status()> Login::Staying(const Request& request) const {
  struct Shown {
    std::string authorization;
    std::string address;
    std::string session;  // what it is found by; empty: there is none
    security::Proof proof;
  };
  const auto shown = std::make_shared<Shown>();
  shown->authorization = request.authorization;
  shown->address = request.caller.address;
  const std::string secret = request.by_session ? SessionOf(request) : "";
  if (!secret.empty()) shown->session = Sessions::KeyOf(secret);
  shown->proof = ProofOf(request);
  shown->proof.authorization = shown->authorization;
  shown->proof.address = shown->address;
  return [shown, guard = guard_, sessions = sessions_, then = request.caller.grants]() -> Status {
    if (!shown->session.empty() && !sessions->Stands(shown->session, Clock::now()))
      return Unauthenticated("the session is over: log in again");
    const auto now = guard->AdmitAgain(shown->proof, base::UnixNowMs());
    if (!now.ok()) return now.status();
    if (now->grants == then || now->grants == nullptr || then == nullptr) return OkStatus();
    return CheckStay(now->name == nullptr ? "" : *now->name, *now->grants, *then);
  };
}

Answer Login::Refusal(const Request& request, const Status& why) const {
  Answer answer = Failure(why);
  if (why.code() != Code::kResourceExhausted || guard_ == nullptr) return answer;
  const std::int64_t left_ms = guard_->BarredForMs(request.caller.address, base::UnixNowMs());
  answer.try_later = false;  // it is said here
  answer.header =
      "Retry-After: " + std::to_string(std::max<std::int64_t>(1, (left_ms + 999) / 1000)) + "\r\n";
  return answer;
}

Answer Login::LogIn(Request& request) {
  if (!asks()) {
    return Failure(FailedPrecondition(
        "nobody is asked here who he is: there are no rules (--auth-rules), and no login"));
  }
  if (!IsPrivate(request)) return Failure(PermissionDenied(kNotPrivate));
  const Result<std::string> token = TokenOf(request.body);
  if (!token.ok()) return Failure(token.status());
  request.authorization = std::string(kBearer) + *token;
  auto visitor = guard_->Admit(ProofOf(request), base::UnixNowMs());
  if (visitor.ok() && visitor->name == nullptr)
    visitor = Unauthenticated("the token is nobody's whom a rule could name");
  // Each session takes room from others'.
  if (visitor.ok() && visitor->grants->empty())
    visitor = PermissionDenied("no rule gives " + *visitor->name + " a role");
  auto secret = visitor.ok() ? sessions_->Begin(*visitor->name, request.authorization, Clock::now())
                             : Result<std::string>(visitor.status());
  Note(security::Sighting::Kind::kLogin, request, visitor.ok() ? *visitor->name : "",
       secret.ok() ? OkStatus() : secret.status());
  if (!secret.ok()) return Refusal(request, secret.status());
  // Whoever was logged in here before is not any more.
  (void)sessions_->End(SessionOf(request));
  Json shown = Shown(*visitor, "SESSION");
  shown["login"] = "";
  shown["csrf"] = Sessions::CsrfOf(*secret);
  return {.body = Dump(shown), .header = SetCookie(request, *secret, kMaxSessionMs / 1000)};
}

Answer Login::LogOut(const Request& request) {
  const std::string secret = SessionOf(request);
  if (!secret.empty() && sessions_->Find(secret, Clock::now())) {
    if (!IsSameSecret(request.csrf, Sessions::CsrfOf(secret))) {
      return Failure(PermissionDenied("a logout says x-assent-csrf as GET /v1/login has it"));
    }
    Note(security::Sighting::Kind::kLogout, request, sessions_->End(secret), OkStatus());
  }
  return {.body = "{}", .header = ClearCookie(request)};
}

Answer Login::Tell(Request& request) {
  if (!asks()) {
    Json shown = Shown({}, "NOBODY_IS_ASKED");
    shown["login"] = "";
    shown["csrf"] = "";
    return {.body = Dump(shown)};
  }
  const std::string secret = request.authorization.empty() ? SessionOf(request) : "";
  const char* by = !request.authorization.empty() ? "TOKEN" : "SESSION";
  Answer answer;
  auto visitor = Admit(request);
  if (!visitor.ok() && !secret.empty()) {
    // It is over, and forgotten here too.
    answer.header = ClearCookie(request);
    request.authorization.clear();
    request.cookie.clear();
    visitor = Admit(request);
  }
  if (!visitor.ok()) {
    Note(security::Sighting::Kind::kRefused, request, "", visitor.status());
    return Refusal(request, visitor.status());
  }
  const bool has_session = !secret.empty() && answer.header.empty();
  if (!has_session && request.authorization.empty())
    by = visitor->name != nullptr ? "CERTIFICATE" : "NOTHING";
  Json shown = Shown(*visitor, by);
  shown["login"] = IsPrivate(request) ? "" : kNotPrivate;
  shown["csrf"] = has_session ? Sessions::CsrfOf(secret) : "";
  answer.body = Dump(shown);
  return answer;
}

void Login::Note(security::Sighting::Kind kind, const Request& request, std::string identity,
                 const Status& status) const {
  guard_->Note({.kind = kind,
                .identity = std::move(identity),
                .address = request.caller.address,
                .call = request.method + " " + std::string(PathOf(request.target)),
                .status = status});
}

}  // namespace assent::http
