#include "coordinator/http/desk.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/http/console.h"
#include "coordinator/http/host.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/openapi.h"
#include "coordinator/http/routes.h"
#include "coordinator/http/stream.h"

namespace assent::http {
namespace {

bool IsSame(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char c, unsigned char d) {
    return std::tolower(c) == std::tolower(d);
  });
}

// A target in absolute form: whose it is, and what is asked of him.
struct Absolute {
  std::string_view host;
  std::string_view rest;  // from the path on; a path of nothing is "/"
};
std::optional<Absolute> ReadAbsolute(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!IsSame(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    return Absolute{target.substr(0, end), target.substr(end)};
  }
  return {};
}

bool IsOrigin(std::string_view origin, const std::string& host) {
  return IsSame(origin, "http://" + host) || IsSame(origin, "https://" + host);
}

// What a browser says by itself, and no page can change. Of another site comes a link that somebody
// follows, and nothing else.
bool IsOfOtherPage(const Request& request) {
  const std::string& site = request.fetch_site;
  if (site.empty() || site == "same-origin" || site == "none") return false;
  return request.method != "GET" || request.fetch_mode != "navigate" ||
         request.fetch_dest != "document";
}

bool IsJson(std::string_view type) {
  const std::string_view bare = type.substr(0, type.find(';'));
  constexpr std::string_view kJson = "application/json";
  return IsSame(bare.substr(0, kJson.size()), kJson) &&
         bare.find_first_not_of(" \t", kJson.size()) == std::string_view::npos;
}

void Reply(const std::shared_ptr<Exchange>& exchange, Answer answer) {
  exchange->Reply([answer = std::move(answer)] { return answer; });
}

// Whoever looks now and then adds what it likes to the query; this alone is ours.
Result<bool> IsVerbose(std::string_view target) {
  const Result<Pairs> query = QueryOf(target);
  if (!query.ok()) return query.status();
  bool verbose = false;
  for (const auto& [name, value] : *query) {
    if (name != "verbose") continue;
    verbose = value.empty() || value == "true" || value == "1";
    if (!verbose && value != "false" && value != "0")
      return InvalidArgument("verbose takes true or false, 1 or 0, or nothing");
  }
  return verbose;
}

Answer WrongMethod(const std::string& method, std::string allow) {
  Answer answer = Failure(
      {Code::kUnimplemented, "this path takes " + allow + ", not " + method.substr(0, 32)}, 405);
  answer.allow = std::move(allow);
  return answer;
}

}  // namespace

void TakeHost(Request& request) {
  const std::optional<Absolute> absolute = ReadAbsolute(request.target);
  if (!absolute) return;
  std::string origin_form(absolute->rest);
  request.host = absolute->host;
  request.target = (origin_form.starts_with('/') ? "" : "/") + origin_form;
}

std::size_t Desk::MaxBody(std::string_view method, std::string_view target) const {
  const std::optional<Absolute> absolute = ReadAbsolute(target);
  return MaxBodyBytes(method, absolute ? absolute->rest : target);
}

Answer CheckSender(const Request& request, bool loopback) {
  if (loopback && !request.host.empty() && !IsLocal(request.host)) {
    return Failure({Code::kPermissionDenied,
                    "this port serves localhost and addresses, not the name that Host has"},
                   421);
  }
  if (!request.origin.empty() && !IsOrigin(request.origin, request.host)) {
    return Failure({Code::kPermissionDenied, "this is not for pages of other origins"}, 403);
  }
  if (IsOfOtherPage(request)) {
    return Failure(
        {Code::kPermissionDenied, "this is not for pages of other sites: a link may lead here"},
        403);
  }
  if (!request.body.empty() && !IsJson(request.content_type)) {
    return Failure(InvalidArgument("a body is JSON, and says so: Content-Type: application/json"),
                   415);
  }
  return {};
}

std::shared_ptr<Pending> Desk::Take(Request request, const std::shared_ptr<Exchange>& exchange) {
  TakeHost(request);
  Answer refused = CheckSender(request, options_.loopback);
  if (refused.code != 200) {
    Reply(exchange, std::move(refused));
    return nullptr;
  }
  // What a body of GET would be is not shown, and that is all.
  if (request.method == "HEAD") request.method = "GET";
  if (std::optional<Answer> page = ConsoleAnswer(request)) {
    Reply(exchange, *std::move(page));
    return nullptr;
  }
  if (std::optional<Answer> said = login_.Take(request)) {
    Reply(exchange, *std::move(said));
    return nullptr;
  }
  bool taken = false;
  auto pending = TakeOther(request, exchange, &taken);
  return taken ? pending : TakeCall(std::move(request), exchange);
}

