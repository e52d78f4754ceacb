// A relay's side of the table in MariaDB: SQL alone.

#include <algorithm>
#include <utility>
#include <vector>

#include <assent/outbox_mariadb.h>

#include "participant-sdk/cpp/mariadb/connection.h"
#include "participant-sdk/cpp/outbox/publish.h"
#include "participant-sdk/cpp/server/outbox_rows.h"

namespace assent::mariadb {

namespace outbox = assent::internal::outbox;

namespace {

using internal::Answer;
using internal::Connection;
using internal::HexOf;
using std::chrono::milliseconds;

constexpr unsigned kNoSuchTable = 1146;
// SKIP LOCKED, as major * 100 + minor.
constexpr std::int64_t kSkipsLocked = 1006;

// Of no time zone, whose clock may go back.
#define ASSENT_NOW "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000"
// The column has room for them, whatever somebody has written there.
#define ASSENT_ATTEMPTS "LEAST(attempts, 999999999) + 1"
#define ASSENT_TAKEABLE "kind = 1 AND parked_reason IS NULL AND due_unix_ms "

constexpr char kFindPlain[] =
    "SELECT id, LENGTH(request) FROM assent_outbox FORCE INDEX(assent_outbox_due) WHERE "
    "ordering_key IS NULL AND " ASSENT_TAKEABLE;
// Those that are tried again come after as many that are new, or a stream of new ones would keep
// them waiting for ever.
constexpr char kAgain[] = "BETWEEN 1 AND " ASSENT_NOW;
constexpr char kNew[] = "<= 0";
constexpr char kInOrder[] = " ORDER BY due_unix_ms, id LIMIT ";
// The oldest row of each key: by a loose scan of the index, whatever lies behind.
constexpr char kFindHeads[] =
    "SELECT h.k, o.id, " ASSENT_TAKEABLE "<= " ASSENT_NOW
    ", LENGTH(o.request) FROM (SELECT ordering_key AS k, MIN(id) AS id FROM assent_outbox "
    "FORCE INDEX(assent_outbox_key) WHERE ordering_key > ";
constexpr char kOfHeads[] =
    " GROUP BY ordering_key ORDER BY ordering_key LIMIT 1024) h JOIN assent_outbox o ON o.id = "
    "h.id ORDER BY h.k";
static_assert(assent::limits::kMaxKeysPerTurnCount == 1024);
constexpr char kRead[] = "SELECT id, gid, IFNULL(ordering_key, ''), LENGTH(request) > ";
constexpr char kReadMore[] = ", " ASSENT_ATTEMPTS ", " ASSENT_NOW
                             " - IF(first_attempt_unix_ms < 0, 0, first_attempt_unix_ms) FROM "
                             "assent_outbox WHERE " ASSENT_TAKEABLE "<= " ASSENT_NOW " AND id IN ";
constexpr char kLease[] =
    "UPDATE assent_outbox SET first_attempt_unix_ms = "
    "IFNULL(first_attempt_unix_ms, " ASSENT_NOW "), attempts = " ASSENT_ATTEMPTS
    ", due_unix_ms = " ASSENT_NOW " + ";
constexpr char kCount[] =
    "SELECT COUNT(*), COUNT(parked), SUM(kind <> 1), " ASSENT_NOW
    " - MIN(IF(parked IS NULL, GREATEST(created_unix_ms, 0), NULL)) FROM (SELECT kind, "
    "created_unix_ms, "
    "IF(parked_reason IS NULL, NULL, 1) AS parked FROM assent_outbox ORDER BY id LIMIT ";
constexpr char kList[] =
    "SELECT id, gid, kind, IFNULL(ordering_key, ''), LENGTH(request), attempts, " ASSENT_NOW
    " - GREATEST(created_unix_ms, 0), " ASSENT_NOW
    " - IF(first_attempt_unix_ms < 0, 0, first_attempt_unix_ms), GREATEST(due_unix_ms, " ASSENT_NOW
    ") - (" ASSENT_NOW
    "), IFNULL(parked_reason, ''), IFNULL(last_error, '') "
    "FROM assent_outbox ";
constexpr char kRetry[] =
    "UPDATE assent_outbox SET due_unix_ms = 0, attempts = 0, first_attempt_unix_ms = NULL, "
    "parked_reason = NULL WHERE gid = ";
constexpr char kDrop[] = "DELETE FROM assent_outbox WHERE gid = ";

// Of plain words the index is used.
std::string NameOf(const std::string& gid) {
  const bool plain = std::all_of(gid.begin(), gid.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
  });
  return plain ? internal::Quoted(gid) : HexOf(gid);
}

std::string ListOf(const std::vector<std::int64_t>& ids) {
  std::string list;
  for (const std::int64_t id : ids) list += (list.empty() ? "(" : ", ") + std::to_string(id);
  return list + ")";
}

class Table final : public OutboxTable {
 public:
  explicit Table(OutboxTableOptions options) : options_(std::move(options)) {}

