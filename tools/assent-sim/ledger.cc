#include "tools/assent-sim/ledger.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/engine/shard.h"
#include "tools/assent-sim/invariants.h"
#include "tools/assent-sim/planted.h"

namespace assent::sim {
namespace {

std::size_t NumberAfter(std::string_view text, char letter) {
  std::size_t number = SIZE_MAX;
  if (text.size() < 2 || text.front() != letter) return number;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : SIZE_MAX;
}

}  // namespace

void Ledger::Open(std::vector<TransactionPlan> plans) {
  plans_ = std::move(plans);
  books_.resize(plans_.size());
  for (std::size_t t = 0; t < plans_.size(); ++t) {
    books_[t].plan = &plans_[t];
    books_[t].branches.resize(plans_[t].branches.size());
  }
}

TransactionBooks& Ledger::Touch(std::size_t t) {
  TransactionBooks& books = books_[t];
  if (!std::exchange(books.touched, true)) touched_.push_back(t);
  return books;
}

std::size_t Ledger::Find(std::string_view gid) const {
  const bool second = !gid.empty() && gid.back() == 'b';
  if (second) gid.remove_suffix(1);
  const std::size_t number = NumberAfter(gid, 't');
  if (number >= plans_.size() || number % 2 != 0) return plans_.size();
  return std::min(number + (second ? 1 : 0), plans_.size());
}

std::size_t Ledger::FindBranch(std::size_t t, std::string_view id) const {
  return std::min(NumberAfter(id, 'b'), plans_[t].branches.size());
}

// Branches that have got into the durable list, by a write of this epoch.
void Ledger::NoteListed(TransactionBooks& books, std::uint64_t epoch) {
  const bool begins = books.durable_version == 1;
  for (std::size_t i = 0; i < books.durable->branches().size(); ++i) {
    const auto [listed, is_new] = books.branches[i].listed_epochs.try_emplace(books.serial, epoch);
    if (begins && !is_new) listed->second = epoch;  // a store that was put back counts again
  }
}

void Ledger::NoteDurable(TransactionBooks& books, const core::Transaction& txn) {
  CheckMissed(books, txn);
  if (txn.held()) sim_.marks.Set(Mark::kHeldForPeople);
  books.begun = true;
  books.listed = std::max(books.listed, txn.branches().size());
  books.commit_durable = books.commit_durable || txn.decision() == core::Decision::kCommit;
  books.abort_durable = books.abort_durable || txn.decision() == core::Decision::kAbort;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::Branch& branch = txn.branches()[i];
    books.hazard_seen = books.hazard_seen || branch.hazard;
    books.branches[i].resolved = branch.resolved;
    books.branches[i].after = txn.spec().branches[i].after;
    books.by_hand = books.by_hand || branch.resolved != core::Decision::kNone;
    if (branch.needs_operator) sim_.marks.Set(Mark::kNeedsOperator);
  }
}

// No coordinator may do that by itself.
void Ledger::CheckMissed(const TransactionBooks& books, const core::Transaction& txn) {
  if (!books.told_and_missed || txn.decision() != core::Decision::kAbort) return;
  const auto& people = txn.interventions();
  if (std::any_of(people.begin(), people.end(),
                  [](const core::Intervention& one) { return one.verb != "suspend"; }))
    return;
  sim_.Violate("S17 broken by " + txn.gid() +
               ": it was told to be committed, and a log that lacks it aborts it by itself");
}

