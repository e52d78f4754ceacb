// A relay's side of the table in SQLite: SQL alone.

#include <algorithm>
#include <utility>
#include <vector>

#include <assent/outbox_sqlite.h>

#include "participant-sdk/cpp/sqlite/outbox_file.h"

namespace assent::sqlite {
namespace {

using internal::File;
using internal::RunScript;
using internal::Sentence;
using internal::UnixMs;
using internal::WithHint;
using std::chrono::milliseconds;

constexpr std::int64_t kNever = INT64_MAX;

// The column has room for them, whatever somebody has written there.
#define ASSENT_ATTEMPTS "min(coalesce(CAST(attempts AS INTEGER), 0), 999999999) + 1"
#define ASSENT_TAKEABLE "kind = 1 AND parked_reason IS NULL AND due_unix_ms "

// Those that are tried again come after as many that are new, or a stream of new ones would keep
// them waiting for ever.
constexpr char kFindAgain[] =
    "SELECT id FROM assent_outbox WHERE ordering_key IS NULL AND " ASSENT_TAKEABLE
    "BETWEEN 1 AND ?1 ORDER BY due_unix_ms, id LIMIT ?2";
constexpr char kFindNew[] =
    "SELECT id FROM assent_outbox WHERE ordering_key IS NULL AND " ASSENT_TAKEABLE
    "<= 0 ORDER BY due_unix_ms, id LIMIT ?1";
// From key to key, and of each its oldest row: by index, whatever lies behind.
constexpr char kFindHeads[] =
    "WITH RECURSIVE k(key, n) AS ("
    "SELECT (SELECT min(ordering_key) FROM assent_outbox WHERE ordering_key > ?2), 1 UNION ALL "
    "SELECT (SELECT min(o.ordering_key) FROM assent_outbox o WHERE o.ordering_key > k.key), n + 1 "
    "FROM k WHERE k.key IS NOT NULL AND n < ?3) "
    "SELECT k.key, o.id, o.kind = 1 AND o.parked_reason IS NULL AND o.due_unix_ms <= ?1 "
    "FROM k JOIN assent_outbox o ON o.id = (SELECT h.id FROM assent_outbox h WHERE "
    "h.ordering_key = k.key ORDER BY h.id LIMIT 1) WHERE k.key IS NOT NULL";
constexpr char kRead[] =
    "SELECT gid, coalesce(ordering_key, ''), length(request) > ?2, "
    "CASE WHEN length(request) > ?2 THEN x'' ELSE request END, " ASSENT_ATTEMPTS
    ", first_attempt_unix_ms FROM assent_outbox WHERE id = ?1";
constexpr char kLease[] =
    "UPDATE assent_outbox SET due_unix_ms = ?2 + ?3, attempts = " ASSENT_ATTEMPTS
    ", "
    "first_attempt_unix_ms = coalesce(first_attempt_unix_ms, ?2) WHERE id = ?1";
constexpr char kDelete[] = "DELETE FROM assent_outbox WHERE id = ?1 AND gid = ?2";
constexpr char kLater[] =
    "UPDATE assent_outbox SET due_unix_ms = ?3, last_error = ?4, first_attempt_unix_ms = "
    "CASE ?5 WHEN 1 THEN NULL ELSE first_attempt_unix_ms END "
    "WHERE id = ?1 AND gid = ?2 AND attempts = ?6 AND parked_reason IS NULL";
constexpr char kPark[] =
    "UPDATE assent_outbox SET due_unix_ms = ?3, parked_reason = ?4 WHERE id = ?1 AND gid = ?2 "
    "AND attempts = ?5";
constexpr char kCount[] =
    "SELECT count(*), sum(parked), sum(kind <> 1), min(created) FROM (SELECT kind, "
    "parked_reason IS NOT NULL AS parked, CASE WHEN parked_reason IS NULL THEN created_unix_ms END "
    "AS created FROM assent_outbox ORDER BY id LIMIT ?1)";
constexpr char kList[] =
    "SELECT id, gid, kind, coalesce(ordering_key, ''), length(request), coalesce(attempts, 0), "
    "created_unix_ms, first_attempt_unix_ms, due_unix_ms, coalesce(parked_reason, ''), "
    "coalesce(last_error, '') FROM assent_outbox ";
constexpr char kRetry[] =
    "UPDATE assent_outbox SET due_unix_ms = 0, attempts = 0, first_attempt_unix_ms = NULL, "
    "parked_reason = NULL WHERE gid = ?1";
constexpr char kDrop[] = "DELETE FROM assent_outbox WHERE gid = ?1";

milliseconds Since(std::int64_t then_ms, std::int64_t now_ms) {
  if (then_ms >= now_ms) return milliseconds(0);
  return milliseconds(std::max<std::int64_t>(0, now_ms - std::max<std::int64_t>(0, then_ms)));
}

class Table final : public OutboxTable {
 public:
  explicit Table(OutboxTableOptions options) : options_(std::move(options)) {}

