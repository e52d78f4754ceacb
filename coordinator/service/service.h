#pragma once

// Every operation for initiators and operators, once, whatever door it comes through: a request of
// assent.v1 is checked, posted to its transaction's shard, and answered. Nothing is decided here.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "assent/v1/batch.pb.h"
#include "assent/v1/cluster.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/audit/audit.h"
#include "coordinator/cluster/control.h"
#include "coordinator/engine/engine.h"
#include "coordinator/security/guard.h"
#include "coordinator/service/asker.h"
#include "coordinator/service/causes.h"
#include "coordinator/service/effects.h"
#include "coordinator/service/event_stream.h"
#include "coordinator/service/holdings.h"
#include "coordinator/service/members.h"
#include "coordinator/service/router.h"
#include "coordinator/traffic/breaker.h"
#include "coordinator/transport/transport.h"

namespace assent::service {

struct ServiceOptions {
  std::string version;
  std::string data_file;
  std::string trace_url;  // with {trace_id} in it; empty: there is none
  std::int64_t started_unix_ms = 0;
  // What callers may make us hold, through all doors together.
  HoldingLimits holdings;
  // Services of which nobody is there and for which something waits: the first so many by name are
  // listed with the participants.
  std::size_t max_absent_services_count = 1000;
  // Who can be reached, for ListParticipants.
  std::function<std::vector<transport::ServiceInfo>(const std::string& prefix)> participants;
  // Opens or closes breakers, for SetBreaker; answers how many.
  std::function<std::size_t(const std::string& service, const std::string& instance,
                            traffic::Breaker::Held held)>
      hold_breakers{};
  // With several coordinators: the way to the others, and who carries out what operators ask of
  // them. Both outlive the service.
  Peers* peers = nullptr;
  cluster::ClusterControl* control = nullptr;
  // An operator has asked for something of the cluster, here or at another coordinator: for the
  // record.
  std::function<void(const std::string& what, const core::Actor& by)> on_control{};
  // The record of what operators ask for. nullptr: none is kept. Outlives the engine's last answer.
  audit::Audit* audit = nullptr;
  // Who may what. nullptr: everybody may everything. Outlives the service.
  security::Guard* guard = nullptr;
  // How long a member may be silent; for people. 0: not said.
  std::chrono::milliseconds lease{0};
};

// Thread-safety: all of it, from any thread. Nothing waits.
class Service {
 public:
  Service(ServiceOptions options, engine::Engine& engine)
      : options_(std::move(options)),
        engine_(engine),
        holdings_(options_.holdings),
        event_hub_(engine.events()) {
    engine_.TellOfOthersInTheWay([this](const engine::GiveWayRequest& request) { Tell(request); });
  }

  // Initiators.
  void Take(const Caller&, v1::SubmitRequest, const AskerPtr<v1::SubmitReply>&);
  void Take(const Caller&, v1::BeginRequest, const AskerPtr<v1::BeginReply>&);
  void Take(const Caller&, v1::ExecuteBranchRequest, const AskerPtr<v1::ExecuteBranchReply>&);
  void Take(const Caller&, v1::CommitRequest, const AskerPtr<v1::SubmitReply>&);
  void Take(const Caller&, v1::RollbackRequest, const AskerPtr<v1::SubmitReply>&);
  void Take(const Caller&, v1::WaitRequest, const AskerPtr<v1::SubmitReply>&);
  // Looking. A Watch is in watch.h, what happens in event_stream.h.
  void Take(const Caller&, v1::GetRequest, const AskerPtr<v1::Transaction>&);
  void Take(const Caller&, v1::ListRequest, const AskerPtr<v1::ListReply>&);
  void Take(const Caller&, const v1::ListCausesRequest&, const AskerPtr<v1::ListCausesReply>&);
  void Take(const Caller&, v1::ListParticipantsRequest, const AskerPtr<v1::ListParticipantsReply>&);
  void Take(const Caller&, v1::GetServerInfoRequest, const AskerPtr<v1::ServerInfo>&);
  // Operators: RetryNow, Abort, Suspend, Resume, ResolveBranch; and Forget.
  template <typename Request>
  void Take(const Caller& caller, const Request& request,
            const AskerPtr<v1::OperatorReply>& asker) {
    Operate(caller, request.action(), DeedOf(request), asker);
  }
  void Take(const Caller&, const v1::ForgetRequest&, const AskerPtr<v1::OperatorReply>&);
  // One of these for all that match.
  void Take(const Caller&, const v1::BatchRequest&, const AskerPtr<v1::BatchReply>&);
  void Take(const Caller&, const v1::SetBreakerRequest&, const AskerPtr<v1::SetBreakerReply>&);
  // What they did, or wanted to.
  void Take(const Caller&, v1::ListAuditRequest, const AskerPtr<v1::ListAuditReply>&);
  // The cluster (cluster.cc). A Watch of it is in cluster.h.
  void Take(const Caller&, const v1::GetClusterRequest&, const AskerPtr<v1::ClusterView>&);
  void Take(const Caller&, const v1::DrainMemberRequest&, const AskerPtr<v1::ClusterReply>&);
  void Take(const Caller&, const v1::MoveSlotsRequest&, const AskerPtr<v1::ClusterReply>&);
  void Take(const Caller&, const v1::FenceMemberRequest&, const AskerPtr<v1::ClusterReply>&);
  void Take(const Caller&, const v1::GiveWayRequest&, const AskerPtr<v1::GiveWayReply>&);

