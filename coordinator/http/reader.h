#pragma once

// JSON into a message, by protobuf's mapping, and no more of it than the message may have: what is
// beyond a limit of the wire is refused where it stands, before the rest is read.

#include <string_view>

#include <google/protobuf/message.h>

#include <assent/status.h>

namespace assent::http {

// INVALID_ARGUMENT says where it is: by line and column what is no JSON, by its path what the
// mapping does not have (`branches[2].retry.max_attempts`). Strict: a field stands once, by either
// spelling; a list has no null; nothing is left out or added that JSON does not leave out or add.
// The message may have a part of it then.
Status ReadJson(std::string_view text, google::protobuf::Message& message);

}  // namespace assent::http
