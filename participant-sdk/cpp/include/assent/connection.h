#pragma once

// What a Client talks through. The SDK has three of them: gRPC (made by Client's own constructor),
// the in-process coordinator of assent/testkit.h, and the mock of assent/mock_connection.h.
// Applications use assent/client.h.

#include <chrono>
#include <functional>
#include <string>

#include <assent/status.h>
#include <assent/transaction.h>

namespace assent {

// Every call is bounded by `timeout` and idempotent by gid (and branch id). Failures:
//   kUnknownOutcome      it may or may not have been done: call again with the same parameters, or
//                        Wait on the gid
//   kUnavailable         this call was certainly not sent: there was no connection
//   kResourceExhausted   this call has certainly begun nothing: a queue of this client is full, or,
//                        SubmitAsync only, the coordinator is; later may work
//   kDeadlineExceeded    Wait and Get only: nothing was to be done, and the answer did not come in
//                        time
//   kInvalidArgument, kNotFound, kAlreadyExists, kFailedPrecondition, kAborted: the answer; trying
//     again will not help
//   kPermissionDenied, kUnimplemented: Wait and Get only, said by the coordinator or a proxy (other
//     calls: kUnknownOutcome)
//
// Thread-safety: every method may be called from any thread.
class Connection {
 public:
  struct SubmitParams {
    Transaction transaction;
    WaitFor wait = WaitFor::kDecided;
    std::chrono::milliseconds timeout{0};
  };
  struct SubmitEncodedParams {
    std::string gid;
    std::string request;  // a serialised assent.v1.SubmitRequest, of that gid
    WaitFor wait = WaitFor::kDecided;
    std::chrono::milliseconds timeout{0};
  };
  struct BeginParams {
    Transaction transaction;  // without branches
    std::chrono::milliseconds timeout{0};
  };
  struct ExecuteParams {
    std::string gid;
    Branch branch;  // with an id
    std::chrono::milliseconds timeout{0};
  };
  struct FinishParams {
    std::string gid;
    bool commit = true;  // false: roll back
    std::string reason;  // of a rollback
    WaitFor wait = WaitFor::kDecided;
    std::chrono::milliseconds timeout{0};
  };
  struct WaitParams {
    std::string gid;
    WaitFor wait = WaitFor::kDecided;
    std::chrono::milliseconds timeout{0};
  };
  struct GetParams {
    std::string gid;
    std::chrono::milliseconds timeout{0};
  };
  using ReportCallback = std::function<void(Result<Report>)>;

  virtual ~Connection() = default;
  virtual Result<Report> Submit(const SubmitParams& params) = 0;
  // Calls `done` exactly once, on any thread, possibly before it returns. See Client::SubmitAsync.
  virtual void SubmitAsync(SubmitParams params, ReportCallback done) = 0;
  // The same of what a relay has read from an outbox, which may say more than this version of the
  // SDK knows. Bytes that are no request, or of another gid, are kInvalidArgument. A connection
  // that has no wire answers kUnimplemented.
  virtual void SubmitEncodedAsync(SubmitEncodedParams params, ReportCallback done);
  virtual Status Begin(const BeginParams& params) = 0;
  virtual Result<BranchResult> Execute(const ExecuteParams& params) = 0;
  virtual Result<Report> Finish(const FinishParams& params) = 0;
  virtual Result<Report> Wait(const WaitParams& params) = 0;
  virtual Result<TransactionInfo> Get(const GetParams& params) = 0;
};

}  // namespace assent