  // What there is to see of the cluster, with each look at it; never called: this coordinator is
  // alone with its log. `self` is its epoch.
  void SetView(const cluster::ViewPtr& view, std::uint64_t self) {
    if (options_.peers != nullptr) options_.peers->SetView(view, self);
    router_.SetView(view, self);
  }
  Router& router() { return router_; }
  void FillView(v1::ClusterView& out) const;
  // Who has it, unless there is one coordinator, or it is finished.
  void FillHolder(v1::Transaction& out) const;

  engine::Engine& engine() { return engine_; }
  Holdings& holdings() { return holdings_; }
  EventHub& event_hub() { return event_hub_; }
  // nullptr: nobody is asked who he is.
  security::Guard* guard() const { return options_.guard; }
  // What a caller was let in for, and may not: for the record.
  void NoteRefused(const Caller& caller, std::string what, const Status& why) const;

 private:
  template <typename Reply>
  void Begin(const Caller& caller, v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
             const AskerPtr<Reply>& asker);
  void Close(const Caller& caller, const std::string& gid, bool commit, std::string reason,
             v1::WaitFor wait_for, const AskerPtr<v1::SubmitReply>& asker);
  void Operate(const Caller& caller, const v1::OperatorAction& action, Deed deed,
               const AskerPtr<v1::OperatorReply>& asker);
  void Forget(const std::string& gid, bool dry_run, const AskerPtr<v1::OperatorReply>& asker);
  // This coordinator's own.
  void FillInfo(v1::ServerInfo& out) const;
  void FillParticipants(const v1::ListParticipantsRequest& request,
                        v1::ListParticipantsReply& out) const;
  // Whoever has the transaction that is in an older one's way.
  void Tell(const engine::GiveWayRequest& request) const;
  cluster::Member OwnMember() const;
  cluster::ClusterControl::Done AnswerWithView(const AskerPtr<v1::ClusterReply>& asker);
  // Of what an operator asks for: carried out, and told to all.
  template <typename Request>
  void Control(const Caller& caller, Request request, const AskerPtr<v1::ClusterReply>& asker,
               const std::function<void(const Request&, const cluster::Asked&,
                                        cluster::ClusterControl::Done)>& act);
  template <typename Request>
  void TellAll(const Request& request, const core::Actor& by);
  template <typename Request>
  void Note(const Request& request, const core::Actor& by);
  bool MayControl(const Caller& caller, const v1::OperatorAction& action,
                  const AskerPtr<v1::ClusterReply>& asker);
  template <typename Request, typename Reply>
  void Post(const std::string& gid, Request request, Asker<Reply>& asker);

  const ServiceOptions options_;
  engine::Engine& engine_;
  Holdings holdings_;
  Router router_;
  CauseWalks causes_;
  EventHub event_hub_;
  std::atomic<std::size_t> batches_{0};  // that callers wait for
};

}  // namespace assent::service