Status Desk::Admit(Request& request, security::Permission needs) {
  security::Guard* const guard = options_.guard;
  if (!login_.asks()) return OkStatus();
  auto visitor = login_.Admit(request);
  if (!visitor.ok()) return NoteRefused(request, visitor.status());
  const Status may = CheckCall(*visitor, needs);
  if (!may.ok()) guard->CountDenied();
  if (visitor->name != nullptr) request.caller.name = *visitor->name;
  request.caller.grants = visitor->grants;
  return may.ok() ? may : NoteRefused(request, may);
}

Status Desk::NoteRefused(const Request& request, const Status& why) const {
  options_.guard->Note(
      {.identity = request.caller.name,
       .address = request.caller.address,
       .call = std::string(request.method) + " " + std::string(PathOf(request.target)),
       .status = why});
  return why;
}

std::shared_ptr<Pending> Desk::TakeOther(Request& request,
                                         const std::shared_ptr<Exchange>& exchange, bool* taken) {
  const std::string_view path = PathOf(request.target);
  *taken = std::any_of(OtherRoutes().begin(), OtherRoutes().end(),
                       [&](const OtherRoute& route) { return route.path == path; });
  if (!*taken) return nullptr;
  if (request.method != "GET") {
    Reply(exchange, WrongMethod(request.method, "GET"));
  } else if (path == kReadyPath) {
    const Result<bool> verbose = IsVerbose(request.target);
    if (verbose.ok()) return health_->Ready(*verbose, exchange);
    Reply(exchange, Failure(verbose.status()));
  } else if (path == kLivePath) {
    Reply(exchange, {.body = "alive\n", .type = "text/plain; charset=utf-8"});
  } else if (const Status may =
                 path == kMetricsPath ? Admit(request, security::Permission::kLook) : OkStatus();
             !may.ok()) {
    Reply(exchange, login_.Refusal(request, may));
  } else if (path == kMetricsPath) {
    exchange->Reply([&options = options_] {
      return Answer{.body = options.metrics(), .type = options.metrics_type};
    });
  } else {
    Reply(exchange, {.body = OpenApi(options_.version)});
  }
  return nullptr;
}

std::shared_ptr<Pending> Desk::TakeCall(Request request,
                                        const std::shared_ptr<Exchange>& exchange) {
  Result<Target> target = Find(request.method, request.target);
  if (!target.ok()) {
    Reply(exchange, Failure(target.status()));
    return nullptr;
  }
  if (target->route == nullptr) {
    Reply(exchange, target->allow.empty()
                        ? Failure(NotFound("there is nothing at this path; " +
                                           std::string(kOpenApiPath) + " lists what there is"))
                        : WrongMethod(request.method, target->allow));
    return nullptr;
  }
  if (const Status may = Admit(request, target->route->needs); !may.ok()) {
    Reply(exchange, login_.Refusal(request, may));
    return nullptr;
  }
  const std::shared_ptr<const Rooms> rooms = std::atomic_load(&rooms_);
  if (rooms == nullptr) {
    Reply(exchange, Failure(Unavailable("this coordinator is starting; nothing was begun")));
    return nullptr;
  }
  Result<Asked> asked = Read(*target, request.body);
  if (!asked.ok()) {
    Reply(exchange, Failure(asked.status()));
    return nullptr;
  }
  const bool stays = login_.asks() && target->route->descriptor().server_streaming();
  const auto staying = stays ? login_.Staying(request) : std::function<Status()>();
  const auto pending = Begin(*rooms, {.route = target->route,
                                      .caller = std::move(request.caller),
                                      .asked = *std::move(asked),
                                      .last_event_id = std::move(request.last_event_id),
                                      .traceparent = std::move(request.traceparent),
                                      .tracestate = std::move(request.tracestate),
                                      .exchange = exchange});
  if (stays) Keep(pending, staying);
  return pending;
}

void Desk::Keep(const std::shared_ptr<Pending>& pending,
                const std::function<Status()>& staying) const {
  const auto stream = std::dynamic_pointer_cast<StreamCall>(pending);
  if (stream == nullptr) return;
  options_.guard->standing().Join([weak = std::weak_ptr<StreamCall>(stream), staying] {
    const auto stands = weak.lock();
    if (stands == nullptr) return false;
    const Status still = staying();
    if (!still.ok()) stands->EndStream(still);
    return still.ok();
  });
}

}  // namespace assent::http