  Result<Batch> Take(const TakeParams& params) override {
    if (Status s = Open(); !s.ok()) return s;
    const std::size_t again = (params.max_plain_count + 1) / 2;
    connection_->Add("START TRANSACTION");
    AddFind(kAgain, again);
    AddFind(kNew, params.max_plain_count);
    if (params.max_keyed_count > 0)
      connection_->Add(kFindHeads + internal::HexTextOf(keys_.from()) + kOfHeads);
    const std::vector<Answer> found = connection_->ExchangeLast(params.max_keyed_count > 0 ? 3 : 2);
    for (const Answer& answer : found) {
      if (!answer.ok()) return Failed(answer);
    }
    Batch batch;
    outbox::Choice choice;
    for (const int which : {0, 1})
      choice.AddUpTo(params.max_plain_count, found[static_cast<std::size_t>(which)].table);
    const auto tried_again = static_cast<std::size_t>(found[0].table.rows());
    batch.is_full = (tried_again > 0 && tried_again == again) ||
                    (params.max_plain_count > 0 && choice.ids.size() == params.max_plain_count);
    if (found.size() == 3) keys_.Choose(found[2].table, params.max_keyed_count, choice, batch);
    batch.is_full = batch.is_full || choice.is_cut;
    if (Status s = Lease(choice.ids, params.lease, batch); !s.ok()) return s;
    return batch;
  }

  Status Settle(const std::vector<Settled>& rows) override {
    if (Status s = Open(); !s.ok()) return s;
    connection_->Add("START TRANSACTION");
    std::vector<std::int64_t> answered;
    std::string gids;
    for (const Settled& row : rows) {
      if (row.what != Settled::What::kAnswered) {
        connection_->Add(Update(row));
        continue;
      }
      answered.push_back(row.id);
      gids += (gids.empty() ? "(" : ", ") + HexOf(row.gid);
    }
    if (!answered.empty()) {
      connection_->Add("DELETE FROM assent_outbox WHERE id IN " + ListOf(answered) +
                       " AND gid IN " + gids + ")");
    }
    connection_->Add("COMMIT");
    const Answer committed = std::move(connection_->ExchangeLast(1).front());
    return committed.ok() ? OkStatus() : Failed(committed);
  }

  Result<Counts> Count(std::size_t bound) override {
    const Result<Answer> answer = Ask(kCount + std::to_string(bound) + ") r");
    if (!answer.ok()) return answer.status();
    return outbox::CountsOf(answer->table, bound);
  }

  void Listen(std::function<void()> /*news*/) override {}

  Result<std::vector<OutboxRow>> List(bool parked_only, std::size_t limit) override {
    const Result<Answer> answer =
        Ask(std::string(kList) + (parked_only ? "WHERE parked_reason IS NOT NULL " : "") +
            "ORDER BY id LIMIT " + std::to_string(limit));
    if (!answer.ok()) return answer.status();
    return outbox::RowsOf(answer->table);
  }

