#pragma once

// The vocabulary of failure, shared by the coordinator and the SDK. Depends on the standard library
// alone.
//
// Three channels, never mixed: what the protocol answers is data (a participant that votes no has
// not failed); what the world does to us is a Status or a Result<T>, which the compiler insists on
// being read; what we did wrong ourselves is ASSENT_CHECK, which stays on in release builds and
// ends the process.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace assent {

// Why an operation failed. The numbers are those of the canonical gRPC codes where one exists, so
// that a Code may be logged beside a wire status without a table; kUnknownOutcome and kElsewhere
// have no such twin.
enum class Code : std::uint8_t {
  kOk = 0,
  kCancelled = 1,           // the caller went away
  kInvalidArgument = 3,     // the request can never work: the message names the field and the limit
  kDeadlineExceeded = 4,    // the caller's own wait ended; the transaction goes on
  kNotFound = 5,            // no such transaction or branch, within what is retained
  kAlreadyExists = 6,       // the gid or branch id is taken by other content
  kPermissionDenied = 7,    // the caller may not do this
  kResourceExhausted = 8,   // a named limit is reached: nothing was done, try again later
  kFailedPrecondition = 9,  // the transaction's state does not allow it: trying again will not help
  kAborted = 10,            // the transaction was aborted
  kOutOfRange = 11,         // a page token or position that no longer exists
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,      // certainly not done: safe to try again
  kUnauthenticated = 16,  // nobody knows who asks, and this is not for everybody
  kDataLoss = 15,         // stored bytes are damaged; nothing may be concluded from them
  kUnknownOutcome =
      32,  // may or may not have been done: ask again with the same identity, never guess
  // Within the coordinator alone: the transaction is another coordinator's, or is about to be.
  // Whoever said so has done nothing with this request; what came before it may have been done.
  kElsewhere = 33,
};

// The name of a code as it appears in logs and in output, e.g. "FAILED_PRECONDITION".
constexpr std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kCancelled: return "CANCELLED";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded: return "DEADLINE_EXCEEDED";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kAlreadyExists: return "ALREADY_EXISTS";
    case Code::kPermissionDenied: return "PERMISSION_DENIED";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kAborted: return "ABORTED";
    case Code::kOutOfRange: return "OUT_OF_RANGE";
    case Code::kUnimplemented: return "UNIMPLEMENTED";
    case Code::kInternal: return "INTERNAL";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kUnauthenticated: return "UNAUTHENTICATED";
    case Code::kUnknownOutcome: return "UNKNOWN_OUTCOME";
    case Code::kElsewhere: return "ELSEWHERE";
  }
  return "INVALID_CODE";
}

// Success, or one failure with a sentence that says what happened, to what, and what to try. A
// value.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // "FAILED_PRECONDITION: transaction is already decided", or "OK".
  std::string ToString() const {
    std::string text(CodeName(code_));
    if (!message_.empty()) text.append(": ").append(message_);
    return text;
  }
  friend bool operator==(const Status&, const Status&) = default;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

inline Status OkStatus() { return {}; }
inline Status InvalidArgument(std::string message) {
  return {Code::kInvalidArgument, std::move(message)};
}
inline Status NotFound(std::string message) { return {Code::kNotFound, std::move(message)}; }
inline Status AlreadyExists(std::string message) {
  return {Code::kAlreadyExists, std::move(message)};
}
inline Status ResourceExhausted(std::string message) {
  return {Code::kResourceExhausted, std::move(message)};
}
inline Status FailedPrecondition(std::string message) {
  return {Code::kFailedPrecondition, std::move(message)};
}
inline Status Unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
inline Status UnknownOutcome(std::string message) {
  return {Code::kUnknownOutcome, std::move(message)};
}
inline Status Unauthenticated(std::string message) {
  return {Code::kUnauthenticated, std::move(message)};
}
inline Status PermissionDenied(std::string message) {
  return {Code::kPermissionDenied, std::move(message)};
}
inline Status DataLoss(std::string message) { return {Code::kDataLoss, std::move(message)}; }
inline Status Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

// Ends the process with the place and the reason. For our own mistakes only.
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

// An assertion that stays on in release builds.
#define ASSENT_CHECK(condition)                                              \
  do {                                                                       \
    if (!(condition)) ::assent::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

// A T, or the Status that says why there is none. Reading the value of a failed Result ends the
// process.
template <typename T>
class [[nodiscard]] Result {
 public:
  // Both implicit on purpose: `return value;` and `return status;`.
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}        // NOLINT
  Result(Status status) : held_(std::in_place_index<1>, std::move(status)) {  // NOLINT
    ASSENT_CHECK(!std::get<1>(held_).ok());
  }

  bool ok() const { return held_.index() == 0; }
  // The failure, or OK.
  Status status() const { return ok() ? Status() : std::get<1>(held_); }
  T& value() & {
    ASSENT_CHECK(ok());
    return std::get<0>(held_);
  }
  const T& value() const& {
    ASSENT_CHECK(ok());
    return std::get<0>(held_);
  }
  T&& value() && {
    ASSENT_CHECK(ok());
    return std::get<0>(std::move(held_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> held_;
};

}  // namespace assent
