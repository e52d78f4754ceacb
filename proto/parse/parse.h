#pragma once

// Why bytes are not the message that they ought to be. A proto3 parser refuses a whole message for
// one string that is not UTF-8, and says neither which nor that it was that; gRPC makes of it
// UNIMPLEMENTED without a word, or a lost stream. Here the field is named, and can be mended, so
// that a bad text costs only itself.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

#include <assent/status.h>

namespace assent::wire {

// Fields that are named; the rest is counted.
inline constexpr std::size_t kMaxNamedFieldsCount = 8;

// The strings that are not UTF-8.
struct BadText {
  std::vector<std::string>
      fields;  // `transaction.branches[2].headers["x"]`, in the order of the bytes
  std::size_t count = 0;
  // The bytes could be followed to their end. If not, what came after the break was not looked at.
  bool whole = false;
};

// The bytes may be anything; the cost is linear in them, and the depth bounded as the parser's is.
BadText FindBadText(const google::protobuf::Descriptor& type, std::string_view bytes);

// The same, and makes each byte that is no UTF-8 a '?' where it stands. No length changes, so that
// the message, if it is whole, parses then.
BadText MendText(const google::protobuf::Descriptor& type, std::string& bytes);

// INVALID_ARGUMENT with what is wrong: "transaction.labels["k"] is not UTF-8", or "the request is
// not a valid assent.v1.SubmitRequest message". `what` is what the sender calls it: "the request",
// "the frame".
Status Parse(std::string_view bytes, std::string_view what, google::protobuf::Message& message);

// The messages of a repeated field of the outermost message, unread; nothing if the bytes cannot be
// followed to their end. So that of a frame of many the one at fault can be told from the others.
std::optional<std::vector<std::string_view>> Elements(std::string_view bytes, int field);

}  // namespace assent::wire
