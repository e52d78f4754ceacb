#include "coordinator/http/json.h"

#include <assent/limits.h>

#include "coordinator/http/printer.h"
#include "coordinator/http/reader.h"

namespace assent::http {

Status FromJson(std::string_view text, google::protobuf::Message& message) {
  if (Status read = ReadJson(text, message); !read.ok()) return read;
  const std::size_t bytes = message.ByteSizeLong();
  if (bytes <= limits::kMaxFrameBytes) return OkStatus();
  return InvalidArgument("the request has " + std::to_string(bytes) + " bytes, the limit is " +
                         std::to_string(limits::kMaxFrameBytes));
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

unsigned HttpCode(Code code) {
  switch (code) {
    case Code::kOk: return 200;
    case Code::kCancelled: return 499;
    case Code::kInvalidArgument:
    case Code::kFailedPrecondition:
    case Code::kOutOfRange: return 400;
    case Code::kDeadlineExceeded: return 504;
    case Code::kNotFound: return 404;
    case Code::kAlreadyExists:
    case Code::kAborted: return 409;
    case Code::kPermissionDenied: return 403;
    case Code::kUnauthenticated: return 401;
    case Code::kResourceExhausted: return 429;
    case Code::kUnimplemented: return 501;
    case Code::kUnavailable:
    case Code::kElsewhere: return 503;
    case Code::kInternal:
    case Code::kDataLoss:
    case Code::kUnknownOutcome: return 500;
  }
  return 500;
}

int RpcCode(Code code) {
  constexpr int kUnknown = 2;
  if (code == Code::kUnknownOutcome) return kUnknown;
  if (code == Code::kElsewhere) return static_cast<int>(Code::kUnavailable);
  return static_cast<int>(code);
}

std::string StatusJson(const Status& status) {
  return Dump({{"code", RpcCode(status.code())},
               {"message", status.message()},
               {"details", Json::array()}});
}

Answer Failure(const Status& status, unsigned code) {
  Answer answer;
  answer.code = code != 0 ? code : HttpCode(status.code());
  answer.body = StatusJson(status);
  if (answer.code == 401) answer.header = "WWW-Authenticate: Bearer realm=\"assent\"\r\n";
  answer.try_later = answer.code == 429 || answer.code == 503;
  return answer;
}

Answer Message(const google::protobuf::Message& message) { return {.body = PrintJson(message)}; }

}  // namespace assent::http
