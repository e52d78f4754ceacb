// Retention: the oldest finished rows go, by age and by bytes, in slices that ride in the commits of others.

#include <algorithm>
#include <sqlite3.h>

#include "coordinator/log/sqlite_store.h"

namespace assent::log {
namespace {

// A slice also ends after so many bytes: to free a row of megabytes is to read all of its pages.
constexpr std::uint64_t kMaxSliceBytes = std::uint64_t{4} << 20;
// ... and after so many rows that stay: with nothing to remove, which is nearly always, a look must cost next to nothing.
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

// Rows are looked at in the order of their beginning, which is nearly that of their end. Young rows with low serials (of
// transactions that took long) do not hide the old ones behind them, unless there are more than kMaxKeptRows of them: then
// until they are old themselves.
Status SqliteStore::FindExpired(std::size_t max_rows, std::vector<std::uint64_t>& expired) {
  const Result<std::uint64_t> over = BytesOver();
  if (!over.ok()) return over.status();
  if (over.value() == 0 && options_.retention_age.count() == 0) return OkStatus();
  const std::int64_t oldest_kept = options_.retention_age.count() == 0
                                       ? INT64_MIN
                                       : UnixNowMs() - options_.retention_age.count();
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
    if (bytes >= over.value() && sql_.oldest.Int(2) >= oldest_kept) {
      if (++kept == kMaxKeptRows) break;
      continue;
    }
    expired.push_back(serial);
    bytes += sql_.oldest.Unsigned(3);
  }
  sql_.oldest.Reset();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure("look for expired rows", code);
  return OkStatus();
}

Result<bool> SqliteStore::HasExpired() {
  std::vector<std::uint64_t> expired;
  constexpr std::size_t kLookAtRows = 256;
  if (Status status = FindExpired(kLookAtRows, expired); !status.ok()) return status;
  return !expired.empty();
}

Status SqliteStore::Expire(std::size_t max_rows, GroupOutcome& outcome) {
  std::vector<std::uint64_t> expired;
  if (Status status = FindExpired(max_rows, expired); !status.ok()) return status;
  for (const std::uint64_t serial : expired) {
    const int code = sql_.delete_finished.BindInt(1, serial).Run();
    if (code != SQLITE_OK) return Failure("expire row " + std::to_string(serial), code);
  }
  outcome.expired = expired.size();
  next_.finished_rows -= expired.size();
  return OkStatus();
}

}  // namespace assent::log
