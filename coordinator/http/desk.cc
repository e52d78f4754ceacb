#include "coordinator/http/desk.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "coordinator/http/console.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/openapi.h"
#include "coordinator/http/routes.h"

namespace assent::http {
namespace {

// Without its port.
std::string_view HostOf(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool IsAddress(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return c == '.' || std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

bool IsJson(std::string_view type) {
  const std::string_view bare = type.substr(0, type.find(';'));
  constexpr std::string_view kJson = "application/json";
  return bare.size() >= kJson.size() &&
         std::equal(
             kJson.begin(), kJson.end(), bare.begin(),
             [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); }) &&
         bare.find_first_not_of(" \t", kJson.size()) == std::string_view::npos;
}

void Reply(const std::shared_ptr<Exchange>& exchange, Answer answer) {
  exchange->Reply([answer = std::move(answer)] { return answer; });
}

Answer WrongMethod(const std::string& method, std::string allow) {
  Answer answer = Failure(
      {Code::kUnimplemented, "this path takes " + allow + ", not " + method.substr(0, 32)}, 405);
  answer.allow = std::move(allow);
  return answer;
}

}  // namespace

Answer CheckSender(const Request& request, bool loopback) {
  const std::string_view host = HostOf(request.host);
  if (loopback && !request.host.empty() && !IsAddress(host) && host != "localhost") {
    return Failure({Code::kPermissionDenied,
                    "this port serves localhost and addresses, not the name that Host has"},
                   421);
  }
  if (!request.origin.empty() && request.origin != "http://" + request.host &&
      request.origin != "https://" + request.host) {
    return Failure({Code::kPermissionDenied, "this is not for pages of other origins"}, 403);
  }
  if (!request.body.empty() && !IsJson(request.content_type)) {
    return Failure(InvalidArgument("a body is JSON, and says so: Content-Type: application/json"),
                   415);
  }
  return {};
}

std::shared_ptr<Pending> Desk::Take(Request request, const std::shared_ptr<Exchange>& exchange) {
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
  bool taken = false;
  auto pending = TakeOther(request, exchange, &taken);
  return taken ? pending : TakeCall(std::move(request), exchange);
}

std::shared_ptr<Pending> Desk::TakeOther(const Request& request,
                                         const std::shared_ptr<Exchange>& exchange, bool* taken) {
  const std::string_view path = PathOf(request.target);
  *taken = std::any_of(OtherRoutes().begin(), OtherRoutes().end(),
                       [&](const OtherRoute& route) { return route.path == path; });
  if (!*taken) return nullptr;
  if (request.method != "GET") {
    Reply(exchange, WrongMethod(request.method, "GET"));
  } else if (path == kReadyPath) {
    const auto query = QueryOf(request.target);
    const bool verbose =
        query.ok() && std::any_of(query->begin(), query->end(), [](const auto& pair) {
          return pair.first == "verbose" && pair.second != "false";
        });
    return health_->Ready(verbose, exchange);
  } else if (path == kLivePath) {
    Reply(exchange, {.body = "alive\n", .type = "text/plain; charset=utf-8"});
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
  return Begin(*rooms, {.route = target->route,
                        .caller = std::move(request.caller),
                        .asked = *std::move(asked),
                        .last_event_id = std::move(request.last_event_id),
                        .exchange = exchange});
}

}  // namespace assent::http
