// A relay's side of the table in PostgreSQL: SQL alone.

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <assent/outbox_postgresql.h>

#include "participant-sdk/cpp/outbox/publish.h"
#include "participant-sdk/cpp/postgresql/connection.h"
#include "participant-sdk/cpp/postgresql/outbox_listener.h"
#include "participant-sdk/cpp/server/outbox_rows.h"

namespace assent::postgresql {

namespace outbox = assent::internal::outbox;

namespace {

using internal::Answer;
using internal::Connection;
using internal::Param;
using std::chrono::milliseconds;

constexpr std::string_view kNoSuchTable = "42P01";

#define ASSENT_NOW "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
#define ASSENT_TAKEABLE "kind = 1 AND parked_reason IS NULL AND due_unix_ms "

// By index, however little the server knows of the table's size: it may grow between two looks of
// its statistics from nothing to a hundred thousand rows.
constexpr char kFirstWords[] =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";

// Those that are tried again come after as many that are new, or a stream of new ones would keep
// them waiting for ever.
constexpr char kFindAgain[] =
    "SELECT id, octet_length(request) FROM assent_outbox WHERE ordering_key IS NULL "
    "AND " ASSENT_TAKEABLE "BETWEEN 1 AND " ASSENT_NOW
    " ORDER BY due_unix_ms, id LIMIT $1::bigint FOR UPDATE SKIP LOCKED";
constexpr char kFindNew[] =
    "SELECT id, octet_length(request) FROM assent_outbox WHERE ordering_key IS NULL "
    "AND " ASSENT_TAKEABLE "<= 0 ORDER BY due_unix_ms, id LIMIT $1::bigint FOR UPDATE SKIP LOCKED";
// From key to key, and of each its oldest row: by index, whatever lies behind.
constexpr char kFindHeads[] =
    "WITH RECURSIVE k(key, n) AS ((SELECT ordering_key, 1 FROM assent_outbox "
    "WHERE ordering_key > $1 ORDER BY ordering_key LIMIT 1) UNION ALL "
    "SELECT (SELECT o.ordering_key FROM assent_outbox o WHERE o.ordering_key > k.key "
    "ORDER BY o.ordering_key LIMIT 1), n + 1 FROM k WHERE k.key IS NOT NULL AND n < $2::int) "
    "SELECT k.key, h.id, h.takeable, h.bytes FROM k CROSS JOIN LATERAL (SELECT o.id, "
    "octet_length(o.request) AS bytes, " ASSENT_TAKEABLE "<= " ASSENT_NOW
    " AS takeable FROM assent_outbox o WHERE o.ordering_key = k.key ORDER BY o.id LIMIT 1) h "
    "WHERE k.key IS NOT NULL ORDER BY k.n";
constexpr char kLease[] =
    "UPDATE assent_outbox t SET due_unix_ms = " ASSENT_NOW
    " + $2::bigint, attempts = least(coalesce(t.attempts, 0), 999999999) + 1, "
    "first_attempt_unix_ms = "
    "coalesce(t.first_attempt_unix_ms, " ASSENT_NOW
    ") FROM (SELECT id, first_attempt_unix_ms AS first FROM assent_outbox WHERE id = "
    "ANY($1::bigint[]) AND " ASSENT_TAKEABLE "<= " ASSENT_NOW
    " FOR UPDATE SKIP LOCKED) was WHERE t.id = was.id RETURNING t.id, t.gid, "
    "coalesce(t.ordering_key, ''), octet_length(t.request) > $3::int, CASE WHEN "
    "octet_length(t.request) > $3::int THEN '' ELSE t.request END, t.attempts, " ASSENT_NOW
    " - CASE WHEN was.first < 0 THEN 0 ELSE was.first END";
constexpr char kDelete[] =
    "DELETE FROM assent_outbox o USING unnest($1::bigint[], $2::text[]) AS d(id, gid) "
    "WHERE o.id = d.id AND o.gid = d.gid";
constexpr char kLater[] =
    "UPDATE assent_outbox o SET due_unix_ms = " ASSENT_NOW
    " + d.due_in, last_error = d.words, first_attempt_unix_ms = CASE d.never WHEN 1 THEN NULL "
    "ELSE o.first_attempt_unix_ms END FROM unnest($1::bigint[], $2::text[], $3::bigint[], "
    "$4::text[], $5::int[], $6::int[]) AS d(id, gid, due_in, words, never, attempts) WHERE o.id = "
    "d.id "
    "AND o.gid = d.gid AND o.attempts = d.attempts AND o.parked_reason IS NULL";
constexpr char kPark[] =
    "UPDATE assent_outbox o SET due_unix_ms = 9223372036854775807, parked_reason = d.words "
    "FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[]) AS d(id, gid, words, attempts) "
    "WHERE o.id = d.id AND o.gid = d.gid AND o.attempts = d.attempts";
constexpr char kCount[] =
    "SELECT count(*), count(parked_reason), count(*) FILTER (WHERE kind <> 1), " ASSENT_NOW
    " - min(greatest(created_unix_ms, 0)) FILTER (WHERE parked_reason IS NULL) FROM (SELECT kind, "
    "parked_reason, created_unix_ms FROM assent_outbox ORDER BY id LIMIT $1::bigint) rows";
constexpr char kList[] =
    "SELECT id, gid, kind, coalesce(ordering_key, ''), octet_length(request), "
    "coalesce(attempts, 0), " ASSENT_NOW " - greatest(created_unix_ms, 0), " ASSENT_NOW
    " - CASE WHEN first_attempt_unix_ms < 0 THEN 0 ELSE first_attempt_unix_ms END, "
    "greatest(due_unix_ms, " ASSENT_NOW ") - " ASSENT_NOW
    ", coalesce(parked_reason, ''), coalesce(last_error, '') FROM assent_outbox WHERE "
    "parked_reason IS NOT NULL OR $1::int = 0 ORDER BY id LIMIT $2::bigint";
constexpr char kRetry[] =
    "UPDATE assent_outbox SET due_unix_ms = 0, attempts = 0, first_attempt_unix_ms = NULL, "
    "parked_reason = NULL WHERE gid = $1";
constexpr char kDrop[] = "DELETE FROM assent_outbox WHERE gid = $1";

// The rows of one kind, as columns.
struct Columns {
  std::vector<std::int64_t> ids;
  std::vector<std::string_view> gids;
  std::vector<std::int64_t> due_in;
  std::vector<std::string_view> words;
  std::vector<std::int64_t> never;
  std::vector<std::int64_t> attempts;
};

class Table final : public OutboxTable {
 public:
  explicit Table(OutboxTableOptions options) : options_(std::move(options)) {}

