// What a database may hand to a member, as values of any bytes in either format: the view of the
// cluster and a member's slots are read or refused; whatever view is read, the rules do with it
// what they may; the answers of a group settle its entries, each once, and name no other.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/cluster/membership.h"
#include "coordinator/cluster/shares.h"
#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/group.h"
#include "coordinator/log/postgresql/member_rows.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "tests/fuzz/input.h"

namespace assent::fuzz {
namespace {

using cluster::Membership;
using cluster::MonoTime;
using log::Answer;
using log::Entry;
using log::EntryKind;
using log::Rows;

constexpr int kMaxRowsCount = 12;
constexpr Slot kSlotsCount = 4;

// The values of a column are bytes of the input, or a number as the server would write it.
std::string DrawValue(Input& in, bool binary) {
  const std::uint8_t how = in.Byte();
  if ((how & 3) == 0) return std::string(in.Chunk());
  const std::uint64_t number = (how & 3) == 1 ? in.Number(8) : in.Below(5);
  if (!binary) return std::to_string(static_cast<std::int64_t>(number));
  std::string bytes;
  const int size = (how & 12) == 0 ? 2 : (how & 12) == 4 ? 4 : 8;
  for (int i = size; i-- > 0;) bytes.push_back(static_cast<char>(number >> (8 * i)));
  return bytes;
}

Rows DrawRows(Input& in, int columns) {
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  ASSENT_CHECK(result != nullptr);
  Rows rows(result);
  const bool binary = in.Flip();
  std::string name = "c";
  std::vector<PGresAttDesc> described(static_cast<std::size_t>(columns));
  for (PGresAttDesc& column : described) {
    column = {};
    column.name = name.data();
    column.format = binary ? 1 : 0;
  }
  ASSENT_CHECK(PQsetResultAttrs(result, columns, described.data()) != 0);
  const auto count = static_cast<int>(in.Below(kMaxRowsCount));
  for (int row = 0; row < count; ++row) {
    for (int column = 0; column < columns; ++column) {
      std::string value = DrawValue(in, binary);
      const bool null = value.empty() && in.Flip();
      ASSENT_CHECK(PQsetvalue(result, row, column, null ? nullptr : value.data(),
                              null ? -1 : static_cast<int>(value.size())) != 0);
    }
  }
  return rows;
}

// Of kLookSql.
constexpr int kViewColumnsCount = 12;
// Of a number: no text.
constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

// A view as a database gives it, with as many mistakes as the input wants.
Rows DrawView(Input& in, int members) {
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  ASSENT_CHECK(result != nullptr);
  Rows rows(result);
  std::string name = "c";
  std::vector<PGresAttDesc> described(kViewColumnsCount);
  for (PGresAttDesc& column : described) {
    column = {};
    column.name = name.data();
  }
  ASSENT_CHECK(PQsetResultAttrs(result, kViewColumnsCount, described.data()) != 0);
  int row = 0;
  const auto put = [&](const std::vector<std::uint64_t>& numbers) {
    for (int column = 0; column < kViewColumnsCount; ++column) {
      const bool given = column < static_cast<int>(numbers.size()) &&
                         numbers[static_cast<std::size_t>(column)] != kEmpty;
      std::string value = given ? std::to_string(numbers[static_cast<std::size_t>(column)]) : "";
      ASSENT_CHECK(PQsetvalue(result, row, column, value.data(), static_cast<int>(value.size())) !=
                   0);
    }
    ++row;
  };
  put({0, 0, in.Below(8), 1, kSlotsCount, 0});
  for (int epoch = 1; epoch <= members; ++epoch) {
    const std::uint8_t what = in.Byte();
    if ((what & 3) == 0) {
      put({3, static_cast<std::uint64_t>(epoch), in.Below(6), in.Number(2)});
      continue;
    }
    const std::uint64_t beat = what >> 4U;
    put({1, static_cast<std::uint64_t>(epoch), beat, 0, (what & 12) == 12 ? 1U : 0U, 0});
  }
  for (std::uint64_t slot = 0; slot < kSlotsCount; ++slot)
    put({2, slot, in.Below(6), in.Below(3), in.Below(6), 0});
  // Moved to a member; all have one name, which is none.
  for (std::uint64_t pins = in.Below(3); pins > 0; --pins)
    put({4, 0, 0, 0, 0, 0, kEmpty, in.Below(2 * kSlotsCount)});
  return rows;
}

void CheckHeirs(const cluster::View& view, const std::vector<cluster::Heir>& heirs) {
  std::set<Slot> slots;
  for (const cluster::Heir& heir : heirs) {
    ASSENT_CHECK(heir.slot < view.slots.size() && slots.insert(heir.slot).second);
    ASSENT_CHECK(view.Find(heir.epoch) != nullptr);
  }
}

void CheckDecision(const cluster::View& view, const cluster::Decision& decision,
                   std::uint64_t self) {
  ASSENT_CHECK(decision.over == (view.Find(self) == nullptr));
  for (const cluster::Grant& grant : decision.assigned)
    ASSENT_CHECK(view.slots[grant.slot].owner == self);
  for (const Slot slot : decision.wanted) ASSENT_CHECK(view.slots[slot].owner == self);
  for (const cluster::Fencing& fencing : decision.fencings) {
    const cluster::Member* victim = view.Find(fencing.victim);
    ASSENT_CHECK(victim != nullptr && fencing.victim != self && victim->beat == fencing.seen_beat);
    CheckHeirs(view, fencing.heirs);
    for (const cluster::Heir& heir : fencing.heirs) {
      ASSENT_CHECK(view.slots[heir.slot].owner == fencing.victim && heir.epoch != fencing.victim);
    }
  }
  CheckHeirs(view, decision.claim);
  for (const cluster::Heir& heir : decision.claim) {
    ASSENT_CHECK(heir.epoch == self && view.Find(view.slots[heir.slot].owner) == nullptr);
  }
  for (const cluster::Wanting& wanting : decision.wantings) {
    ASSENT_CHECK(wanting.owner != self && view.Find(wanting.owner) != nullptr);
    for (const Slot slot : wanting.slots) ASSENT_CHECK(view.slots[slot].owner == wanting.owner);
  }
}

void Look(Input& in) {
  const std::uint64_t self = 1 + in.Below(3);
  Membership membership(self, std::chrono::seconds(3), {});
  MonoTime now{std::chrono::hours(1)};
  for (int i = 0; i < 40 && !in.empty(); ++i) {
    const std::uint8_t what = in.Byte();
    if ((what & 3) == 0) membership.OnLineBroken(in.Below(6));
    if ((what & 3) == 1) membership.OnLineMended(in.Below(6));
    if ((what & 12) == 0) membership.OnKept(static_cast<Slot>(in.Below(kSlotsCount)));
    const MonoTime asked = now += std::chrono::milliseconds(in.Number(2));
    const MonoTime answered = now += std::chrono::milliseconds((what & 16) == 0 ? 0 : in.Number(2));
    const Result<cluster::View> view =
        log::ReadView((what & 32) == 0 ? DrawView(in, 5) : DrawRows(in, kViewColumnsCount));
    if (!view.ok()) {
      ASSENT_CHECK(view.status().code() == Code::kDataLoss);
      continue;
    }
    const cluster::Decision decision = membership.OnView(*view, asked, answered);
    CheckDecision(*view, decision, self);
    ASSENT_CHECK(membership.NextLook(asked) > asked);
    if (decision.over) return;
  }
}

void Grants(Input& in) {
  const auto grants = log::ReadGrants(DrawRows(in, 3), kSlotsCount);
  if (!grants.ok()) {
    ASSENT_CHECK(grants.status().code() == Code::kDataLoss);
    return;
  }
  log::SlotTable slots(kSlotsCount, [] { return log::kSerialsBeginUnixMs + 1000; });
  slots.SetLimit(static_cast<std::int64_t>(in.Number(6)));
  for (const cluster::Grant& grant : *grants) {
    slots.Assign({.slot = grant.slot, .slot_epoch = grant.slot_epoch}, grant.serial_floor_ms);
    std::uint64_t last = 0;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t next = slots.Next(grant.slot);
      if (next == 0) break;
      ASSENT_CHECK(next > last && log::MsOfSerial(next) <= slots.limit_ms());
      ASSENT_CHECK((next >> log::kSerialSlotShift) % 1024 == grant.slot);
      last = next;
    }
  }
  ASSENT_CHECK(slots.HighestMs() >= 0);
}

std::vector<Entry> DrawBatch(Input& in) {
  std::vector<Entry> batch;
  for (std::size_t n = 1 + in.Below(4); n > 0; --n) {
    const std::uint8_t what = in.Byte();
    Entry entry;
    entry.kind = static_cast<EntryKind>(what & 3);
    entry.serial = 1 + (what >> 4U) % 4;
    entry.version = entry.kind == EntryKind::kBegin ? 1 : 2 + (what >> 6U);
    entry.gid = "g" + std::to_string(entry.serial);
    entry.spec = "spec";
    entry.state = "state";
    entry.slot = SlotOf(entry.gid, kSlotsCount);
    batch.push_back(std::move(entry));
  }
  return batch;
}

// Each entry is answered at most once, in order, by its place in its batch.
void CheckOutcome(const std::vector<std::vector<Entry>>& batches,
                  const log::GroupOutcome& outcome) {
  ASSENT_CHECK(outcome.refused.size() == batches.size());
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (std::size_t i = 0; i < outcome.refused[b].size(); ++i) {
      ASSENT_CHECK(outcome.refused[b][i].index < batches[b].size());
      ASSENT_CHECK(!outcome.refused[b][i].status.ok());
      ASSENT_CHECK(i == 0 || outcome.refused[b][i - 1].index <= outcome.refused[b][i].index);
    }
  }
}

