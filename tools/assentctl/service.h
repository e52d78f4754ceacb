#pragma once

// What the commands need of a coordinator: the part of assent.v1.TransactionService that an
// operator uses, and ClusterService. connection.cc implements it over gRPC, tests/ctl/fakes.h with
// a script.
//
// A failed call is a Status whose message is ready to be shown. Of what changes something (Submit,
// Operate, SetBreaker, ChangeCluster): kUnavailable says that there was no connection and nothing
// was sent, kUnknownOutcome that it may or may not have been done; no code or text that came over
// the connection is taken for the first. Of questions: kDeadlineExceeded, `timeout` ended the wait.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include <assent/status.h>

#include "assent/v1/cluster.pb.h"
#include "assent/v1/maintenance.pb.h"
#include "assent/v1/transaction.pb.h"

namespace assent::ctl {

// How long a call may take; nothing: as long as it likes.
using Timeout = std::optional<std::chrono::milliseconds>;

// The operator calls that answer with an OperatorReply.
using OperatorRequest =
    std::variant<v1::RetryNowRequest, v1::AbortRequest, v1::SuspendRequest, v1::ResumeRequest,
                 v1::ResolveBranchRequest, v1::ForgetRequest>;

// Who has which slot, changed by hand.
using ClusterRequest =
    std::variant<v1::DrainMemberRequest, v1::MoveSlotsRequest, v1::FenceMemberRequest>;

// Told each state of a watched transaction; returns whether to go on.
using OnTransaction = std::function<bool(const v1::Transaction&)>;
using OnBackup = std::function<bool(const v1::BackupPart&)>;
using OnCluster = std::function<bool(const v1::ClusterView&)>;

// What happens, of any number of coordinators at a time. Used from one thread.
class EventStreams {
 public:
  // A reply; or, without one, that the stream has ended, and why.
  struct Heard {
    std::string endpoint;
    std::optional<v1::EventsReply> reply;
    Status ended;
  };
  virtual ~EventStreams() = default;
  // A stream of this coordinator, in the place of the one that there may be.
  virtual void Open(const std::string& endpoint, const v1::EventsRequest& request) = 0;
  // Nothing more is heard of it.
  virtual void Close(const std::string& endpoint) = 0;
  // What has come first; nothing: for so long nothing has.
  virtual std::optional<Heard> Next(std::chrono::milliseconds patience) = 0;
};

using OnOperated = std::function<bool(std::size_t number, const Result<v1::OperatorReply>&)>;

// Used from one thread.
class Service {
 public:
  virtual ~Service() = default;
  virtual Result<v1::SubmitReply> Submit(const v1::SubmitRequest& request, Timeout timeout) = 0;
  virtual Result<v1::Transaction> Get(const v1::GetRequest& request, Timeout timeout) = 0;
  virtual Result<v1::ListReply> List(const v1::ListRequest& request, Timeout timeout) = 0;
  virtual Result<v1::ListCausesReply> ListCauses(const v1::ListCausesRequest& request,
                                                 Timeout timeout) = 0;
  // OK when the coordinator ended the stream (the transaction is finished) or `each` said to stop.
  virtual Status Watch(const v1::WatchRequest& request, Timeout timeout,
                       const OnTransaction& each) = 0;
  virtual Result<v1::OperatorReply> Operate(const OperatorRequest& request, Timeout timeout) = 0;
  // `count` of them, made by number as they go, many on their way at a time. `each` is told of
  // every answer, in this thread, in any order; once it returns false no more are sent, and it is
  // told of those that are on their way.
  virtual void OperateMany(std::size_t count,
                           const std::function<OperatorRequest(std::size_t)>& make, Timeout timeout,
                           const OnOperated& each) = 0;
  virtual Result<v1::ListAuditReply> ListAudit(const v1::ListAuditRequest& request,
                                               Timeout timeout) = 0;
  virtual Result<v1::ListParticipantsReply> ListParticipants(
      const v1::ListParticipantsRequest& request, Timeout timeout) = 0;
  virtual Result<v1::SetBreakerReply> SetBreaker(const v1::SetBreakerRequest&, Timeout) {
    return Status(Code::kUnimplemented, "no breakers here");
  }
  virtual Result<v1::ServerInfo> GetServerInfo(Timeout timeout) = 0;
  virtual Result<v1::ClusterView> GetCluster(const v1::GetClusterRequest& request,
                                             Timeout timeout) = 0;
  // OK when `each` said to stop.
  virtual Status WatchCluster(Timeout timeout, const OnCluster& each) = 0;
  virtual Result<v1::ClusterReply> ChangeCluster(const ClusterRequest& request,
                                                 Timeout timeout) = 0;
  // OK when all of it was given, or `each` said to stop. Of one coordinator, with a log of its own.
  virtual Status Backup(Timeout, const OnBackup&) {
    return {Code::kUnimplemented, "no backups here"};
  }
  virtual Result<v1::Settings> GetSettings(Timeout) {
    return Status(Code::kUnimplemented, "no settings here");
  }
  virtual Result<v1::MetricsPage> GetMetrics(Timeout) {
    return Status(Code::kUnimplemented, "no metrics here");
  }
  virtual Result<v1::ReadAuditReply> ReadAudit(const v1::ReadAuditRequest&, Timeout) {
    return Status(Code::kUnimplemented, "no record here");
  }
  virtual std::unique_ptr<EventStreams> FollowEvents() = 0;
  // Which of several coordinators the last call went to.
  virtual std::string Endpoint() const = 0;
};

}  // namespace assent::ctl
