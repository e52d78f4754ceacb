// Retention: the oldest finished rows go, by age and by bytes, in slices that ride in the commits
// of others. What is old enough is for retention_clock.h to say.

#include <algorithm>
#include <sqlite3.h>

#include "coordinator/log/sqlite/sqlite_life.h"
#include "coordinator/log/sqlite/sqlite_store.h"

namespace assent::log {
namespace {

// A slice also ends after so many bytes: to free a row of megabytes is to read all of its pages.
constexpr std::uint64_t kMaxSliceBytes = std::uint64_t{4} << 20;
// ... and after so many rows that stay: with nothing to remove, which is nearly always, a look must
// cost next to nothing.
constexpr std::size_t kMaxKeptRows = 256;

}  // namespace

bool SqliteStore::IsPinned(std::uint64_t outcome) const {
  const auto& pinned = options_.pinned_outcomes;
  return std::find(pinned.begin(), pinned.end(), outcome) != pinned.end();
}

// How many bytes more than allowed are in use.
Result<std::uint64_t> SqliteStore::BytesOver() {
  if (options_.retention_bytes == 0) return std::uint64_t{0};
  int code = sql_.page_count.Step();
  const std::int64_t pages = code == SQLITE_ROW ? sql_.page_count.Int(0) : 0;
  sql_.page_count.Reset();
  if (code != SQLITE_ROW) return Failure("count the pages", code);
  code = sql_.free_pages.Step();
  const std::int64_t free_pages = code == SQLITE_ROW ? sql_.free_pages.Int(0) : 0;
  sql_.free_pages.Reset();
  if (code != SQLITE_ROW) return Failure("count the free pages", code);
  const std::uint64_t used = static_cast<std::uint64_t>(pages - free_pages) * page_bytes_;
  return used > options_.retention_bytes ? used - options_.retention_bytes : 0;
}

// Rows are looked at in the order of their beginning, which is nearly that of their end. Young rows
// with low serials (of transactions that took long) do not hide the old ones behind them, unless
// there are more than kMaxKeptRows of them: then until they are old themselves.
Status SqliteStore::FindExpired(std::size_t max_rows, Expired& expired) {
  const Result<std::uint64_t> over = BytesOver();
  if (!over.ok()) return over.status();
  const std::uint64_t kept_up_to = age_->KeptUpTo(MonoNowMs());
  if (over.value() == 0 && kept_up_to == 0) return OkStatus();
  const std::uint64_t allowed = pace_->Allowed(MonoNowMs(), meta_.finished_rows);
  sql_.oldest.BindInt(1, expire_from_).BindInt(2, static_cast<std::uint64_t>(max_rows));
  bool only_pinned_so_far = true;
  std::uint64_t bytes = 0;
  std::size_t kept = 0;
  int code = SQLITE_DONE;
  while (bytes < kMaxSliceBytes && (code = sql_.oldest.Step()) == SQLITE_ROW) {
    const std::uint64_t serial = sql_.oldest.Unsigned(0);
    const bool pinned = IsPinned(sql_.oldest.Unsigned(1));
    only_pinned_so_far = only_pinned_so_far && pinned;
    if (only_pinned_so_far) expire_from_ = serial;
    if (pinned) continue;
    const bool by_size = bytes < over.value();
    const bool by_age = !by_size && sql_.oldest.Unsigned(2) <= kept_up_to;
    if (by_age && expired.by_age.size() >= allowed) {
      expired.paced = true;
      break;
    }
    if (!by_size && !by_age) {
      if (++kept == kMaxKeptRows) break;
      continue;
    }
    (by_size ? expired.by_size : expired.by_age).push_back(serial);
    bytes += sql_.oldest.Unsigned(3);
  }
  sql_.oldest.Reset();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure("look for expired rows", code);
  return OkStatus();
}

Result<bool> SqliteStore::HasExpired() {
  Expired expired;
  constexpr std::size_t kLookAtRows = 256;
  if (Status status = FindExpired(kLookAtRows, expired); !status.ok()) return status;
  return !expired.by_age.empty() || !expired.by_size.empty();
}

Status SqliteStore::Expire(std::size_t max_rows) {
  Expired expired;
  if (Status status = FindExpired(max_rows, expired); !status.ok()) return status;
  for (const auto* serials : {&expired.by_age, &expired.by_size}) {
    for (const std::uint64_t serial : *serials) {
      const int code = sql_.delete_finished.BindInt(1, serial).Run();
      if (code != SQLITE_OK) return Failure("expire row " + std::to_string(serial), code);
    }
  }
  done_.expired_by_age = expired.by_age.size();
  done_.expired_by_size = expired.by_size.size();
  done_.paced = expired.paced;
  pace_->NoteRemoved(expired.by_age.size());
  next_.finished_rows -= expired.by_age.size() + expired.by_size.size();
  return OkStatus();
}

// Run time begins where the life before has left it.
Status SqliteStore::ReadAge() {
  Result<std::vector<AgeMark>> marks = ReadAges(db_, options_.path, meta_);
  if (!marks.ok()) return marks.status();
  if (!marks->empty()) last_unix_ms_ = marks->back().unix_ms;
  age_.emplace(*std::move(marks), options_.retention_age, MonoNowMs());
  pace_.emplace(MonoNowMs());
  return OkStatus();
}

Status SqliteStore::WriteAge(const AgeChange& change) {
  const AgeMark& mark = change.mark;
  int code = sql_.delete_age.BindInt(1, change.drop_below_ran_ms)
                 .BindInt(2, change.moves ? static_cast<std::int64_t>(change.moved_ran_ms)
                                          : std::int64_t{-1})
                 .Run();
  if (code == SQLITE_OK) {
    code = sql_.insert_age.BindInt(1, mark.ran_ms)
               .BindInt(2, mark.commit_seq)
               .BindInt(3, mark.unix_ms)
               .BindInt(4, std::int64_t{AgeChecksum(mark.ran_ms, mark.commit_seq, mark.unix_ms)})
               .Run();
  }
  return code == SQLITE_OK ? OkStatus() : Failure("write table age", code);
}

}  // namespace assent::log
