// A walk over the rows of our slots, some at a time, and other bytes in the place of their own.

#include <algorithm>
#include <utility>

#include "coordinator/log/postgresql/row_checks.h"
#include "coordinator/log/postgresql/row_store.h"

namespace assent::log {
namespace {

// A row may hold megabytes.
constexpr std::size_t kMaxWalkRows = 50;

std::int64_t Number(std::size_t number) { return static_cast<std::int64_t>(number); }

}  // namespace

struct PostgresRowStore::Rewritten {
  bool live = false;
  Column slots{}, serials{}, versions{}, crcs{}, spec_crcs{}, states{}, specs{};
};

Result<WalkPlace> PostgresRowStore::Walk(const WalkPlace& from, std::size_t max_rows,
                                         const RowEditor& edit) {
  if (from.among == WalkPlace::Among::kEnd) return from;
  const bool live = from.among == WalkPlace::Among::kLive;
  const std::size_t wanted = std::min(max_rows, kMaxWalkRows);
  Status lane;
  const Answer answer = Ask(
      live ? "walk_live" : "walk_finished",
      [&] {
        Params params;
        params.Ints(LoadedSlots());
        if (live) params.Int(std::int64_t{from.slot});
        return std::move(params.Int(from.serial).Int(Number(wanted)));
      },
      lane);
  if (!lane.ok()) return Failed(lane);
  if (!answer.ok()) return answer.status("walking over the rows");
  WalkPlace place = from;
  Rewritten changed{.live = live};
  const Rows& rows = answer.rows;
  for (int row = 0; row < rows.size(); ++row) {
    place.slot = static_cast<Slot>(rows.Int(row, live ? 0 : 1));
    place.serial = rows.Unsigned(row, live ? 1 : 0);
    if (live) {
      const std::uint64_t version = rows.Unsigned(row, 2);
      const std::string gid = rows.Text(row, 5);
      std::string state = rows.Text(row, 6);
      std::string spec = rows.Text(row, 7);
      const bool whole = static_cast<std::uint32_t>(rows.Int(row, 3)) ==
                             StateCheck(place.slot, place.serial, version, state) &&
                         static_cast<std::uint32_t>(rows.Int(row, 4)) ==
                             SpecCheck(place.slot, place.serial, gid, spec);
      // One that is damaged is found by the next who loads it, and left to him.
      if (!whole || !edit(gid, spec, state)) continue;
      changed.slots.Add(std::int64_t{place.slot});
      changed.versions.Add(version);
      changed.crcs.Add(std::int64_t{StateCheck(place.slot, place.serial, version, state)});
      changed.spec_crcs.Add(std::int64_t{SpecCheck(place.slot, place.serial, gid, spec)});
      changed.states.Add(std::string_view(state));
      changed.specs.Add(std::string_view(spec));
    } else {
      Result<FinishedRow> found = Finished(rows, row, 0);
      if (!found.ok()) return found.status();
      if (!edit(found->gid, found->spec, found->state)) continue;
      changed.crcs.Add(
          std::int64_t{FinishedCheck(place.slot, place.serial, found->outcome,
                                     found->finished_unix_ms, found->gid, found->state)});
      changed.spec_crcs.Add(
          std::int64_t{SpecCheck(place.slot, place.serial, found->gid, found->spec)});
      changed.states.Add(std::string_view(found->state));
      changed.specs.Add(std::string_view(found->spec));
    }
    changed.serials.Add(place.serial);
  }
  if (changed.serials.size() > 0) {
    if (Status status = WriteRewritten(changed); !status.ok()) return status;
  }
  if (rows.size() > 0) return place;
  return WalkPlace{.among = live ? WalkPlace::Among::kFinished : WalkPlace::Among::kEnd};
}

Status PostgresRowStore::WriteRewritten(const Rewritten& changed) {
  GroupResult result;
  Status status = CommitAlone(
      [&](Connection& connection) {
        Params params;
        if (changed.live) {
          params.Ints(changed.slots).Ints(changed.serials).Ints(changed.versions);
        } else {
          params.Ints(changed.serials);
        }
        params.Ints(changed.crcs).Ints(changed.spec_crcs);
        params.Blobs(changed.states).Blobs(changed.specs);
        connection.Add(changed.live ? "rewrite_live" : "rewrite_finished", std::move(params));
      },
      result);
  if (!status.ok()) return status;
  return result.what == GroupResult::What::kRejected ? Internal("rows are not written anew")
                                                     : OkStatus();
}

}  // namespace assent::log
