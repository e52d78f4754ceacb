#include "participant-sdk/cpp/src/call_table.h"

#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

namespace assent::internal {

// Neither part can hold a zero byte, so no two pairs share a key.
std::string CallTable::KeyOf(const Call& call) {
  std::string key;
  key.reserve(call.gid.size() + 1 + call.branch_id.size());
  key.append(call.gid).push_back('\0');
  key.append(call.branch_id);
  return key;
}

bool CallTable::Expired(const Held& held, SteadyTime now) const {
  return held.call.timeout.count() > 0 && now - held.since >= held.call.timeout;
}

bool CallTable::HeardFromOwner(std::uint32_t coordinator_id, Slot slot, std::uint64_t epoch) {
  if (epoch == 0) return true;
  std::uint64_t& highest = slot_epochs_[{coordinator_id, slot}];
  if (epoch < highest) return false;
  highest = epoch;
  return true;
}

CallTable::Admission CallTable::Admit(Call&& call, const Waiter& waiter, SteadyTime now) {
  using Kind = Admission::Kind;
  std::string key = KeyOf(call);
  const auto branch = branches_.find(key);
  if (branch != branches_.end()) {
    for (const Ticket ticket : branch->second) {
      Held& held = held_.at(static_cast<std::uint64_t>(ticket));
      if (held.operation != call.operation) continue;
      held.waiters.push_back(waiter);
      held.since = now;  // its coordinator waits anew
      return {Kind::kJoined, ticket};
    }
  }
  if (held_.size() >= max_calls_) return {};

  const Ticket ticket{++last_ticket_};
  std::deque<Ticket>& line = branches_[key];
  line.push_back(ticket);
  Held& held = held_[last_ticket_];
  held.key = std::move(key);
  held.gid = call.gid;
  held.branch_id = call.branch_id;
  held.operation = call.operation;
  held.waiters.push_back(waiter);
  held.since = now;
  held.call = std::move(call);
  return {line.size() == 1 ? Kind::kRun : Kind::kBehind, ticket};
}

CallTable::Finished CallTable::Finish(Ticket ticket) {
  const auto at = held_.find(static_cast<std::uint64_t>(ticket));
  ASSENT_CHECK(at != held_.end());
  Held held = std::move(at->second);
  held_.erase(at);

  Finished finished;
  finished.operation = held.operation;
  finished.gid = std::move(held.gid);
  finished.branch_id = std::move(held.branch_id);
  finished.waiters = std::move(held.waiters);
  const auto branch = branches_.find(held.key);
  ASSENT_CHECK(branch != branches_.end() && branch->second.front() == ticket);
  branch->second.pop_front();
  if (branch->second.empty()) {
    branches_.erase(branch);
  } else {
    finished.next = branch->second.front();
  }
  return finished;
}

}  // namespace assent::internal
