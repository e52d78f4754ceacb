#pragma once

// A command as the body of a POST, and what an answer to one means. docs/wire.md has both, with a
// table of codes.
//
// What counts as a reply is narrow on purpose: a proxy, a framework or somebody else at that
// address must not be able to say one by accident.

#include <cstddef>
#include <cstdint>
#include <string>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/carrier.h"
#include "coordinator/transport/transport.h"

namespace assent::transport::http {

// Of an answer's body: a result of 256 KiB is a third of it.
inline constexpr std::size_t kMaxReplyBytes = std::size_t{1} << 20;
// Of an answer's headers together.
inline constexpr std::size_t kMaxReplyHeaderBytes = std::size_t{64} << 10;
// Of a body that is no reply so many are told to people.
inline constexpr std::size_t kMaxBodyShownBytes = 120;
// What makes a reply of an answer whose code is not 2xx.
inline constexpr const char* kReplyType = "application/assent-reply+json";
inline constexpr const char* kSignatureHeader = "Assent-Signature";

// A BranchCommand in protobuf's JSON mapping, with every field.
std::string BodyOf(const Command& command, std::uint32_t coordinator_id);

// What has come in whole.
struct Answer {
  long code = 0;
  std::string content_type;
  std::string body;
  core::Millis retry_after{0};  // from Retry-After
};

// The reply in it, or in words why there is none. `target` and `call` are left alone.
void Read(Answer answer, CallEnd& end);

}  // namespace assent::transport::http
