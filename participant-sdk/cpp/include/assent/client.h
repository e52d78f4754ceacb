#pragma once

// For initiators: run transactions, ask what became of them.
//
//   assent::Client client;                                   // $ASSENT_ENDPOINT, or 127.0.0.1:7400
//   assent::Transaction order;
//   order.Tcc("inventory", "reserve", items).Tcc("payment", "charge", amount);
//   auto report = client.Submit(order);
//   if (!report.ok()) …            // see the table below
//   else if (report->committed()) …
//   else …                         // aborted: report->abort_reason says why
//
// What a failure means, and what to do next:
//   kUnknownOutcome      The transaction may or may not run. Submit the same object again, or Wait
//                        on its gid, until one of them answers: the same gid is the same
//                        transaction, so nothing happens twice. Never make a new one. Also when a
//                        call ended with the status that something is full, stopping or
//                        unavailable: a library or a proxy uses the same words of answers that were
//                        lost.
//   kUnavailable         This call has begun nothing: there was no connection, to any coordinator;
//                        or, SubmitAsync alone, the coordinator was stopping, and said so in a
//                        reply of its own.
//                        Try later, or give up safely; unless an earlier call of the same gid ended
//                        in kUnknownOutcome, which this does not settle.
//   kResourceExhausted   This call has begun nothing: a queue of this client is full; or,
//                        SubmitAsync alone, the coordinator was, and said so in a reply of its own.
//                        Likewise.
//   kInvalidArgument     It can never work; the message names the field and the limit.
//   kAlreadyExists       The gid belongs to a transaction with other content.
//   kFailedPrecondition  The transaction's state does not allow it (Commit after its abort, say).
//                        Or this is a handler, and nobody is left to execute what it would wait
//                        for.
//   kAborted             Execute: the transaction was aborted before this branch had an answer; the
//                        message says why.
//   kNotFound            Wait, Get: no such gid among what is retained. After kUnknownOutcome of a
//                        Submit this is not an abort: the request may still be on its way. Submit
//                        the same object again.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/connection.h>
#include <assent/status.h>
#include <assent/tls.h>
#include <assent/token.h>
#include <assent/transaction.h>

namespace assent {

// How the client repeats what failed without an answer. Everything it sends is idempotent, so it
// always may.
struct ClientRetry {
  std::chrono::milliseconds initial_backoff{20};  // doubles each time, with full jitter
  std::chrono::milliseconds max_backoff{1000};
  // Gives up when a call has been failing for so long, whatever its timeout. 0: never repeat.
  std::chrono::milliseconds give_up_after{10'000};
};

struct ClientOptions {
  // "host:port". Empty: the environment variable ASSENT_ENDPOINT (several: separated by commas), or
  // 127.0.0.1:7400.
  std::string endpoint = {};
  // Or several, of coordinators that share one log; some suffice, the client learns of the others.
  // A call goes to the one that has the transaction. Whatever becomes of that one, the call is
  // asked again elsewhere under the same gid, and gets its one outcome. Coordinators that share no
  // log must never be named together: what one of them may have done, another would do again.
  std::vector<std::string> endpoints = {};
  // What Submit, Commit, Rollback and Wait wait for unless the call says otherwise.
  WaitFor wait = WaitFor::kDecided;
  // How long one call may take, repeats included. 0: the transaction's deadline and 10 s more (30 s
  // where there is none).
  std::chrono::milliseconds call_timeout{0};
  ClientRetry retry = {};
  // SubmitAsync: how many transactions may be unanswered at once; one more is answered
  // kResourceExhausted.
  std::size_t max_pending_count = 65'536;
  // SubmitAsync: their payloads and headers together, likewise.
  std::size_t max_pending_bytes = 256 * 1024 * 1024;
  // SubmitAsync: parallel streams. One is best until a core is busy with it.
  std::size_t streams = 1;
  // A silent connection is probed this often and given up soon after. 0: never.
  std::chrono::milliseconds keepalive{20'000};
  // A file that cannot be used is the answer to every call.
  TlsOptions tls = {};
  // What is no token, or may not be shown to an endpoint, likewise.
  TokenOptions token = {};
  // Waits between repeats. Replaced in tests; empty: really sleeps.
  std::function<void(std::chrono::milliseconds)> sleep = {};
};

// What one call may say differently from the client's options.
struct CallOptions {
  WaitFor wait = WaitFor::kDefault;
  std::chrono::milliseconds timeout{0};  // 0: ClientOptions::call_timeout
};

class OpenTransaction;

// Cheap to copy; copies share one connection. Thread-safety: every method may be called from any
// thread.
class Client {
 public:
  // Does not dial yet: the first call does.
  Client();
  explicit Client(ClientOptions options);
  // Talks through something else: a mock, the test kit.
  explicit Client(std::shared_ptr<Connection> connection, ClientOptions options = {});