void Groups(Input& in) {
  std::vector<std::vector<Entry>> batches;
  for (std::size_t n = 1 + in.Below(3); n > 0; --n) batches.push_back(DrawBatch(in));
  std::vector<const std::vector<Entry>*> pointers;
  for (const std::vector<Entry>& batch : batches) pointers.push_back(&batch);
  const log::Unwritten unwritten;
  log::Group group(
      pointers, unwritten, [](Slot) { return true; }, 0);
  log::GroupLessons lessons;
  if (in.Flip()) lessons.refused_begins.insert(1 + in.Below(4));
  if (in.Flip()) lessons.taken_gids.insert("g" + std::to_string(1 + in.Below(4)));
  if (!group.Plan(lessons).ok()) return;
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < group.statements_count(); ++i) {
    answers.push_back({.verdict = log::Verdict::kDone, .rows = DrawRows(in, 3)});
    const bool fault = in.Below(4) == 3;
    if (fault) ASSENT_CHECK(!group.NameFault(i, answers.back().rows).ok());
  }
  log::GroupOutcome outcome;
  if (in.Flip()) {
    (void)group.RefusedBegins(answers);
    group.Take(answers, outcome);
  } else {
    std::set<std::uint64_t> began;
    const Rows rows = DrawRows(in, 1);
    for (int row = 0; row < rows.size(); ++row) began.insert(rows.Unsigned(row, 0));
    group.TakeUnseen(began, outcome);
  }
  CheckOutcome(batches, outcome);
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assent::fuzz;
  Input in(data, size);
  switch (in.Below(4)) {
    case 0: Grants(in); break;
    case 1: Groups(in); break;
    case 2: {
      const std::string url(in.Rest());
      (void)assent::log::Connection::HasPassword(url);
      ASSENT_CHECK(!assent::log::Connection::Place(url).empty());
      break;
    }
    default: Look(in);
  }
  return 0;
}
