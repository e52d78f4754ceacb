#include <future>
#include <utility>

#include "coordinator/log/log.h"

namespace assent::log {

Result<Recovered> Recover(Log& log, SlotEvents& events, const Log::LiveVisitor& visit) {
  Result<Joined> joined = log.Join(events);
  if (!joined.ok()) return joined.status();
  Recovered recovered;
  static_cast<Joined&>(recovered) = *std::move(joined);
  for (const SlotGrant& grant : recovered.slots) {
    std::promise<Status> loaded;
    const auto counted = [&](const LiveRow& row) {
      ++recovered.live_rows;
      return visit(row);
    };
    log.Load(grant.slot, counted, [&](Status status) { loaded.set_value(std::move(status)); });
    if (Status status = loaded.get_future().get(); !status.ok()) return status;
  }
  recovered.finished_rows = log.GetStats().finished_rows;
  return recovered;
}

Result<Recovered> Recover(Log& log, const Log::LiveVisitor& visit) {
  class Nothing final : public SlotEvents {
    void OnAssigned(SlotGrant) override {}
    void OnWanted(Slot) override {}
    void OnFenced(const Status&) override {}
  };
  static Nothing nothing;
  return Recover(log, nothing, visit);
}

}  // namespace assent::log
