// Who takes part, and how it stands: what this coordinator knows, and with several coordinators
// what all of them know together.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/service/convert.h"
#include "coordinator/service/service.h"

namespace assent::service {
namespace {

using Instance = v1::ParticipantInfo::Instance;

void Join(const v1::ParticipantInfo::Breaker& from, v1::ParticipantInfo::Breaker& to) {
  const std::uint64_t opened = to.opened() + from.opened();
  if (to.state().empty() || to.state() == "closed") to = from;
  to.set_opened(opened);
}

// One more coordinator to which an instance is connected.
void Join(const Instance& from, Instance& to) {
  Join(from.breaker(), *to.mutable_breaker());
  to.set_limit(std::max(to.limit(), from.limit()));
  to.set_latency_us(std::max(to.latency_us(), from.latency_us()));
  to.set_coordinators(to.coordinators() + 1);
  to.set_in_flight(to.in_flight() + from.in_flight());
  const bool earlier =
      to.connected_unix_ms() == 0 ||
      (from.connected_unix_ms() != 0 && from.connected_unix_ms() < to.connected_unix_ms());
  if (earlier) to.set_connected_unix_ms(from.connected_unix_ms());
}

std::string KeyOf(const Instance& instance) {
  return instance.instance() + '\n' + instance.transport();
}

// An instance is known by its name; those that are dialled have their address for one.
void Join(v1::ParticipantInfo&& from, v1::ParticipantInfo& to) {
  to.set_queued(to.queued() + from.queued());
  to.set_waiting(to.waiting() + from.waiting());
  if (to.policy().empty()) to.set_policy(from.policy());
  if (from.has_breaker()) Join(from.breaker(), *to.mutable_breaker());
  to.set_instances_left_out(std::max(to.instances_left_out(), from.instances_left_out()));
  const std::set<std::string> known(to.actions().begin(), to.actions().end());
  for (const std::string& action : from.actions()) {
    if (!known.contains(action)) to.add_actions(action);
  }
  std::map<std::string, Instance*> by_name;
  for (Instance& instance : *to.mutable_instances()) by_name.emplace(KeyOf(instance), &instance);
  for (Instance& instance : *from.mutable_instances()) {
    const auto there = by_name.find(KeyOf(instance));
    if (there != by_name.end()) {
      Join(instance, *there->second);
      continue;
    }
    Instance& added = *to.add_instances();
    added.Swap(&instance);
    added.set_coordinators(1);
  }
}

// Of a service that has more instances than have room, some are left out.
void Fit(v1::ParticipantInfo& service) {
  std::size_t bytes = service.ByteSizeLong();
  while (bytes > limits::kMaxPageBytes && service.instances_size() > 0) {
    bytes -= service.instances(service.instances_size() - 1).ByteSizeLong() + 8;
    service.mutable_instances()->RemoveLast();
    service.set_instances_left_out(service.instances_left_out() + 1);
  }
}

// By name, up to where the first of the pages ends: there are more of it.
void MergeParticipants(std::vector<MemberAnswer<v1::ListParticipantsReply>> answers,
                       v1::ListParticipantsReply& out) {
  std::map<std::string, v1::ParticipantInfo> services;
  // By service and instance: who has a way to it.
  std::map<std::string, std::map<std::string, std::set<std::string>>> nodes;
  std::string last;  // "": to the end
  for (auto& answer : answers) {
    if (!answer.status.ok()) {
      FillSilent(answer.member, answer.status, *out.add_silent());
      continue;
    }
    const std::string& token = answer.reply.next_page_token();
    if (!token.empty() && (last.empty() || token < last)) last = token;
    for (v1::ParticipantInfo& service : *answer.reply.mutable_participants()) {
      v1::ParticipantInfo& to = services[service.service()];
      to.set_service(service.service());
      for (const Instance& instance : service.instances())
        nodes[service.service()][KeyOf(instance)].insert(answer.member.node);
      Join(std::move(service), to);
    }
  }
  // A page that ended before the service says nothing of it.
  for (const auto& answer : answers) {
    if (!answer.status.ok() || answer.member.node.empty()) continue;
    const std::string& token = answer.reply.next_page_token();
    for (auto& [name, service] : services) {
      if (!token.empty() && name > token) break;
      for (Instance& instance : *service.mutable_instances()) {
        if (!nodes[name][KeyOf(instance)].contains(answer.member.node))
          instance.add_not_at(answer.member.node);
      }
    }
  }
  std::size_t bytes = 0;
  for (auto& [name, service] : services) {
    Fit(service);
    bytes += service.ByteSizeLong() + 8;
    const bool more = bytes > limits::kMaxPageBytes || (!last.empty() && name > last);
    if (more && out.participants_size() > 0) {
      return out.set_next_page_token(out.participants(out.participants_size() - 1).service());
    }
    out.add_participants()->Swap(&service);
  }
  out.set_next_page_token(last);
}

void Add(const v1::ServerInfo& from, v1::ServerInfo& to) {
  to.set_active(to.active() + from.active());
  to.set_committing(to.committing() + from.committing());
  to.set_aborting(to.aborting() + from.aborting());
  to.set_needs_operator(to.needs_operator() + from.needs_operator());
  to.set_retained(std::max(to.retained(), from.retained()));
  to.set_begun(to.begun() + from.begun());
  to.set_committed(to.committed() + from.committed());
  to.set_aborted(to.aborted() + from.aborted());
  to.set_log_records(to.log_records() + from.log_records());
  to.set_log_commits(to.log_commits() + from.log_commits());
  to.set_set_aside(to.set_aside() + from.set_aside());
  to.mutable_slots_set_aside()->MergeFrom(from.slots_set_aside());
}

// The last one is the one that answers.
void SumUp(std::vector<MemberAnswer<v1::ServerInfo>> answers, v1::ServerInfo& out) {
  out = answers.back().reply;
  for (std::size_t i = 0; i + 1 < answers.size(); ++i) {
    if (answers[i].status.ok()) Add(answers[i].reply, out);
  }
  std::sort(answers.begin(), answers.end(),
            [](const auto& a, const auto& b) { return a.member.epoch < b.member.epoch; });
  for (auto& answer : answers) {
    v1::MemberInfo& member = *out.add_members();
    member.set_epoch(answer.member.epoch);
    member.set_node(answer.member.node);
    member.set_address(answer.member.address);
    if (answer.status.ok()) {
      member.mutable_info()->Swap(&answer.reply);
    } else {
      member.set_silent(answer.status.message());
    }
  }
}

}  // namespace

void Service::FillParticipants(const v1::ListParticipantsRequest& request,
                               v1::ListParticipantsReply& out) const {
  std::vector<transport::ServiceInfo> services = options_.participants(request.service_prefix());
  std::map<std::string, std::uint64_t> waiting;
  for (engine::WaitingFor& one :
       engine_.Waiting(request.service_prefix(), options_.max_absent_services_count))
    waiting.emplace(std::move(one.service), one.transactions);
  std::map<std::string, std::uint64_t> absent = waiting;
  for (const transport::ServiceInfo& info : services) absent.erase(info.service);
  for (const auto& [service, transactions] : absent) services.push_back({service, {}, {}, 0});
  FillPage(std::move(services), request.page_token(), out);
  for (v1::ParticipantInfo& participant : *out.mutable_participants()) {
    const auto found = waiting.find(participant.service());
    if (found != waiting.end()) participant.set_waiting(found->second);
  }
}

void Service::Take(const Caller& caller, v1::ListParticipantsRequest request,
                   const AskerPtr<v1::ListParticipantsReply>& asker) {
  if (router_.alone() || caller.forwarded) {
    return asker->Answer(OkStatus(),
                         [&](v1::ListParticipantsReply& out) { FillParticipants(request, out); });
  }
  AskOthers<v1::ListParticipantsReply>(
      router_, options_.peers, "TransactionService/ListParticipants",
      [request](const cluster::Member&) { return request.SerializeAsString(); },
      [this, asker, request](std::vector<MemberAnswer<v1::ListParticipantsReply>> answers) {
        MemberAnswer<v1::ListParticipantsReply> own;
        own.member = OwnMember();
        FillParticipants(request, own.reply);
        answers.push_back(std::move(own));
        asker->Answer(OkStatus(), [&](v1::ListParticipantsReply& out) {
          MergeParticipants(std::move(answers), out);
        });
      });
}

void Service::FillInfo(v1::ServerInfo& out) const {
  const engine::ShardStats stats = engine_.Stats();
  const log::Stats log = engine_.LogStats();
  out.set_version(options_.version);
  out.set_coordinator_id(engine_.recovered().log_id);
  out.set_epoch(engine_.recovered().epoch);
  out.set_started_unix_ms(options_.started_unix_ms);
  out.set_data_file(options_.data_file);
  out.set_trace_url(options_.trace_url);
  out.set_active(stats.active);
  out.set_committing(stats.committing);
  out.set_aborting(stats.aborting);
  out.set_needs_operator(stats.needs_operator);
  out.set_retained(log.finished_rows);
  out.set_begun(stats.begun);
  out.set_committed(stats.committed);
  out.set_aborted(stats.aborted);
  out.set_refusing(engine_.refusing());
  out.set_log_records(log.records);
  out.set_log_commits(log.commits);
  out.set_set_aside(stats.set_aside);
  for (const Slot slot : engine_.SlotsSetAside()) out.add_slots_set_aside(slot);
}

void Service::Take(const Caller& caller, v1::GetServerInfoRequest,
                   const AskerPtr<v1::ServerInfo>& asker) {
  if (router_.alone() || caller.forwarded)
    return asker->Answer(OkStatus(), [&](v1::ServerInfo& out) { FillInfo(out); });
  AskOthers<v1::ServerInfo>(
      router_, options_.peers, "TransactionService/GetServerInfo",
      [](const cluster::Member&) { return v1::GetServerInfoRequest().SerializeAsString(); },
      [this, asker](std::vector<MemberAnswer<v1::ServerInfo>> answers) {
        MemberAnswer<v1::ServerInfo> own;
        own.member = OwnMember();
        FillInfo(own.reply);
        answers.push_back(std::move(own));
        asker->Answer(OkStatus(), [&](v1::ServerInfo& out) { SumUp(std::move(answers), out); });
      });
}

}  // namespace assent::service
