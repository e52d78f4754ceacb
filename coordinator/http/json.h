#pragma once

// Messages by protobuf's JSON mapping, and failures as google.rpc.Status.

#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include <assent/status.h>

#include "coordinator/http/exchange.h"

namespace assent::http {

using Json = nlohmann::ordered_json;

// Every field that is not a message is there, also one that has its default.
std::string ToJson(const google::protobuf::Message& message);
// INVALID_ARGUMENT names the field. What the mapping does not have is refused: an unknown field, a
// text that is not UTF-8.
Status FromJson(std::string_view text, google::protobuf::Message& message);
// One line.
std::string Dump(const Json& json);

// The canonical HTTP code of a failure, and the number that google.rpc.Status has for it.
unsigned HttpCode(Code code);
int RpcCode(Code code);
std::string StatusJson(const Status& status);
// `code`: where HTTP has a better word than the canonical one.
Answer Failure(const Status& status, unsigned code = 0);
Answer Message(const google::protobuf::Message& message);

}  // namespace assent::http
