#pragma once

// Requests as JSON, answers, and failures as google.rpc.Status.

#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include <assent/status.h>

#include "coordinator/http/exchange.h"

namespace assent::http {

using Json = nlohmann::ordered_json;

// As ReadJson (reader.h), and it is no larger than a message of the wire.
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
