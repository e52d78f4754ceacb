#include "coordinator/log/postgresql/member_rows.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

#include "coordinator/log/postgresql/member_store.h"
#include "coordinator/log/postgresql/slot_table.h"

namespace assent::log {

// One statement, for one snapshot.
const char* const kLookSql =
    "SELECT 0 AS kind, 0::bigint AS a, starts AS b, generation AS c, slots::bigint AS d,"
    " 0::bigint AS e, '' AS f, '' AS g, '' AS h, '' AS i, '' AS j, '' AS k FROM log WHERE one = 1"
    " UNION ALL SELECT 1, m.epoch, beat, 0, CASE WHEN draining THEN 1 ELSE 0 END,"
    " coalesce(d.unix_ms, 0), node, address, version, '', coalesce(d.who, ''),"
    " coalesce(d.reason, '') FROM member m LEFT JOIN asked d ON d.epoch = m.epoch"
    " AND d.what = 'drain' WHERE NOT ended"
    " UNION ALL SELECT 2, id, owner, slot_epoch, wanted, serial_floor_ms, '', '', '', '', '', ''"
    " FROM slot"
    " UNION ALL SELECT 3, m.epoch, coalesce(m.ended_by, 0), m.serial_limit_ms, 0,"
    " coalesce(f.unix_ms, 0), m.node, m.address, m.version,"
    " coalesce((SELECT o.node FROM member o WHERE o.epoch = m.ended_by), ''),"
    " coalesce(f.who, ''), coalesce(f.reason, '') FROM member m LEFT JOIN asked f"
    " ON f.epoch = m.epoch AND f.what = 'fence' WHERE m.ended AND m.epoch IN"
    " (SELECT epoch FROM member ORDER BY epoch DESC LIMIT 64)"
    " UNION ALL SELECT 4, min(slot), 0, 0, 0, unix_ms, node, string_agg(slot::text, ','), '', '',"
    " who, reason FROM pin GROUP BY node, who, reason, unix_ms"
    " ORDER BY kind, a";

namespace {

constexpr std::int64_t kMaxSerialMs = (std::int64_t{1} << 41) - 1;

cluster::Asked AskedOf(const Rows& rows, int row) {
  return {.who = rows.Text(row, 10), .reason = rows.Text(row, 11), .unix_ms = rows.Int(row, 5)};
}

// Of one moment, by one person. A slot that the log has not is nobody's.
void NotePin(const Rows& rows, int row, cluster::View& view) {
  cluster::Pin pin{.node = rows.Text(row, 6), .by = AskedOf(rows, row)};
  std::istringstream list(rows.Text(row, 7));
  for (std::string number; std::getline(list, number, ',');) {
    const std::size_t slot = std::strtoul(number.c_str(), nullptr, 10);
    if (slot < view.slots.size()) pin.slots.push_back(static_cast<Slot>(slot));
  }
  std::sort(pin.slots.begin(), pin.slots.end());
  view.pins.push_back(std::move(pin));
}

// Whoever is back under the name, or has been there since, is the one to speak of.
void NoteDeparted(const Rows& rows, int row, cluster::View& view) {
  const std::string node = rows.Text(row, 6);
  const auto same = [&node](const auto& other) { return other.node == node; };
  if (std::any_of(view.members.begin(), view.members.end(), same)) return;
  std::erase_if(view.departed, same);
  const std::uint64_t epoch = rows.Unsigned(row, 1);
  const std::int64_t limit = rows.Int(row, 3);
  const cluster::Asked fence = AskedOf(rows, row);
  const bool in_order = rows.Unsigned(row, 2) == epoch && !fence;
  view.departed.push_back({.epoch = epoch,
                           .node = node,
                           .address = rows.Text(row, 7),
                           .version = rows.Text(row, 8),
                           .in_order = in_order,
                           .ended_by = in_order ? "" : rows.Text(row, 9),
                           .fence = fence,
                           .last_beat_unix_ms = UnixMs(std::clamp(limit, {}, kMaxSerialMs) -
                                                       PostgresMemberStore::kSerialsAheadMs)});
}

}  // namespace

Result<cluster::View> ReadView(const Rows& rows) {
  cluster::View view;
  std::uint64_t starts = 0;
  std::uint64_t moves = 0;
  std::int64_t slots_count = 0;
  for (int row = 0; row < rows.size(); ++row) {
    if (rows.Int(row, 0) == 0) {
      starts = rows.Unsigned(row, 2);
      view.generation = rows.Unsigned(row, 3);
      slots_count = rows.Int(row, 4);
    } else if (rows.Int(row, 0) == 1) {
      view.members.push_back({.epoch = rows.Unsigned(row, 1),
                              .node = rows.Text(row, 6),
                              .address = rows.Text(row, 7),
                              .version = rows.Text(row, 8),
                              .beat = rows.Unsigned(row, 2),
                              .draining = rows.Int(row, 4) != 0,
                              .drain = AskedOf(rows, row)});
    } else if (rows.Int(row, 0) == 3) {
      NoteDeparted(rows, row, view);
    } else if (rows.Int(row, 0) == 4) {
      NotePin(rows, row, view);
    } else if (rows.Unsigned(row, 1) == view.slots.size()) {
      view.slots.push_back({.owner = rows.Unsigned(row, 2),
                            .slot_epoch = rows.Unsigned(row, 3),
                            .wanted = rows.Unsigned(row, 4),
                            .serial_floor_ms = rows.Int(row, 5)});
      moves += view.slots.back().slot_epoch;
    }
  }
  if (slots_count <= 0) return DataLoss("table log has no row");
  if (static_cast<std::int64_t>(view.slots.size()) != slots_count) {
    return DataLoss("table slot has no row for slot " + std::to_string(view.slots.size()) +
                    ", and the log has " + std::to_string(slots_count));
  }
  // Those who joined, those who ended, and how often slots changed hands.
  view.version = starts + (starts - view.members.size()) + moves;
  return view;
}

Result<std::vector<cluster::Grant>> ReadGrants(const Rows& rows, Slot slots_count) {
  std::vector<cluster::Grant> grants;
  for (int row = 0; row < rows.size(); ++row) {
    const std::int64_t slot = rows.Int(row, 0);
    if (slot < 0 || slot >= slots_count) {
      return DataLoss("table slot has slot " + std::to_string(slot) + ", and the log has " +
                      std::to_string(slots_count));
    }
    grants.push_back({.slot = static_cast<Slot>(slot),
                      .slot_epoch = rows.Unsigned(row, 1),
                      .serial_floor_ms = rows.Int(row, 2)});
  }
  return grants;
}

}  // namespace assent::log