  Result<Batch> Take(const TakeParams& params) override {
    if (Status s = Open(); !s.ok()) return s;
    const auto wanted = static_cast<std::int64_t>(params.max_plain_count);
    const std::int64_t again = (wanted + 1) / 2;
    connection_->Add("BEGIN");
    connection_->Add(kFindAgain, {Param::Int(again)});
    connection_->Add(kFindNew, {Param::Int(wanted)});
    connection_->Add(kFindHeads, {Param::Text(keys_.from()), Param::Int(KeysWanted(params))});
    const std::vector<Answer> found = connection_->QueryLast(3);
    for (const Answer& answer : found) {
      if (!answer.ok()) return Failed(answer);
    }
    Batch batch;
    batch.is_full = found[0].table.rows() > 0 && found[0].table.rows() == again;
    outbox::Choice choice;
    for (const Answer* answer : {&found[0], &found[1]})
      choice.AddUpTo(params.max_plain_count, answer->table);
    batch.is_full = batch.is_full || (wanted > 0 && choice.ids.size() == params.max_plain_count);
    keys_.Choose(found[2].table, params.max_keyed_count, choice, batch);
    batch.is_full = batch.is_full || choice.is_cut;
    if (Status s = Lease(choice, params.lease, batch); !s.ok()) return s;
    return batch;
  }

  Status Settle(const std::vector<Settled>& rows) override {
    if (Status s = Open(); !s.ok()) return s;
    std::map<Settled::What, Columns> by_what;
    for (const Settled& row : rows) {
      Columns& columns = by_what[row.what];
      columns.ids.push_back(row.id);
      columns.gids.push_back(row.gid);
      columns.due_in.push_back(row.due_in.count());
      columns.words.push_back(row.words);
      columns.never.push_back(row.never_handed_over ? 1 : 0);
      columns.attempts.push_back(row.attempts);
    }
    connection_->Add("BEGIN");
    for (const auto& [what, columns] : by_what) AddSettle(what, columns);
    const Answer committed = connection_->Query("COMMIT");
    return committed.ok() ? OkStatus() : Failed(committed);
  }

