#include "coordinator/audit/postgres_store.h"

#include <utility>

namespace assent::audit {
namespace {

using log::Answer;
using log::Connection;
using log::Params;
using log::Rows;

// `code` is null while it is not known what came of it.
constexpr const char* kCreateSql = R"sql(
CREATE TABLE IF NOT EXISTS audit (
  at_ms bigint NOT NULL, epoch bigint NOT NULL, number bigint NOT NULL,
  node text NOT NULL, verb text NOT NULL, gid text COLLATE "C" NOT NULL, branch text NOT NULL,
  detail text NOT NULL, who text NOT NULL, reason text NOT NULL, address text NOT NULL,
  was text NOT NULL, code bigint, said text NOT NULL,
  PRIMARY KEY (at_ms, epoch, number));
CREATE INDEX IF NOT EXISTS audit_by_gid ON audit (gid, at_ms, epoch, number)
)sql";
constexpr const char* kInsertSql =
    "INSERT INTO audit SELECT $1::bigint, $2::bigint, $3::bigint, $4::text, $5::text, $6::text,"
    " $7::text, $8::text, $9::text, $10::text, $11::text, '', NULL, ''"
    " WHERE NOT EXISTS (SELECT 1 FROM audit"
    " WHERE at_ms = $1::bigint AND epoch = $2::bigint AND number = $3::bigint)";
constexpr const char* kEndSql =
    "UPDATE audit SET was = $4::text, code = $5::bigint, said = $6::text"
    " WHERE at_ms = $1::bigint AND epoch = $2::bigint AND number = $3::bigint";
constexpr const char* kRemoveSql =
    "DELETE FROM audit WHERE at_ms = $1::bigint AND epoch = $2::bigint AND number = $3::bigint";
constexpr const char* kRetireSql =
    "DELETE FROM audit WHERE (at_ms, epoch, number) <= (SELECT at_ms, epoch, number FROM audit"
    " ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT 1 OFFSET $1::bigint)";
constexpr const char* kReadSql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit WHERE (at_ms, epoch, number) < ($1::bigint, $2::bigint, $3::bigint)"
    " AND at_ms >= $4::bigint ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT $5::bigint";
constexpr const char* kReadOfGidSql =
    "SELECT at_ms, epoch, number, node, verb, gid, branch, detail, who, reason, address, was, code,"
    " said FROM audit WHERE (at_ms, epoch, number) < ($1::bigint, $2::bigint, $3::bigint)"
    " AND at_ms >= $4::bigint AND gid = $6::text"
    " ORDER BY at_ms DESC, epoch DESC, number DESC LIMIT $5::bigint";

constexpr const char* kUndefinedTable = "42P01";

Params ParamsOf(const EntryId& id) {
  return Params().Int(id.at_unix_ms).Int(Signed(id.epoch)).Int(Signed(id.number));
}

Entry EntryOf(const Rows& rows, int row) {
  const auto text = [&](int column) { return rows.Text(row, column); };
  return {.id = {rows.Int(row, 0), rows.Unsigned(row, 1), rows.Unsigned(row, 2)},
          .node = text(3),
          .deed = {text(4), text(5), text(6), text(7), text(8), text(9), text(10)},
          .ended = !rows.IsNull(row, 12),
          .before = text(11),
          .code = static_cast<Code>(rows.Int(row, 12)),
          .said = text(13)};
}

class PostgresStore final : public Store {
 public:
  explicit PostgresStore(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  // Made by whoever comes first, also in a schema that is older than the record.
  Status Open() {
    Answer there = connection_->Run("SELECT 1 FROM audit LIMIT 0");
    if (there.sqlstate == kUndefinedTable) there = connection_->Run(kCreateSql);
    // Somebody else was making it.
    if (!there.ok() && there.verdict == log::Verdict::kRefused)
      there = connection_->Run("SELECT 1 FROM audit LIMIT 0");
    if (!there.ok()) return Failure(there);
    connection_->AddPrepare("audit_insert", kInsertSql);
    connection_->AddPrepare("audit_end", kEndSql);
    connection_->AddPrepare("audit_remove", kRemoveSql);
    return Exchange();
  }

  Status Write(const std::vector<Entry>& begun, const std::vector<Ending>& ended) override {
    for (const Entry& entry : begun) AddInsert(entry);
    for (const Ending& ending : ended) AddEnding(ending);
    return Exchange();
  }

  Result<std::vector<Entry>> Read(const Query& query) override {
    Params params = ParamsOf(query.before);
    params.Int(query.since_unix_ms).Int(std::uint64_t{query.max_rows});
    if (!query.gid.empty()) params.Bytes(query.gid);
    const Answer answer = connection_->Query(query.gid.empty() ? kReadSql : kReadOfGidSql, params);
    if (!answer.ok()) return Failure(answer);
    std::vector<Entry> entries;
    for (int row = 0; row < answer.rows.size(); ++row) entries.push_back(EntryOf(answer.rows, row));
    return entries;
  }

  Status Retire(std::size_t kept) override {
    const Answer answer = connection_->Query(kRetireSql, Params().Int(std::uint64_t{kept}));
    return answer.ok() ? OkStatus() : Failure(answer);
  }

 private:
  Status Exchange() {
    for (const Answer& answer : connection_->Exchange()) {
      if (!answer.ok()) return Failure(answer);
    }
    std::string words;  // what comes with a warning may not be where it has to be
    if (connection_->TakeWarning(words)) return Unavailable(connection_->place() + ": " + words);
    return OkStatus();
  }
  void AddInsert(const Entry& entry) {
    const Deed& deed = entry.deed;
    connection_->Add("audit_insert", ParamsOf(entry.id)
                                         .Bytes(entry.node)
                                         .Bytes(deed.verb)
                                         .Bytes(deed.gid)
                                         .Bytes(deed.branch_id)
                                         .Bytes(deed.detail)
                                         .Bytes(deed.who)
                                         .Bytes(deed.reason)
                                         .Bytes(deed.address));
  }
  void AddEnding(const Ending& ending) {
    if (ending.elsewhere) return connection_->Add("audit_remove", ParamsOf(ending.id));
    connection_->Add("audit_end", ParamsOf(ending.id)
                                      .Bytes(ending.before)
                                      .Int(std::int64_t{static_cast<std::uint8_t>(ending.code)})
                                      .Bytes(ending.said));
  }
  Status Failure(const Answer& answer) const {
    if (answer.sqlstate == kUndefinedTable)
      return DataLoss(connection_->place() + ": table audit was dropped, with what was in it");
    return Unavailable(answer.status(connection_->place()).message());
  }

  std::unique_ptr<Connection> connection_;
};

}  // namespace

OpenStore InPostgres(log::ConnectionOptions options) {
  return [options = std::move(options)]() -> Result<std::unique_ptr<Store>> {
    auto connection = Connection::Open(options);
    if (!connection.ok()) return Unavailable(connection.status().message());
    auto store = std::make_unique<PostgresStore>(std::move(connection).value());
    if (const Status opened = store->Open(); !opened.ok()) return opened;
    return std::unique_ptr<Store>(std::move(store));
  };
}

}  // namespace assent::audit
