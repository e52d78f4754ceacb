#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <assent/client.h>
#include <assent/limits.h>

#include "participant-sdk/cpp/src/crew.h"

namespace assent {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlack{10'000};
constexpr milliseconds kWithoutDeadline{30'000};
// What the destructor of an open transaction spends on being polite.
constexpr milliseconds kAbandonTimeout{1000};

WaitFor WaitOf(const ClientOptions& options, const CallOptions& call) {
  if (call.wait != WaitFor::kDefault) return call.wait;
  return options.wait != WaitFor::kDefault ? options.wait : WaitFor::kDecided;
}

milliseconds Given(const ClientOptions& options, const CallOptions& call) {
  return call.timeout.count() > 0 ? call.timeout : options.call_timeout;
}

milliseconds TimeoutOf(const ClientOptions& options, const CallOptions& call) {
  const milliseconds given = Given(options, call);
  return given.count() > 0 ? given : kWithoutDeadline;
}

milliseconds TimeoutWithin(const ClientOptions& options, const CallOptions& call,
                           milliseconds deadline) {
  const milliseconds given = Given(options, call);
  if (given.count() > 0) return given;
  return (deadline.count() > 0 ? deadline : milliseconds(limits::kDefaultDeadlineMs)) + kSlack;
}

// Waits, in `wait`, for a transaction to be executed. In a handler that may be refused (crew.h).
template <typename Call>
auto Waiting(WaitFor wait, const Call& call) -> decltype(call()) {
  if (wait == WaitFor::kAccepted) return call();
  const internal::WaitForTransaction waiting;
  if (!waiting.status().ok()) return waiting.status();
  return call();
}

}  // namespace

Client::Client(std::shared_ptr<Connection> connection, ClientOptions options)
    : connection_(std::move(connection)), options_(std::move(options)) {
  ASSENT_CHECK(connection_ != nullptr);
}

Result<Report> Client::Submit(const Transaction& transaction, CallOptions call) const {
  if (Status s = transaction.Validate(); !s.ok()) return s;
  const WaitFor wait = WaitOf(options_, call);
  return Waiting(wait, [&] {
    return connection_->Submit(
        {transaction, wait, TimeoutWithin(options_, call, transaction.deadline())});
  });
}

Result<Report> Client::Prepare(const Transaction& message, CallOptions call) const {
  const std::vector<Branch>& steps = message.branches();
  if (!steps.empty() && !steps.front().options.check_back)
    return InvalidArgument("transaction " + message.gid() +
                           " does not begin with CheckBack: there is nothing to ask about");
  call.wait = WaitFor::kAccepted;
  return Submit(message, call);
}

void Client::SubmitAsync(Transaction transaction, std::function<void(Result<Report>)> done,
                         CallOptions call) const {
  if (Status s = transaction.Validate(); !s.ok()) return done(std::move(s));
  const milliseconds timeout = TimeoutWithin(options_, call, transaction.deadline());
  connection_->SubmitAsync({std::move(transaction), WaitOf(options_, call), timeout},
                           std::move(done));
}

void Client::SubmitEncodedAsync(std::string gid, std::string request,
                                std::function<void(Result<Report>)> done, CallOptions call) const {
  connection_->SubmitEncodedAsync(
      {std::move(gid), std::move(request), WaitOf(options_, call), TimeoutOf(options_, call)},
      std::move(done));
}

void Connection::SubmitEncodedAsync(SubmitEncodedParams /*params*/, ReportCallback done) {
  done(Status(Code::kUnimplemented, "this connection takes no encoded requests"));
}

Result<OpenTransaction> Client::Begin(const Transaction& transaction, CallOptions call) const {
  if (Status s = transaction.Validate(/*open=*/true); !s.ok()) return s;
  if (Status s = connection_->Begin({transaction, TimeoutOf(options_, call)}); !s.ok()) return s;
  return OpenTransaction(connection_, options_, transaction);
}

Result<Report> Client::Wait(const std::string& gid, CallOptions call) const {
  const WaitFor wait = WaitOf(options_, call);
  return Waiting(wait, [&] { return connection_->Wait({gid, wait, TimeoutOf(options_, call)}); });
}

Result<TransactionInfo> Client::Get(const std::string& gid, CallOptions call) const {
  return connection_->Get({gid, TimeoutOf(options_, call)});
}

OpenTransaction::OpenTransaction(std::shared_ptr<Connection> connection, ClientOptions options,
                                 const Transaction& transaction)
    : connection_(std::move(connection)),
      options_(std::move(options)),
      gid_(transaction.gid()),
      deadline_(transaction.deadline()) {}

OpenTransaction& OpenTransaction::operator=(OpenTransaction&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  connection_ = std::move(other.connection_);
  options_ = std::move(other.options_);
  gid_ = std::move(other.gid_);
  deadline_ = other.deadline_;
  next_branch_ = other.next_branch_;
  finishing_ = other.finishing_;
  return *this;
}

OpenTransaction::~OpenTransaction() { Abandon(); }

// Whether it arrives is of no interest: the coordinator aborts what is not committed by its
// deadline.
void OpenTransaction::Abandon() {
  const std::shared_ptr<Connection> connection = std::move(connection_);
  if (!connection || finishing_) return;
  [[maybe_unused]] const auto ignored = connection->Finish(
      {gid_, /*commit=*/false, "abandoned by its initiator", WaitFor::kAccepted, kAbandonTimeout});
}

Result<BranchResult> OpenTransaction::Execute(Branch branch, CallOptions call) {
  ASSENT_CHECK(connection_ != nullptr);
  if (branch.options.id.empty()) branch.options.id = std::to_string(next_branch_);
  if (Status s = ValidateBranch(branch); !s.ok()) return s;
  Result<BranchResult> result = Waiting(WaitFor::kDecided, [&] {
    return connection_->Execute(
        {gid_, std::move(branch), TimeoutWithin(options_, call, deadline_)});
  });
  if (result.ok())
    // An id is used up by its answer: until then the same call names the same branch.
    ++next_branch_;
  return result;
}

Result<BranchResult> OpenTransaction::TwoPhase(std::string service, std::string action,
                                               std::string payload, BranchOptions options) {
  return Execute({Protocol::kTwoPhase, std::move(service), std::move(action), std::move(payload),
                  std::move(options)});
}

Result<BranchResult> OpenTransaction::Tcc(std::string service, std::string action,
                                          std::string payload, BranchOptions options) {
  return Execute({Protocol::kTcc, std::move(service), std::move(action), std::move(payload),
                  std::move(options)});
}

Result<BranchResult> OpenTransaction::Saga(std::string service, std::string action,
                                           std::string payload, BranchOptions options) {
  return Execute({Protocol::kSaga, std::move(service), std::move(action), std::move(payload),
                  std::move(options)});
}

Result<Report> OpenTransaction::Commit(CallOptions call) {
  ASSENT_CHECK(connection_ != nullptr);
  const WaitFor wait = WaitOf(options_, call);
  return Waiting(wait, [&] {
    finishing_ = true;
    return connection_->Finish(
        {gid_, /*commit=*/true, {}, wait, TimeoutWithin(options_, call, deadline_)});
  });
}

Result<Report> OpenTransaction::Rollback(std::string reason, CallOptions call) {
  ASSENT_CHECK(connection_ != nullptr);
  const WaitFor wait = WaitOf(options_, call);
  return Waiting(wait, [&] {
    finishing_ = true;
    return connection_->Finish(
        {gid_, /*commit=*/false, std::move(reason), wait, TimeoutOf(options_, call)});
  });
}

}  // namespace assent
