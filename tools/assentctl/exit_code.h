#pragma once

// The exit codes of assentctl: part of its interface, listed in docs/assentctl.md, never
// renumbered.

#include <assent/status.h>

namespace assent::ctl {

enum class Exit : int {
  kDone = 0,
  kOther = 1,
  kUsage = 2,          // the command line, or a request that can never work
  kCannotConnect = 3,  // no daemon there, or it is starting or stopping
  kNotFound = 4,
  kWrongState =
      5,  // the transaction's state does not allow it, or its gid is taken by other content
  kNotPermitted = 6,
  kSomeFailed = 7,  // at least one of several transactions
  // wait and submit:
  kAborted = 10,
  kStillRunning = 11,  // --timeout ended the wait; the transaction goes on
  kNeedsHuman = 12,    // it cannot end without a person, or ended MIXED or HAZARD
};

// The exit code with which a failed call ends the program.
constexpr Exit ExitFor(Code code) {
  switch (code) {
    case Code::kOk: return Exit::kDone;
    case Code::kInvalidArgument:
    case Code::kOutOfRange: return Exit::kUsage;
    case Code::kUnavailable: return Exit::kCannotConnect;
    case Code::kNotFound: return Exit::kNotFound;
    case Code::kFailedPrecondition:
    case Code::kAlreadyExists: return Exit::kWrongState;
    case Code::kUnauthenticated:
    case Code::kPermissionDenied: return Exit::kNotPermitted;
    case Code::kAborted: return Exit::kAborted;
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
    case Code::kUnimplemented:
    case Code::kInternal:
    case Code::kDataLoss:
    case Code::kUnknownOutcome:
    case Code::kElsewhere: return Exit::kOther;
  }
  return Exit::kOther;
}

}  // namespace assent::ctl