  Result<Batch> Take(const TakeParams& params) override {
    if (Status s = Open(); !s.ok()) return s;
    // Nothing is locked while there is nothing to do.
    Batch batch;
    Result<std::vector<std::int64_t>> ids = Find(params, batch.is_full);
    if (!ids.ok()) return Failed(ids.status());
    if (ids->empty()) return batch;
    Status status = Begin();
    if (!status.ok()) return status;
    ids = Find(params, batch.is_full);
    status = ids.ok() ? Lease(*ids, params.lease, batch) : ids.status();
    status = End(std::move(status));
    if (!status.ok()) return status;
    return batch;
  }

  Status Settle(const std::vector<Settled>& rows) override {
    if (Status s = Open(); !s.ok()) return s;
    if (Status s = Begin(); !s.ok()) return s;
    const std::int64_t now = UnixMs();
    Status status;
    for (const Settled& row : rows) {
      if (!status.ok()) break;
      status = SettleOne(row, now);
    }
    return End(std::move(status));
  }

  Result<Counts> Count(std::size_t bound) override {
    if (Status s = Open(); !s.ok()) return s;
    Sentence count(file_.get(), kCount);
    count.Int(static_cast<std::int64_t>(bound));
    if (!count.Step()) return Failed(count.status());
    Counts counts;
    const std::int64_t all = count.IntAt(0);
    counts.parked = count.IntAt(1);
    counts.unknown = count.IntAt(2);
    counts.waiting = all - counts.parked;
    counts.is_more = all >= static_cast<std::int64_t>(bound);
    if (!count.IsNull(3)) counts.oldest_age = Since(count.IntAt(3), UnixMs());
    return counts;
  }

  void Listen(std::function<void()> /*news*/) override {}

  Result<std::vector<OutboxRow>> List(bool parked_only, std::size_t limit) override {
    if (Status s = Open(); !s.ok()) return s;
    const std::int64_t now = UnixMs();
    Sentence list(file_.get(), std::string(kList) +
                                   (parked_only ? "WHERE parked_reason IS NOT NULL " : "") +
                                   "ORDER BY id LIMIT ?1");
    list.Int(static_cast<std::int64_t>(limit));
    std::vector<OutboxRow> rows;
    while (list.Step()) {
      OutboxRow row;
      row.id = list.IntAt(0);
      row.gid = list.BytesAt(1);
      row.kind = list.IntAt(2);
      row.ordering_key = list.BytesAt(3);
      row.request_bytes = static_cast<std::size_t>(list.IntAt(4));
      row.attempts = list.IntAt(5);
      row.age = Since(list.IntAt(6), now);
      if (!list.IsNull(7)) row.first_attempt_ago = Since(list.IntAt(7), now);
      row.due_in = Since(now, list.IntAt(8));
      row.parked_reason = list.BytesAt(9);
      row.last_error = list.BytesAt(10);
      rows.push_back(std::move(row));
    }
    if (!list.status().ok()) return Failed(list.status());
    return rows;
  }

  Status Apply(const std::string& gid, Change change) override {
    if (Status s = Open(); !s.ok()) return s;
    Sentence apply(file_.get(), change == Change::kRetry ? kRetry : kDrop);
    Status status = apply.Text(gid).Finish();
    if (!status.ok()) return Failed(std::move(status));
    return sqlite3_changes(file_.get()) > 0 ? OkStatus() : NotFound("no row has the gid " + gid);
  }

 private:
  Status Open() {
    if (file_) return OkStatus();
    Result<File> file = internal::OpenFile(options_.path, options_.busy_timeout);
    if (!file.ok()) return file.status();
    file_ = std::move(*file);
    return OkStatus();
  }

  // The next call opens the file anew: it may be another one by now.
  Status Failed(Status status) {
    file_.reset();
    return WithHint(std::move(status));
  }

  Status Begin() {
    Status status = RunScript(file_.get(), "BEGIN IMMEDIATE");
    return status.ok() ? status : Failed(std::move(status));
  }