  Status Apply(const std::string& gid, Change change) override {
    const Result<Answer> answer = Ask((change == Change::kRetry ? kRetry : kDrop) + NameOf(gid));
    if (!answer.ok()) return answer.status();
    return answer->table.changed() > 0 ? OkStatus() : NotFound("no row has the gid " + gid);
  }

 private:
  Status Open() {
    if (connection_ && !connection_->broken() && !connection_->IsStale()) return OkStatus();
    connection_.reset();
    auto opened = Connection::Open({.server = options_.server,
                                    .lock_timeout = options_.lock_timeout,
                                    .statement_timeout = options_.statement_timeout,
                                    .answer_within = options_.answer_within,
                                    .connect_timeout = options_.connect_timeout});
    if (!opened.ok()) return opened.status();
    connection_ = std::move(*opened);
    const Answer version = connection_->Run(
        "SELECT SUBSTRING_INDEX(VERSION(), '.', 1) * 100 + "
        "SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1)");
    if (!version.ok()) return Failed(version);
    skip_locked_ =
        version.table.Int(0, 0) >= kSkipsLocked ? " FOR UPDATE SKIP LOCKED" : " FOR UPDATE";
    return OkStatus();
  }

  // The next call connects anew, which rolls back what is open.
  Status Failed(const Answer& answer) {
    connection_.reset();
    if (answer.number == kNoSuchTable) return outbox::NoTable(answer.message);
    return answer.status();
  }

  Result<Answer> Ask(const std::string& sql) {
    if (Status s = Open(); !s.ok()) return s;
    Answer answer = connection_->Run(sql);
    if (!answer.ok()) return Failed(answer);
    return answer;
  }

  void AddFind(const char* due, std::size_t limit) {
    connection_->Add(std::string(kFindPlain) + due + kInOrder + std::to_string(limit) +
                     skip_locked_);
  }

  Status Lease(const std::vector<std::int64_t>& ids, milliseconds lease, Batch& batch) {
    if (!ids.empty()) {
      const std::string most = std::to_string(assent::limits::kMaxOutboxRequestBytes);
      connection_->Add(kRead + most + ", IF(LENGTH(request) > " + most + ", '', request)" +
                       kReadMore + ListOf(ids) + " ORDER BY id" + skip_locked_);
      const Answer answer = std::move(connection_->ExchangeLast(1).front());
      if (!answer.ok()) return Failed(answer);
      for (int i = 0; i < answer.table.rows(); ++i)
        batch.rows.push_back(outbox::TakenAt(answer.table, i));
    }
    std::vector<std::int64_t> taken;
    for (const Taken& row : batch.rows) taken.push_back(row.id);
    if (!taken.empty()) {
      connection_->Add(kLease + std::to_string(lease.count()) + " WHERE id IN " + ListOf(taken));
    }
    connection_->Add("COMMIT");
    const Answer committed = std::move(connection_->ExchangeLast(1).front());
    return committed.ok() ? OkStatus() : Failed(committed);
  }

  static std::string Update(const Settled& row) {
    const std::string which = " WHERE id = " + std::to_string(row.id) +
                              " AND gid = " + HexOf(row.gid) +
                              " AND attempts = " + std::to_string(row.attempts);
    const std::string words = internal::HexTextOf(row.words);
    if (row.what == Settled::What::kParked) {
      return "UPDATE assent_outbox SET due_unix_ms = 9223372036854775807, parked_reason = " +
             words + which;
    }
    return "UPDATE assent_outbox SET due_unix_ms = " ASSENT_NOW " + " +
           std::to_string(row.due_in.count()) + ", last_error = " + words +
           (row.never_handed_over ? ", first_attempt_unix_ms = NULL" : "") + which +
           " AND parked_reason IS NULL";
  }

  const OutboxTableOptions options_;
  std::unique_ptr<Connection> connection_;
  const char* skip_locked_ = "";
  outbox::KeyWalk keys_;
};

}  // namespace

std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options) {
  return std::make_unique<Table>(std::move(options));
}

}  // namespace assent::mariadb
