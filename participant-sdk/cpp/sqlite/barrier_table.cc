#include "participant-sdk/cpp/sqlite/barrier_table.h"

#include <string>

namespace assent::sqlite::internal {

Result<barrier::Row> BarrierTable::Find(std::string_view gid, std::string_view branch_id) {
  Statement read(
      connection_,
      "SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier "
      "WHERE gid = ?1 AND branch_id = ?2",
      gid, branch_id);
  barrier::Row row;
  if (!read.Step()) {
    if (!read.status().ok()) return read.status();
    return row;
  }
  const std::int64_t state = read.Int(0);
  const std::int64_t kind = read.Int(3);
  constexpr auto kLast = static_cast<std::int64_t>(barrier::State::kTombstone);
  if (state <= 0 || state > kLast || kind < 1 || kind > 4) {
    return DataLoss("assent_barrier row (" + std::string(gid) + ", " + std::string(branch_id) +
                    ") is damaged");
  }
  row.state = static_cast<barrier::State>(state);
  row.protocol = static_cast<Protocol>(read.Int(1));
  row.action = read.Text(2);
  row.first.kind = static_cast<Reply::Kind>(kind);
  row.first.result = read.Text(4);
  row.first.reason = read.Text(5);
  row.second_result = read.Text(6);
  return row;
}

Status BarrierTable::Put(const Call& call, barrier::State state, const Reply& first,
                         std::int64_t now_ms) {
  Statement write(connection_,
                  "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, "
                  "result, reason, second_result, coordinator_id, began_epoch, touched_ms) "
                  "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                  call.gid, call.branch_id, static_cast<int>(call.protocol), call.action,
                  static_cast<int>(state), static_cast<int>(first.kind), Blob{first.result},
                  first.reason, Blob{{}}, call.coordinator_id, call.began_epoch, now_ms);
  return write.Finish();
}

Status BarrierTable::Advance(std::string_view gid, std::string_view branch_id, barrier::State state,
                             std::string_view second_result, std::int64_t now_ms) {
  Statement write(connection_,
                  "UPDATE assent_barrier SET state = ?3, second_result = ?4, touched_ms = ?5 "
                  "WHERE gid = ?1 AND branch_id = ?2",
                  gid, branch_id, static_cast<int>(state), Blob{second_result}, now_ms);
  return write.Finish();
}

}  // namespace assent::sqlite::internal