void Ledger::ReadDurable(const log::MemoryImage& image, std::size_t t, bool put_back) {
  TransactionBooks& books = books_[t];
  const std::string& gid = plans_[t].gid;
  const auto live = image.live.find(books.serial);
  if (live != image.live.end() && live->second.gid == gid) {
    if (books.durable && books.durable_version == live->second.version) return;
    Result<core::Transaction> txn = core::Codec::Decode(gid, live->second.spec, live->second.state);
    if (!txn.ok()) return sim_.Violate("a row of " + gid + " cannot be read back");
    Touch(t);
    books.durable_version = live->second.version;
    books.durable.emplace(std::move(txn).value());
    NoteDurable(books, *books.durable);
    if (!put_back) NoteListed(books, image.epoch);
    return;
  }
  const auto finished = image.serial_of_gid.find(gid);
  if (finished == image.serial_of_gid.end()) {
    if (books.durable) Touch(t);
    if (books.durable && !books.ended && !books.forgotten)
      sim_.Violate("S7 broken by " + gid + ": its row is gone, and it had not ended");
    books.durable.reset();
    return;
  }
  if (books.ended && !books.durable) return;
  Touch(t);
  const log::FinishedRow& row = image.finished.at(finished->second);
  Result<core::Transaction> txn = core::Codec::Decode(gid, row.spec, row.state);
  if (!txn.ok()) return sim_.Violate("a finished row of " + gid + " cannot be read back");
  NoteDurable(books, txn.value());
  if (!books.ended) books.ended_at = sim_.now;
  books.ended = true;
  books.outcome = engine::OutcomeFromLog(row.outcome);
  if (books.outcome == core::Outcome::kMixed) sim_.marks.Set(Mark::kMixed);
  if (books.hazard_seen && !books.by_hand) sim_.marks.Set(Mark::kHazardHealed);
  books.durable.reset();
  sim_.Say([&] { return "the end of " + gid + " is durable"; });
}

bool Ledger::Restored(const log::MemoryImage& lost, const log::MemoryImage& copy, std::size_t t) {
  const std::string& gid = plans_[t].gid;
  const auto where = [&](const log::MemoryImage& image) {
    for (const auto& [serial, row] : image.live) {
      if (row.gid == gid) return std::pair(serial, row.version);
    }
    const auto finished = image.serial_of_gid.find(gid);
    return finished == image.serial_of_gid.end() ? std::pair<std::uint64_t, std::uint64_t>(0, 0)
                                                 : std::pair(finished->second, UINT64_MAX);
  };
  const auto at = where(copy);
  TransactionBooks& books = Touch(t);
  if (at == where(lost) && (at.first != 0 || !books.begun)) return false;
  books.restored = true;
  books.ended = books.forgotten = false;
  books.durable.reset();
  books.durable_version = 0;
  books.serial = at.first;
  books.told_and_missed = false;
  ReadDurable(copy, t, /*put_back=*/true);
  // Who listed a branch that is there is known; one that is not may be listed again, by anybody.
  for (std::size_t i = books.durable ? books.durable->branches().size() : 0;
       i < books.branches.size(); ++i)
    books.branches[i].listed_epochs.erase(at.first);
  return true;
}

void Ledger::NoteMissed(std::size_t t) {
  TransactionBooks& books = Touch(t);
  books.told_and_missed =
      books.heard_commit && books.durable && books.durable->decision() == core::Decision::kNone;
}

void Ledger::CheckKept(const log::MemoryImage& image) {
  if (sim_.options.retention == 0) return;
  for (std::size_t t = 0; t < plans_.size(); ++t) {
    const TransactionBooks& books = books_[t];
    if (!books.ended || books.forgotten || image.serial_of_gid.contains(plans_[t].gid)) continue;
    if (sim_.now - books.ended_at < sim_.options.retention)
      sim_.Violate("R1 broken by " + plans_[t].gid +
                   ": what has finished is kept for its time, whatever the wall clock says");
  }
}

void Ledger::CheckTouched() {
  for (const std::size_t t : touched_) {
    books_[t].touched = false;
    if (Mutant(Planted::kCanary)) sim_.Violate("the canary sings");
    const std::string broken = BrokenAlways(books_[t]);
    if (!broken.empty()) sim_.Violate(broken);
  }
  touched_.clear();
}

}  // namespace assent::sim
