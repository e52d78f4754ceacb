#include <utility>

#include <assent/slot.h>

#include "coordinator/log/postgresql/member_store.h"
#include "coordinator/log/postgresql/row_store.h"
#include "tools/assent-bench/child.h"
#include "tools/assent-bench/floor_store.h"

namespace assent::bench {
namespace {

using log::Entry;
using log::EntryKind;

constexpr std::int64_t kFinishedUnixMs = 1'700'000'000'000;

void Check(const Status& status, const char* what) {
  if (!status.ok()) Die(std::string("floor: ") + what + ": " + status.message());
}

class PostgresFloor final : public FloorStore {
 public:
  explicit PostgresFloor(const std::string& url) {
    log::ConnectionOptions connection;
    connection.url = url;
    log::PostgresMemberOptions member;
    member.connection = connection;
    member.serial_now_ms = [] { return log::SerialMs(kFinishedUnixMs); };
    member_ = std::make_unique<log::PostgresMemberStore>(std::move(member));
    const Result<cluster::Joined> joined = member_->Join({.node = "floor", .address = "floor:1"});
    Check(joined.status(), "join");
    slots_count_ = joined->slots_count;
    log::PostgresStoreOptions store;
    store.lane.connection = connection;
    store.lane.stop = &stop_;
    store.slots = std::make_shared<log::SlotTable>(slots_count_);
    store.slots->SetLimit(member_->serial_limit_ms());
    std::vector<assent::Slot> slots;
    for (const cluster::Grant& grant : joined->slots) {
      store.slots->Assign({.slot = grant.slot, .slot_epoch = grant.slot_epoch}, 0);
      slots.push_back(grant.slot);
    }
    const log::Joined as_log = {
        .log_id = joined->log_id, .epoch = joined->epoch, .slots_count = slots_count_};
    store.join = [as_log] { return Result<log::Joined>(as_log); };
    store_ = std::make_unique<log::PostgresRowStore>(std::move(store));
    Check(store_->Join().status(), "open the lane");
    std::vector<log::DamagedSlot> damaged;
    const auto visit = [](const log::LiveRow&) { return OkStatus(); };
    Check(store_->Load(slots, visit, damaged), "load");
  }

  void Begin() override { batch_.clear(); }
  void InsertLive(std::uint64_t serial, const std::string& gid, const std::string& spec,
                  const std::string& state) override {
    Add({.kind = EntryKind::kBegin,
         .serial = serial,
         .version = 1,
         .gid = gid,
         .spec = spec,
         .state = state});
  }
  void UpdateLive(std::uint64_t serial, const std::string& gid, const std::string& state) override {
    Add({.kind = EntryKind::kUpdate,
         .serial = serial,
         .version = 2,
         .gid = gid,
         .spec = "",
         .state = state});
  }
  void Finish(std::uint64_t serial, const std::string& gid, const std::string& spec,
              const std::string& state) override {
    Add({.kind = EntryKind::kEnd,
         .serial = serial,
         .version = 3,
         .gid = gid,
         .spec = spec,
         .state = state,
         .outcome = 1,
         .finished_unix_ms = kFinishedUnixMs});
  }
  void Commit() override {
    log::GroupOutcome outcome;
    Check(store_->Write({&batch_}, unwritten_, outcome), "write");
    Check(store_->Commit(), "commit");
  }

 private:
  void Add(Entry entry) {
    entry.slot = SlotOf(entry.gid, slots_count_);
    batch_.push_back(std::move(entry));
  }

  log::StopFlag stop_;
  std::unique_ptr<log::PostgresMemberStore> member_;
  std::unique_ptr<log::PostgresRowStore> store_;
  assent::Slot slots_count_ = 1;
  std::vector<Entry> batch_;
  const log::Unwritten unwritten_;
};

}  // namespace

std::unique_ptr<FloorStore> OpenPostgresFloor(const std::string& log) {
  return std::make_unique<PostgresFloor>(log);
}

}  // namespace assent::bench
