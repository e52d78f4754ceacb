// Loading, finding, listing.

#include <algorithm>
#include <map>
#include <utility>

#include "coordinator/log/postgresql/lane_sql.h"
#include "coordinator/log/postgresql/row_checks.h"
#include "coordinator/log/postgresql/row_store.h"

namespace assent::log {
namespace {

constexpr std::size_t kMaxScanRows = 1000;
constexpr std::size_t kMaxScanBytes = std::size_t{8} << 20;
// A page of Scan is read in pieces, for a row may hold megabytes.
constexpr std::size_t kScanPieceRows = 50;

}  // namespace

// A read, as often as connections are lost under it. Not OK in `lane`: the lane is at its end.
Answer PostgresRowStore::Ask(const char* statement, const std::function<Params()>& params,
                             Status& lane) {
  for (;;) {
    Result<Connection*> connection = lane_.ForReading();
    if (!connection.ok()) {
      lane = connection.status();
      return {};
    }
    connection.value()->Add(statement, params());
    std::vector<Answer> answers = connection.value()->Exchange();
    const Verdict verdict = answers[0].verdict;
    if (verdict == Verdict::kAgain) continue;
    if (verdict == Verdict::kUnknown &&
        (answers[0].sqlstate.empty() || connection.value()->broken()))
      continue;
    NoteRead();
    return std::move(answers[0]);
  }
}

// ---- Loading ------------------------------------------------------------------------------------

struct PostgresRowStore::LoadState {
  const Log::LiveVisitor& visit;
  std::vector<DamagedSlot>& damaged;
  // Slots that are not done, each with the last serial that was visited.
  std::map<Slot, std::uint64_t> behind;
  std::uint64_t fingerprint = 0;  // of all that was visited
  Slot at = 0;                    // the slot whose rows come
  bool any = false;
  Status ended;  // by the visitor
};

Status PostgresRowStore::Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
                              std::vector<DamagedSlot>& damaged) {
  LoadState state{.visit = visit, .damaged = damaged, .behind = {}, .ended = {}};
  for (const Slot slot : slots) {
    ASSENT_CHECK(slot < loaded_.size() && !loaded_[slot]);
    state.behind[slot] = 0;
  }
  (void)BeforeReads();
  if (Status status = LoadRows(state); !status.ok()) return status;
  if (Status status = CountFinished(); !status.ok()) return status;
  bool owned = true;
  if (Status status = CheckOwned(slots, owned); !status.ok()) return status;
  // What was read is durable wherever this is.
  Status stands = AfterReads();
  while (stands.code() == Code::kAborted) stands = LoadAgain(slots, state.fingerprint, owned);
  if (!stands.ok()) return stands;
  // What gave us the slots was committed by others: our own groups do not show that it is lost.
  if (!owned) {
    return Failed(
        lane_.Lost("a slot that was given to this coordinator is another's: the store has lost "
                   "what it had acknowledged"));
  }
  for (const Slot slot : slots) loaded_[slot] = true;
  for (const DamagedSlot& one : damaged) loaded_[one.slot] = false;
  return OkStatus();
}

// Where the commit is: a standby that was promoted meanwhile may lack what was seen at the primary
// before it. Who has visited it cannot take it back; he must begin anew.
Status PostgresRowStore::LoadAgain(const std::vector<Slot>& slots, std::uint64_t fingerprint,
                                   bool& owned) {
  const Log::LiveVisitor nobody = [](const LiveRow&) { return OkStatus(); };
  std::vector<DamagedSlot> damaged;
  LoadState state{.visit = nobody, .damaged = damaged, .behind = {}, .ended = {}};
  for (const Slot slot : slots) state.behind[slot] = 0;
  (void)BeforeReads();
  if (Status status = LoadRows(state); !status.ok()) return status;
  if (Status status = CheckOwned(slots, owned); !status.ok()) return status;
  // Whoever has been fenced meanwhile finds his successor's rows, and is told so first.
  if (Status stands = AfterReads(); !stands.ok()) return stands;
  if (state.fingerprint != fingerprint)
    return Internal("another server has taken over, and has other rows than were loaded");
  return OkStatus();
}

Status PostgresRowStore::CheckOwned(const std::vector<Slot>& slots, bool& owned) {
  Column ids;
  for (const Slot slot : slots) ids.Add(std::int64_t{slot});
  Status lane;
  const Answer answer = Ask(
      "owned", [&] { return Params().Ints(ids).Int(static_cast<std::int64_t>(epoch_)); }, lane);
  if (!lane.ok()) return Failed(lane);
  if (!answer.ok()) return answer.status("looking whose the slots are");
  owned = answer.rows.Unsigned(0, 0) == slots.size();
  loaded_generation_ = answer.rows.Unsigned(0, 1);
  return OkStatus();
}