  Status End(Status status) {
    if (status.ok()) status = RunScript(file_.get(), "COMMIT");
    return status.ok() ? status : Failed(std::move(status));  // closing rolls back
  }

  // Ids of rows that are due. `is_full`: the wish was granted in full, or might be with more looks.
  Result<std::vector<std::int64_t>> Find(const TakeParams& params, bool& is_full) {
    const std::int64_t now = UnixMs();
    std::vector<std::int64_t> ids;
    const auto read = [&ids](Sentence& found) {
      while (found.Step()) ids.push_back(found.IntAt(0));
      return found.status();
    };
    const auto wanted = static_cast<std::int64_t>(params.max_plain_count);
    Sentence again(file_.get(), kFindAgain);
    Status status = read(again.Int(now).Int((wanted + 1) / 2));
    const auto found = static_cast<std::int64_t>(ids.size());
    is_full = found > 0 && found == (wanted + 1) / 2;
    Sentence fresh(file_.get(), kFindNew);
    if (status.ok()) status = read(fresh.Int(wanted - found));
    is_full = is_full || (wanted > 0 && static_cast<std::int64_t>(ids.size()) == wanted);
    if (status.ok()) status = FindHeads(params.max_keyed_count, now, ids, is_full);
    if (!status.ok()) return status;
    return ids;
  }

  Status FindHeads(std::size_t wanted, std::int64_t now, std::vector<std::int64_t>& ids,
                   bool& is_full) {
    if (wanted == 0) return OkStatus();
    Sentence heads(file_.get(), kFindHeads);
    const std::string from = from_key_;
    heads.Int(now).Text(from).Int(assent::limits::kMaxKeysPerTurnCount);
    std::size_t seen = 0;
    std::size_t taken = 0;
    while (taken < wanted && heads.Step()) {
      ++seen;
      next_key_ = heads.BytesAt(0);
      if (heads.IntAt(2) == 0) continue;
      ids.push_back(heads.IntAt(1));
      ++taken;
    }
    const bool more = taken == wanted || seen == assent::limits::kMaxKeysPerTurnCount;
    if (!more) next_key_.clear();
    is_full = is_full || (taken > 0 && (more || !from.empty()));
    if (taken == 0) from_key_ = next_key_;
    return heads.status();
  }

  Status Lease(const std::vector<std::int64_t>& ids, milliseconds lease, Batch& batch) {
    from_key_ = next_key_;
    const std::int64_t now = UnixMs();
    Sentence read(file_.get(), kRead);
    Sentence update(file_.get(), kLease);
    std::size_t bytes = 0;
    for (const std::int64_t id : ids) {
      read.Reset();
      if (!read.Int(id).Int(assent::limits::kMaxOutboxRequestBytes).Step()) return read.status();
      Taken row;
      row.id = id;
      row.gid = read.BytesAt(0);
      row.ordering_key = read.BytesAt(1);
      row.too_large = read.IntAt(2) != 0;
      row.request = read.BytesAt(3);
      row.attempts = read.IntAt(4);
      if (!read.IsNull(5)) row.first_attempt_ago = Since(read.IntAt(5), now);
      bytes += row.request.size();
      if (bytes > assent::limits::kMaxTurnBytes && !batch.rows.empty()) {
        batch.is_full = true;
        break;
      }
      update.Reset();
      if (Status s = update.Int(id).Int(now).Int(lease.count()).Finish(); !s.ok()) return s;
      batch.rows.push_back(std::move(row));
    }
    read.Reset();
    return read.status();
  }

  Status SettleOne(const Settled& row, std::int64_t now) {
    switch (row.what) {
      case Settled::What::kAnswered:
        return Sentence(file_.get(), kDelete).Int(row.id).Text(row.gid).Finish();
      case Settled::What::kLater:
        return Sentence(file_.get(), kLater)
            .Int(row.id)
            .Text(row.gid)
            .Int(now + row.due_in.count())
            .Text(row.words)
            .Int(row.never_handed_over ? 1 : 0)
            .Int(row.attempts)
            .Finish();
      case Settled::What::kParked:
        return Sentence(file_.get(), kPark)
            .Int(row.id)
            .Text(row.gid)
            .Int(kNever)
            .Text(row.words)
            .Int(row.attempts)
            .Finish();
    }
    return OkStatus();
  }

  const OutboxTableOptions options_;
  File file_;
  // Keys are walked in a circle: where the last turn began, and where the next one goes on.
  std::string from_key_;
  std::string next_key_;
};

}  // namespace

std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options) {
  return std::make_unique<Table>(std::move(options));
}

}  // namespace assent::sqlite
