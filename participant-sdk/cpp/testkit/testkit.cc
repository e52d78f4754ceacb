#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/testkit.h>

#include "participant-sdk/cpp/testkit/ask.h"
#include "participant-sdk/cpp/testkit/testkit_impl.h"

namespace assent::testkit {
namespace {

constexpr std::uint32_t kCoordinatorId = 1;

const char* NameOf(CrashPoint point) {
  switch (point) {
    case CrashPoint::kAfterFirstForward: return "kAfterFirstForward";
    case CrashPoint::kBeforeDecision: return "kBeforeDecision";
    case CrashPoint::kAfterDecision: return "kAfterDecision";
    case CrashPoint::kAfterFirstFinish: return "kAfterFirstFinish";
  }
  return "?";
}

const char* NameOf(Loss loss) {
  switch (loss) {
    case Loss::kCommand: return "kCommand";
    case Loss::kReply: return "kReply";
    case Loss::kDuplicate: return "kDuplicate";
    case Loss::kLate: return "kLate";
  }
  return "?";
}

bool SameBranch(const Branch& a, const Branch& b) {
  return a.protocol == b.protocol && a.service == b.service && a.action == b.action &&
         a.payload == b.payload && a.options.id == b.options.id &&
         a.options.after == b.options.after && a.options.pivot == b.options.pivot;
}

bool SameContent(const Transaction& a, const Transaction& b) {
  if (a.branches().size() != b.branches().size() || a.labels() != b.labels() ||
      a.deadline() != b.deadline()) {
    return false;
  }
  for (std::size_t i = 0; i < a.branches().size(); ++i) {
    if (!SameBranch(a.branches()[i], b.branches()[i])) return false;
  }
  return true;
}

}  // namespace

// ------------------------------------------------------------------------------------------------
// the public face

Coordinator::Coordinator() : impl_(std::make_shared<Impl>()) {}
Coordinator::~Coordinator() {
  if (impl_->unreached_said || std::uncaught_exceptions() > 0) return;
  const std::vector<std::string> unreached = impl_->Unreached();
  for (const std::string& plan : unreached)
    std::fprintf(stderr, "assent test kit: %s\n", plan.c_str());
  if (!unreached.empty()) std::abort();
}

Coordinator& Coordinator::Serve(std::string service, Resource& resource) {
  if (const Status status = resource.Registration(); !status.ok())
    impl_->violations.push_back(status.message());
  impl_->services.insert_or_assign(std::move(service), &resource);
  return *this;
}

Client Coordinator::client() { return Client(impl_); }
void Coordinator::LoseNext(Operation operation, Loss loss, std::string branch_id) {
  impl_->losses.push_back({operation, loss, std::move(branch_id)});
}
void Coordinator::CrashAt(CrashPoint point) { impl_->Plan(point); }
bool Coordinator::crashed() const { return impl_->crashed; }
void Coordinator::Restart() { impl_->Restart(); }
void Coordinator::Advance(std::chrono::milliseconds by) { impl_->Advance(by); }
void Coordinator::DeliverLate() { impl_->DeliverLate(); }
const std::vector<Event>& Coordinator::history() const { return impl_->history; }
const std::vector<std::string>& Coordinator::violations() const { return impl_->Said(); }

// ------------------------------------------------------------------------------------------------
// for initiators

Status Coordinator::Impl::Refusal() const {
  if (!crashed) return OkStatus();
  return Unavailable("the test's coordinator has crashed; Restart() it");
}

Coordinator::Impl::Running* Coordinator::Impl::Find(const std::string& gid) {
  const auto at = transactions_.find(gid);
  return at == transactions_.end() ? nullptr : &at->second;
}

Coordinator::Impl::Running& Coordinator::Impl::Admit(const Transaction& transaction, bool open) {
  Running& running = transactions_[transaction.gid()];
  running.spec = transaction;
  running.open = open;
  const Milliseconds deadline = transaction.deadline().count() > 0
                                    ? transaction.deadline()
                                    : Milliseconds(limits::kDefaultDeadlineMs);
  running.deadline = now_ + deadline;
  for (const Branch& branch : transaction.branches()) {
    Part part;
    part.spec = branch;
    part.id =
        branch.options.id.empty() ? std::to_string(running.parts.size() + 1) : branch.options.id;
    running.parts.push_back(std::move(part));
  }
  return running;
}

Report Coordinator::Impl::ReportOf(const Running& running) const {
  Report report;
  report.gid = running.spec.gid();
  report.state = running.state;
  report.abort_reason = running.abort_reason;
  switch (running.decision) {
    case Decision::kNone: break;
    case Decision::kCommit: report.outcome = Outcome::kCommitted; break;
    case Decision::kAbort: report.outcome = Outcome::kAborted; break;
  }
  for (const Part& part : running.parts) {
    if (!part.result.empty()) report.results.emplace(part.id, part.result);
  }
  return report;
}

Result<Report> Coordinator::Impl::Submit(const SubmitParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  Running* running = Find(params.transaction.gid());
  if (running != nullptr && !SameContent(running->spec, params.transaction)) {
    return AlreadyExists("transaction " + params.transaction.gid() + " exists with other content");
  }
  if (running == nullptr) {
    running = &Admit(params.transaction, /*open=*/false);
    Drive(*running);
  }
  if (crashed)
    return UnknownOutcome("the test's coordinator crashed under transaction " +
                          params.transaction.gid());
  return ReportOf(*running);
}

Status Coordinator::Impl::Begin(const BeginParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  if (Find(params.transaction.gid()) == nullptr) Admit(params.transaction, /*open=*/true);
  return OkStatus();
}

Result<BranchResult> Coordinator::Impl::Execute(const ExecuteParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  Running* running = Find(params.gid);
  if (running == nullptr) return NotFound("no transaction " + params.gid);
  if (running->decision != Decision::kNone)
    return FailedPrecondition("the transaction is already decided");
  Part* part = nullptr;
  for (Part& known : running->parts) {
    if (known.id != params.branch.options.id) continue;
    if (!SameBranch(known.spec, params.branch))
      return AlreadyExists("branch " + known.id + " exists with other content");
    part = &known;
  }
  if (part == nullptr) {
    running->parts.push_back(
        {params.branch, params.branch.options.id, BranchState::kWaiting, {}, {}, 0});
    part = &running->parts.back();
  }
  const std::string id = part->id;
  if (part->state == BranchState::kWaiting || part->state == BranchState::kExecuting)
    RunForward(*running, *part);
  if (crashed)
    return UnknownOutcome("the test's coordinator crashed under branch " + id + " of " +
                          params.gid);
  if (running->decision == Decision::kAbort && part->state != BranchState::kRefused) {
    return FailedPrecondition("the transaction was aborted: " + running->abort_reason);
  }
  if (part->state == BranchState::kExecuting) {
    return UnknownOutcome("branch " + id + " of " + params.gid +
                          " is not executed yet: " + part->last_error);
  }
  BranchResult result;
  result.branch_id = id;
  result.read_only = part->state == BranchState::kReadOnly;
  result.refused = part->state == BranchState::kRefused;
  result.result = part->result;
  result.reason = result.refused ? running->abort_reason : "";
  return result;
}

Result<Report> Coordinator::Impl::Finish(const FinishParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  Running* running = Find(params.gid);
  if (running == nullptr) return NotFound("no transaction " + params.gid);
  const Decision wanted = params.commit ? Decision::kCommit : Decision::kAbort;
  if (running->decision != Decision::kNone && running->decision != wanted) {
    return FailedPrecondition("the transaction is already decided: " + running->abort_reason);
  }
  if (running->decision == Decision::kNone) {
    running->open = false;
    if (params.commit) {
      Drive(*running);  // finds nothing left to execute, or executes what was left
    } else {
      Decide(*running, Decision::kAbort,
             params.reason.empty() ? "rolled back by its initiator" : params.reason);
      Drive(*running);
    }
  }
  if (crashed)
    return UnknownOutcome("the test's coordinator crashed under transaction " + params.gid);
  return ReportOf(*running);
}

Result<Report> Coordinator::Impl::Wait(const WaitParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  const Running* running = Find(params.gid);
  if (running == nullptr) return NotFound("no transaction " + params.gid);
  const bool enough = params.wait == WaitFor::kAccepted ||
                      running->state == TransactionState::kFinished ||
                      (params.wait != WaitFor::kCompleted && running->decision != Decision::kNone);
  if (!enough)
    return Status(Code::kDeadlineExceeded,
                  "transaction " + params.gid + " is not there yet; Advance()?");
  return ReportOf(*running);
}

Result<TransactionInfo> Coordinator::Impl::Get(const GetParams& params) {
  if (Status s = Refusal(); !s.ok()) return s;
  const Running* running = Find(params.gid);
  if (running == nullptr) return NotFound("no transaction " + params.gid);
  const Report report = ReportOf(*running);
  TransactionInfo info;
  info.gid = report.gid;
  info.state = report.state;
  info.outcome = report.outcome;
  info.open = running->open;
  info.labels = running->spec.labels();
  info.abort_reason = report.abort_reason;
  for (const Part& part : running->parts) {
    const Branch& spec = part.spec;
    info.branches.push_back({part.id, spec.protocol, spec.service, spec.action, part.state,
                             part.result, part.attempts, part.last_error, false});
  }
  return info;
}

// ------------------------------------------------------------------------------------------------
// for tests

void Coordinator::Impl::Restart() {
  crashed = false;
  ++epoch_;
  for (auto& [gid, running] : transactions_) {
    if (running.decision == Decision::kNone) {
      running.open = false;
      running.recovered = true;
      Decide(running, Decision::kAbort, "the coordinator restarted before it was decided");
    }
    Drive(running);
  }
  AnswerQuestions();
}

void Coordinator::Impl::Advance(Milliseconds by) {
  ASSENT_CHECK(by.count() >= 0);
  now_ += by;
  if (crashed) return;
  for (auto& [gid, running] : transactions_) Drive(running);
  AnswerQuestions();
}

void Coordinator::Impl::Plan(CrashPoint point) {
  if (crash_at)
    violations.push_back(Unreached().front() + " before CrashAt(" + NameOf(point) +
                         ") replaced it");
  crash_at = point;
}

std::vector<std::string> Coordinator::Impl::Unreached() const {
  std::vector<std::string> sentences;
  if (crash_at)
    sentences.push_back(std::string("CrashAt(") + NameOf(*crash_at) + ") was never reached");
  for (const PlannedLoss& loss : losses) {
    sentences.push_back(
        std::string("LoseNext(") + OperationName(loss.operation) + ", " + NameOf(loss.loss) +
        ") was never reached" +
        (loss.branch_id.empty() ? "" : ": no such message of branch " + loss.branch_id));
  }
  return sentences;
}

const std::vector<std::string>& Coordinator::Impl::Said() {
  said_ = violations;
  for (std::string& sentence : Unreached()) {
    unreached_said = true;
    said_.push_back(std::move(sentence));
  }
  return said_;
}

void Coordinator::Impl::DeliverLate() {
  for (const Call& call : std::exchange(late_, {})) Execute(call, /*heard=*/false);
}

// As a participant asks on each connection: what became of what I hold?
void Coordinator::Impl::AnswerQuestions() {
  for (const auto& [service, resource] : services) {
    for (const HeldBranch& held : resource->Questions(limits::kMaxFrameMessagesCount)) {
      if (held.coordinator_id != kCoordinatorId) {
        resource->Answer(held, Verdict::kCannotTell, false);
        continue;
      }
      const Running* running = Find(held.gid);
      if (running == nullptr) {
        resource->Answer(held, Verdict::kAbort, true);  // never heard of: presumed abort
        continue;
      }
      const bool finished = running->state == TransactionState::kFinished && late_.empty();
      switch (running->decision) {
        case Decision::kNone: resource->Answer(held, Verdict::kUndecided, false); break;
        case Decision::kCommit: resource->Answer(held, Verdict::kCommit, finished); break;
        case Decision::kAbort: resource->Answer(held, Verdict::kAbort, finished); break;
      }
    }
  }
}

}  // namespace assent::testkit