// Goes on behind the last row when the connection is lost: nobody but us writes to these slots.
Status PostgresRowStore::LoadRows(LoadState& state) {
  for (;;) {
    Result<Connection*> connection = lane_.ForReading();
    if (!connection.ok()) return Failed(connection.status());
    NoteRead();
    Column slots;
    Column behind;
    for (const auto& [slot, serial] : state.behind) {
      slots.Add(std::int64_t{slot});
      behind.Add(serial);
    }
    Status wrong;
    const Answer answer = connection.value()->QueryRows(kLoadSql, Params().Ints(slots).Ints(behind),
                                                        [&](const Rows& row) {
                                                          wrong = CheckLive(row, state);
                                                          return wrong.ok();
                                                        });
    if (!wrong.ok()) return wrong;
    if (answer.ok()) return OkStatus();
    if (answer.verdict != Verdict::kUnknown && answer.verdict != Verdict::kAgain)
      return answer.status("loading");
  }
}

Status PostgresRowStore::CheckLive(const Rows& row, LoadState& state) {
  LiveRow live;
  live.slot = static_cast<Slot>(row.Int(0, 0));
  live.serial = row.Unsigned(0, 1);
  live.version = row.Unsigned(0, 2);
  if (state.any && live.slot != state.at) state.behind.erase(state.at);  // it is done
  state.any = true;
  state.at = live.slot;
  const auto behind = state.behind.find(live.slot);
  if (behind == state.behind.end()) return OkStatus();  // damaged
  if (live.serial <= behind->second)
    return Internal("rows of slot " + std::to_string(live.slot) + " came out of order");
  live.gid = row.Text(0, 5);
  live.state = row.Text(0, 6);
  live.spec = row.Text(0, 7);
  const auto crc = [&](int column) { return static_cast<std::uint32_t>(row.Int(0, column)); };
  const char* what = nullptr;
  if (crc(4) != SpecCheck(live.slot, live.serial, live.gid, live.spec)) what = "its spec";
  if (crc(3) != StateCheck(live.slot, live.serial, live.version, live.state)) what = "its state";
  if (SlotOf(live.gid, options_.slots->slots_count()) != live.slot &&
      options_.slots->slots_count() > 1)
    what = "its gid, which belongs to another slot";
  if (what != nullptr) {
    state.damaged.push_back({.slot = live.slot,
                             .why = "table live, slot " + std::to_string(live.slot) + ", serial " +
                                    std::to_string(live.serial) + " (gid " + live.gid +
                                    "): checksum fails for " + what});
    state.behind.erase(behind);
    return OkStatus();
  }
  behind->second = live.serial;
  for (const int column : {0, 1, 2, 3, 4})
    state.fingerprint = (state.fingerprint ^ row.Unsigned(0, column)) * 0x100000001b3ULL;
  options_.slots->NoteSerial(live.slot, live.serial);
  return state.visit(live);
}

Status PostgresRowStore::CountFinished() {
  if (counted_ || !options_.counts_finished) return OkStatus();
  Status lane;
  const Answer answer = Ask(
      "count_finished", [] { return Params(); }, lane);
  if (!lane.ok()) return Failed(lane);
  if (!answer.ok()) return answer.status("counting finished rows");
  finished_rows_ += answer.rows.Int(0, 0);
  counted_ = true;
  return OkStatus();
}

// ---- Finding ------------------------------------------------------------------------------------

// A finished row's columns, as find and scan have them: serial, slot, outcome, finished_unix_ms,
// crc, spec_crc, gid, state, spec.
Result<FinishedRow> PostgresRowStore::Finished(const Rows& rows, int row, int from_column) const {
  const auto column = [&](int n) { return from_column + n; };
  const auto slot = static_cast<Slot>(rows.Int(row, column(1)));
  FinishedRow found{.serial = rows.Unsigned(row, column(0)),
                    .gid = rows.Text(row, column(6)),
                    .spec = rows.Text(row, column(8)),
                    .state = rows.Text(row, column(7)),
                    .outcome = static_cast<std::uint8_t>(rows.Int(row, column(2))),
                    .finished_unix_ms = rows.Int(row, column(3))};
  const bool whole = static_cast<std::uint32_t>(rows.Int(row, column(4))) ==
                         FinishedCheck(slot, found.serial, found.outcome, found.finished_unix_ms,
                                       found.gid, found.state) &&
                     static_cast<std::uint32_t>(rows.Int(row, column(5))) ==
                         SpecCheck(slot, found.serial, found.gid, found.spec);
  if (whole) return found;
  return DataLoss("table finished, serial " + std::to_string(found.serial) + " (gid " + found.gid +
                  "): checksum fails");
}

