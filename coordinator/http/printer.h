#pragma once

// A message as JSON, by protobuf's mapping; on one line.

#include <string>

#include <google/protobuf/message.h>

namespace assent::http {

// Every field that is not a message is there, also one that has its default; a map's keys are in
// their order. What would not be seen, or could end a page's script, is escaped in texts.
std::string PrintJson(const google::protobuf::Message& message);

}  // namespace assent::http
