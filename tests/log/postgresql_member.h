#pragma once

// A member of a cluster as the tests of the store need one: joins in plain SQL, ends whoever was
// there before, and takes all slots.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "coordinator/log/postgresql/row_store.h"
#include "coordinator/log/postgresql/schema.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "tests/support/postgresql.h"

namespace assent::log {

// The log of one database, as long as nobody counts its members.
class PostgresTestLog {
 public:
  explicit PostgresTestLog(test::PostgresServer& server, Slot slots_count = 1)
      : server_(server), database_(server.NewDatabase()), slots_count_(slots_count) {
    auto connection = Connection::Open({.url = url()});
    ASSENT_CHECK(connection.ok());
    const auto made = OpenSchema(**connection, "assent", {.slots_count = slots_count});
    ASSENT_CHECK(made.ok());
  }

  // Owns all slots from its Join on, through one lane.
  PostgresStoreOptions Member() {
    PostgresStoreOptions options;
    options.lane = {.connection = {.url = MemberUrl(), .stop = stop_.flag()}, .stop = &stop_};
    options.slots = std::make_shared<SlotTable>(slots_count_);
    options.join = [this, slots = options.slots] { return Join(*slots); };
    return options;
  }
  std::unique_ptr<PostgresRowStore> Open() { return std::make_unique<PostgresRowStore>(Member()); }

  // Members come in through this port from now on: a gate's.
  void GoThrough(std::uint16_t port) { port_ = port; }

  std::string url() const { return server_.Url(database_); }
  std::string MemberUrl() const {
    return port_ == 0 ? url()
                      : "postgresql://assent@127.0.0.1:" + std::to_string(port_) + "/" + database_;
  }
  std::string Sql(const std::string& sql) const {
    return server_.Sql(database_, "SET search_path = assent; " + sql);
  }
  test::PostgresServer& server() { return server_; }
  StopFlag& stop() { return stop_; }

 private:
  Result<Joined> Join(SlotTable& slots) {
    auto connection = Connection::Open({.url = url(), .stop = stop_.flag()});
    if (!connection.ok()) return connection.status();
    const Answer log =
        (*connection)->Run("UPDATE log SET starts = starts + 1 RETURNING starts, log_id");
    if (!log.ok()) return log.status("join");
    Joined joined;
    joined.log_id = static_cast<std::uint32_t>(log.rows.Int(0, 1));
    joined.epoch = NextEpoch(FirstEpochOf(log.rows.Unsigned(0, 0) - 1), std::random_device()());
    joined.slots_count = slots_count_;
    const std::string me = std::to_string(joined.epoch);
    const Answer taken =
        (*connection)
            ->Run("UPDATE member SET ended = true, ended_by = " + me +
                  " WHERE NOT ended; UPDATE lane SET fenced = true WHERE NOT fenced;"
                  " INSERT INTO member VALUES (" +
                  me +
                  ", 1, 'test', '', '', 0, 0, false, false, null, null);"
                  " INSERT INTO lane VALUES (" +
                  me +
                  ", 0, 0, false, null);"
                  " UPDATE slot SET owner = " +
                  me +
                  ", slot_epoch = slot_epoch + 1, wanted = 0"
                  " RETURNING id, slot_epoch");
    if (!taken.ok()) return taken.status("join");
    slots.SetLimit(INT64_MAX >> kSerialMsShift);
    for (int row = 0; row < taken.rows.size(); ++row) {
      joined.slots.push_back({.slot = static_cast<Slot>(taken.rows.Int(row, 0)),
                              .slot_epoch = taken.rows.Unsigned(row, 1)});
      slots.Assign(joined.slots.back(), 0);
    }
    const Answer epochs = (*connection)->Run("SELECT epoch FROM member ORDER BY epoch");
    std::vector<std::uint64_t> list;
    for (int row = 0; row < epochs.rows.size(); ++row) list.push_back(epochs.rows.Unsigned(row, 0));
    joined.epochs = std::make_shared<const std::vector<std::uint64_t>>(std::move(list));
    return joined;
  }

  test::PostgresServer& server_;
  const std::string database_;
  const Slot slots_count_;
  std::uint16_t port_ = 0;
  StopFlag stop_;
};

}  // namespace assent::log