  Result<Counts> Count(std::size_t bound) override {
    if (Status s = Open(); !s.ok()) return s;
    const Answer answer =
        connection_->Query(kCount, {Param::Int(static_cast<std::int64_t>(bound))});
    if (!answer.ok()) return Failed(answer);
    return outbox::CountsOf(answer.table, bound);
  }

  void Listen(std::function<void()> news) override {
    listener_ = std::make_unique<internal::OutboxListener>(options_.connection, std::move(news));
  }

  Result<std::vector<OutboxRow>> List(bool parked_only, std::size_t limit) override {
    if (Status s = Open(); !s.ok()) return s;
    const Answer answer = connection_->Query(
        kList, {Param::Int(parked_only ? 1 : 0), Param::Int(static_cast<std::int64_t>(limit))});
    if (!answer.ok()) return Failed(answer);
    return outbox::RowsOf(answer.table);
  }

  Status Apply(const std::string& gid, Change change) override {
    if (Status s = Open(); !s.ok()) return s;
    const Answer answer =
        connection_->Query(change == Change::kRetry ? kRetry : kDrop, {Param::Text(gid)});
    if (!answer.ok()) return Failed(answer);
    return answer.table.changed() > 0 ? OkStatus() : NotFound("no row has the gid " + gid);
  }

 private:
  static std::int64_t KeysWanted(const TakeParams& params) {
    return params.max_keyed_count == 0
               ? 1
               : static_cast<std::int64_t>(assent::limits::kMaxKeysPerTurnCount);
  }

  Status Open() {
    if (connection_ && !connection_->broken()) return OkStatus();
    connection_.reset();
    auto opened = Connection::Open({.connection = options_.connection,
                                    .lock_timeout = options_.lock_timeout,
                                    .statement_timeout = options_.statement_timeout,
                                    .answer_within = options_.answer_within,
                                    .connect_timeout = options_.connect_timeout});
    if (!opened.ok()) return opened.status();
    connection_ = std::move(*opened);
    const Answer answer = connection_->Run(kFirstWords);
    return answer.ok() ? OkStatus() : Failed(answer);
  }

  // The next call connects anew, which rolls back what is open.
  Status Failed(const Answer& answer) {
    connection_.reset();
    if (answer.sqlstate == kNoSuchTable) return outbox::NoTable(answer.message);
    return answer.status();
  }

  Status Lease(const outbox::Choice& choice, milliseconds lease, Batch& batch) {
    if (choice.ids.empty()) {
      const Answer ended = connection_->Query("COMMIT");
      return ended.ok() ? OkStatus() : Failed(ended);
    }
    connection_->Add(
        kLease, {Param::Ints(choice.ids), Param::Int(lease.count()),
                 Param::Int(static_cast<std::int64_t>(assent::limits::kMaxOutboxRequestBytes))});
    connection_->Add("COMMIT");
    const std::vector<Answer> answers = connection_->QueryLast(2);
    for (const Answer& answer : answers) {
      if (!answer.ok()) return Failed(answer);
    }
    const internal::Table& table = answers[0].table;
    std::map<std::int64_t, Taken> by_id;
    for (int i = 0; i < table.rows(); ++i) {
      by_id.emplace(table.Int(i, 0), outbox::TakenAt(table, i));
    }
    for (const std::int64_t id : choice.ids) {
      const auto at = by_id.find(id);
      if (at != by_id.end()) batch.rows.push_back(std::move(at->second));
    }
    return OkStatus();
  }

  void AddSettle(Settled::What what, const Columns& rows) {
    Param ids = Param::Ints(rows.ids);
    Param gids = Param::Texts(rows.gids);
    switch (what) {
      case Settled::What::kAnswered:
        return connection_->Add(kDelete, {std::move(ids), std::move(gids)});
      case Settled::What::kLater:
        return connection_->Add(kLater, {std::move(ids), std::move(gids), Param::Ints(rows.due_in),
                                         Param::Texts(rows.words), Param::Ints(rows.never),
                                         Param::Ints(rows.attempts)});
      case Settled::What::kParked:
        return connection_->Add(kPark, {std::move(ids), std::move(gids), Param::Texts(rows.words),
                                        Param::Ints(rows.attempts)});
    }
  }

  const OutboxTableOptions options_;
  std::unique_ptr<Connection> connection_;
  outbox::KeyWalk keys_;
  std::unique_ptr<internal::OutboxListener> listener_;
};

}  // namespace

std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options) {
  return std::make_unique<Table>(std::move(options));
}

}  // namespace assent::postgresql