// A row for each thing that was found: 2 a finished one, 1 a live one with its owner, 0 always: how
// many starts, and which generation; 3 an epoch of that generation.
// None: nobody has joined since another server took over.
Result<Found> PostgresRowStore::FoundIn(const Rows& rows, const std::string& gid, bool with_epochs,
                                        bool& stale) {
  Found found;
  std::vector<std::uint64_t> epochs;
  std::uint64_t starts = 0;
  std::uint64_t generation = 0;
  for (int row = 0; row < rows.size(); ++row) {
    switch (rows.Int(row, 0)) {
      case 0:
        starts = rows.Unsigned(row, 1);
        generation = rows.Unsigned(row, 2);
        break;
      case 1:
        if (found.what == Found::What::kFinished) break;
        found.what = Found::What::kLive;
        found.owner = rows.Unsigned(row, 3);
        break;
      case 2: {
        Result<FinishedRow> finished = Finished(rows, row, 1);
        if (!finished.ok()) return finished.status();
        if (finished.value().gid != gid)
          return DataLoss("index finished_by_gid leads gid " + gid + " to another row");
        found.what = Found::What::kFinished;
        found.row = *std::move(finished);
        break;
      }
      default: epochs.push_back(rows.Unsigned(row, 1));
    }
  }
  if (generation == 0) return DataLoss("table log has no row");
  if (with_epochs) {
    std::sort(epochs.begin(), epochs.end());
    if (epochs.size() > kMaxEpochsCount)
      epochs.erase(epochs.begin(), epochs.end() - static_cast<std::ptrdiff_t>(kMaxEpochsCount));
    epochs_ = std::make_shared<const std::vector<std::uint64_t>>(std::move(epochs));
    epochs_starts_ = starts;
    epochs_generation_ = generation;
  }
  stale = epochs_ == nullptr || epochs_starts_ != starts || epochs_generation_ != generation;
  found.epochs = epochs_;
  return found;
}

Result<Found> PostgresRowStore::Find(const std::string& gid) {
  const Slot slot = SlotOf(gid, options_.slots->slots_count());
  for (const bool with_epochs : {false, true}) {
    const char* statement = with_epochs ? "find_epochs" : "find";
    Status lane;
    const Answer answer = Ask(
        statement, [&] { return Params().Bytes(gid).Int(std::int64_t{slot}); }, lane);
    if (!lane.ok()) return Failed(lane);
    if (!answer.ok()) return answer.status("looking for gid " + gid);
    bool stale = false;
    Result<Found> found = FoundIn(answer.rows, gid, with_epochs, stale);
    if (!found.ok() || !stale) return found;
  }
  return Internal("what was looked for with its epochs is not up to date");
}

Result<std::vector<FinishedRow>> PostgresRowStore::Scan(std::uint64_t before_serial,
                                                        std::size_t max_rows) {
  std::uint64_t bound = before_serial == 0 || before_serial > INT64_MAX
                            ? static_cast<std::uint64_t>(INT64_MAX)
                            : before_serial;
  const std::size_t wanted = std::min(max_rows, kMaxScanRows);
  std::vector<FinishedRow> found;
  std::size_t bytes = 0;
  while (found.size() < wanted && bytes < kMaxScanBytes) {
    const std::size_t piece = std::min(wanted - found.size(), kScanPieceRows);
    Status lane;
    const Answer answer = Ask(
        "scan", [&] { return Params().Int(bound).Int(static_cast<std::int64_t>(piece)); }, lane);
    if (!lane.ok()) return Failed(lane);
    if (!answer.ok()) return answer.status("listing finished rows");
    for (int row = 0; row < answer.rows.size(); ++row) {
      Result<FinishedRow> finished = Finished(answer.rows, row, 0);
      if (!finished.ok()) return finished.status();
      bytes += finished.value().spec.size() + finished.value().state.size();
      bound = finished.value().serial;
      found.push_back(*std::move(finished));
    }
    if (answer.rows.size() < static_cast<int>(piece)) break;
  }
  return found;
}

}  // namespace assent::log