  // Runs the whole transaction and waits. An abort is a Report, not a failure.
  Result<Report> Submit(const Transaction& transaction, CallOptions call = {}) const;

  // Makes a message durable that begins once its initiator's local transaction has committed, and
  // never if that does not (assent/check_back.h): before that transaction. Then Submit, after it.
  // kInvalidArgument: its first step is no CheckBack. As of Submit, the same again is the same.
  Result<Report> Prepare(const Transaction& message, CallOptions call = {}) const;

  // The same without waiting, for throughput: transactions travel many to a message on a stream of
  // their own, and those unanswered when it breaks are submitted again. `done` is called exactly
  // once, on a thread of the SDK: it must not block or throw, and may call SubmitAsync. At the
  // latest when the call's timeout ends (kUnknownOutcome), or when the last copy of the client
  // goes.
  void SubmitAsync(Transaction transaction, std::function<void(Result<Report>)> done,
                   CallOptions call = {}) const;

  // The same of a request that Transaction has become in an outbox: see assent/outbox.h.
  void SubmitEncodedAsync(std::string gid, std::string request,
                          std::function<void(Result<Report>)> done, CallOptions call = {}) const;

  // Opens a transaction to which branches are added one by one, each answered before the next is
  // chosen. `transaction` has no branches; its gid, labels and deadline count.
  Result<OpenTransaction> Begin(const Transaction& transaction = {}, CallOptions call = {}) const;

  // Answers when the transaction gets there; kDeadlineExceeded if it does not in time.
  Result<Report> Wait(const std::string& gid, CallOptions call = {}) const;
  Result<TransactionInfo> Get(const std::string& gid, CallOptions call = {}) const;

 private:
  std::shared_ptr<Connection> connection_;
  ClientOptions options_;
};

// A transaction whose branches are added one by one. Goes out of scope without Commit: rolled back
// (the destructor asks once and does not insist, the coordinator's deadline does the rest).
//
//   auto order = client.Begin();
//   if (!order.ok()) return order.status();
//   auto stock = order->Tcc("inventory", "reserve", items);
//   if (!stock.ok() || stock->refused) return …;           // rolled back on the way out
//   order->Saga("shipping", "book", stock->result);
//   auto report = order->Commit();
//
// Moves, does not copy. Thread-safety: one thread at a time.
class OpenTransaction {
 public:
  OpenTransaction(OpenTransaction&&) noexcept = default;
  OpenTransaction& operator=(OpenTransaction&& other) noexcept;
  OpenTransaction(const OpenTransaction&) = delete;
  OpenTransaction& operator=(const OpenTransaction&) = delete;
  ~OpenTransaction();

  const std::string& gid() const { return gid_; }

  // Adds a branch and waits for its forward operation. On kUnknownOutcome the branch may have
  // executed: Commit will not succeed without it, so either call Execute again with the same branch
  // (same id), or Rollback.
  Result<BranchResult> Execute(Branch branch, CallOptions call = {});
  Result<BranchResult> TwoPhase(std::string service, std::string action, std::string payload = {},
                                BranchOptions options = {});
  Result<BranchResult> Tcc(std::string service, std::string action, std::string payload = {},
                           BranchOptions options = {});
  Result<BranchResult> Saga(std::string service, std::string action, std::string payload = {},
                            BranchOptions options = {});

  // Asks for the commit. kUnknownOutcome: call it again, or Client::Wait on the gid. From the first
  // call on the destructor does nothing.
  Result<Report> Commit(CallOptions call = {});
  Result<Report> Rollback(std::string reason = {}, CallOptions call = {});

 private:
  friend class Client;
  OpenTransaction(std::shared_ptr<Connection> connection, ClientOptions options,
                  const Transaction& transaction);
  void Abandon();

  // Null once moved from or asked to finish by the destructor.
  std::shared_ptr<Connection> connection_;
  ClientOptions options_;
  std::string gid_;
  std::chrono::milliseconds deadline_{0};
  std::uint32_t next_branch_ = 1;
  bool finishing_ = false;
};

}  // namespace assent
