// Who takes part, and how it stands: what this coordinator knows, and with several coordinators
// what all of them know together.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/service/convert.h"
#include "coordinator/service/service.h"

namespace assent::service {

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

void Service::Take(const Caller&, v1::ListParticipantsRequest request,
                   const AskerPtr<v1::ListParticipantsReply>& asker) {
  asker->Answer(OkStatus(),
                [&](v1::ListParticipantsReply& out) { FillParticipants(request, out); });
}

void Service::FillInfo(v1::ServerInfo& out) const {
  const engine::ShardStats stats = engine_.Stats();
  const log::Stats log = engine_.LogStats();
  out.set_version(options_.version);
  out.set_coordinator_id(engine_.recovered().log_id);
  out.set_epoch(engine_.recovered().epoch);
  out.set_started_unix_ms(options_.started_unix_ms);
  out.set_data_file(options_.data_file);
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
}

void Service::Take(const Caller&, v1::GetServerInfoRequest, const AskerPtr<v1::ServerInfo>& asker) {
  asker->Answer(OkStatus(), [&](v1::ServerInfo& out) { FillInfo(out); });
}

}  // namespace assent::service
