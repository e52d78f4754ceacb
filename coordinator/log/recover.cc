#include <future>
#include <utility>

#include "coordinator/log/log.h"

namespace assent::log {

Result<Recovered> Recover(Log& log, SlotEvents& events, const Log::LiveVisitor& visit) {
  Result<Joined> joined = log.Join(events);
  if (!joined.ok()) return joined.status();
  Recovered recovered;
  static_cast<Joined&>(recovered) = *std::move(joined);
  std::vector<Slot> slots;
  for (const SlotGrant& grant : recovered.slots) slots.push_back(grant.slot);
  std::promise<Loaded> promise;
  const auto counted = [&](const LiveRow& row) {
    ++recovered.live_rows;
    return visit(row);
  };
  log.Load(std::move(slots), counted, [&](Loaded loaded) { promise.set_value(std::move(loaded)); });
  const Loaded loaded = promise.get_future().get();
  if (!loaded.status.ok()) return loaded.status;
  if (!loaded.damaged.empty()) return DataLoss(loaded.damaged.front().why);
  recovered.finished_rows = log.GetStats().finished_rows;
  return recovered;
}

Result<Recovered> Recover(Log& log, const Log::LiveVisitor& visit) {
  class Nothing final : public SlotEvents {
    void OnAssigned(const std::vector<SlotGrant>&) override {}
    void OnWanted(const std::vector<Slot>&) override {}
    void OnFenced(const Status&) override {}
  };
  static Nothing nothing;
  return Recover(log, nothing, visit);
}

}  // namespace assent::log
