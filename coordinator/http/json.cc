#include "coordinator/http/json.h"

#include <google/protobuf/util/json_util.h>

#include <assent/limits.h>
#include <assent/text.h>

#include "proto/parse/parse.h"

namespace assent::http {
namespace {

// What a parser of JSON makes of a text need not be one of protobuf: half of a surrogate pair.
Status CheckTexts(const google::protobuf::Message& message) {
  std::string bytes;
  if (!message.SerializePartialToString(&bytes)) return Internal("the request cannot be read");
  if (bytes.size() > limits::kMaxFrameBytes) {
    return InvalidArgument("the request has " + std::to_string(bytes.size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxFrameBytes));
  }
  const wire::BadText bad = wire::FindBadText(*message.GetDescriptor(), bytes);
  if (bad.count == 0) return OkStatus();
  return InvalidArgument((bad.fields.empty() ? "a text" : bad.fields.front()) + " is not UTF-8");
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto done = google::protobuf::util::MessageToJsonString(message, &text, options);
  ASSENT_CHECK(done.ok());
  return text;
}

Status FromJson(std::string_view text, google::protobuf::Message& message) {
  if (!IsUtf8(text)) return InvalidArgument("the body is not UTF-8");
  const auto read = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(text.data(), text.size()), &message);
  if (!read.ok()) {
    return InvalidArgument("the body is no assent.v1." + message.GetDescriptor()->name() +
                           " in JSON: " + std::string(CutReason(read.message().ToString())));
  }
  return CheckTexts(message);
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
  answer.try_later = answer.code == 429 || answer.code == 503;
  return answer;
}

Answer Message(const google::protobuf::Message& message) { return {.body = ToJson(message)}; }

}  // namespace assent::http
