#pragma once

// Who is in the cluster, as log/postgresql asks and changes it, over the simulated server. Runs on
// a fiber; each call takes simulated time.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster/member_store.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "tools/assent-sim/store_client.h"

namespace assent::sim {

class SharedMembers final : public cluster::MemberStore {
 public:
  // `clock`: so far from others' is that of this machine.
  SharedMembers(Sim& sim, SharedStore& store, StoreClient& client, Time clock)
      : sim_(sim), store_(store), client_(client), clock_(clock) {}

  Result<cluster::Joined> Join(const cluster::MemberCard& card) override;
  Status Beat() override;
  Result<cluster::View> Look() override;
  Result<Fenced> Fence(std::uint64_t victim, std::uint64_t seen_beat,
                       const std::vector<cluster::Heir>& heirs,
                       const cluster::Asked& asked) override;
  Status Claim(const std::vector<cluster::Heir>& heirs) override;
  Status Want(std::uint64_t owner, const std::vector<Slot>& slots, std::uint64_t to) override;
  Status SetDraining(std::uint64_t epoch, bool draining, const cluster::Asked& asked) override;
  Status SetPin(const std::vector<Slot>& slots, const std::string& node,
                const cluster::Asked& asked) override;
  Status Leave() override;
  // Of this member, once it has joined; its lanes give serials from there.
  const std::shared_ptr<log::SlotTable>& slots() const { return slots_; }

 private:
  std::int64_t SerialNow() const;
  // One transaction that changes slots and nothing else.
  Status ChangeSlots(const char* name, Change change);

  Sim& sim_;
  SharedStore& store_;
  StoreClient& client_;
  const Time clock_;
  std::uint64_t epoch_ = 0;
  std::int64_t serial_limit_ = 0;  // durable with a beat
  std::shared_ptr<log::SlotTable> slots_;
};

}  // namespace assent::sim
