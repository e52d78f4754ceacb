#include "coordinator/audit/postgres_store.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "coordinator/audit/postgres_rows.h"

namespace assent::audit {
namespace {

using log::Answer;
using log::Connection;
using log::Params;

class PostgresStore final : public Store {
 public:
  PostgresStore(std::unique_ptr<Connection> connection, std::uint64_t epoch)
      : connection_(std::move(connection)), epoch_(epoch) {}

  // Made by whoever comes first, also in a schema that is older than the record.
  Status Open() {
    Answer there = connection_->Run("SELECT 1 FROM audit_rows LIMIT 0");
    if (there.sqlstate == kUndefinedTable) there = connection_->Run(kCreateSql);
    // Somebody else was making it.
    if (!there.ok() && there.verdict == log::Verdict::kRefused)
      there = connection_->Run("SELECT 1 FROM audit_rows LIMIT 0");
    if (!there.ok()) return Failure(there);
    connection_->AddPrepare("audit_insert", kInsertSql);
    connection_->AddPrepare("audit_retire", kRetireSql);
    if (Status status = Exchange(); !status.ok()) return status;
    return TakeOverFormat1();
  }

  Status Append(std::vector<Row>& rows) override {
    std::map<std::string, Head> heads = heads_;
    for (Row& row : rows) {
      // What was sent before the connection was lost may be there.
      if (!begun_) {
        const Result<bool> there = IsThere(row);
        if (!there.ok()) return there.status();
        if (*there) continue;
      }
      if (Status status = Add(row, heads); !status.ok()) return status;
    }
    if (Status status = Exchange(); !status.ok()) return status;
    heads_ = std::move(heads);
    begun_ = true;
    return OkStatus();
  }

  Result<std::vector<Entry>> Read(const Query& query) override {
    Params params;
    params.Int(query.before.at_unix_ms)
        .Int(Signed(query.before.epoch))
        .Int(Signed(query.before.number))
        .Int(query.since_unix_ms)
        .Int(std::uint64_t{query.max_rows});
    if (!query.gid.empty()) params.Bytes(query.gid);
    const Answer answer = connection_->Query(EntriesSql(query), params);
    if (!answer.ok()) return Failure(answer);
    std::vector<Entry> entries;
    for (int row = 0; row < answer.rows.size(); ++row) entries.push_back(EntryOf(answer.rows, row));
    return entries;
  }

  Result<std::vector<Span>> Chains(const std::string& after, std::size_t max) override {
    const Answer answer =
        connection_->Query(kChainsSql, Params().Bytes(after).Int(std::uint64_t{max}));
    if (!answer.ok()) return Failure(answer);
    std::vector<Span> spans;
    for (int row = 0; row < answer.rows.size(); ++row) {
      spans.push_back({.chain = answer.rows.Text(row, 0),
                       .first = answer.rows.Unsigned(row, 1),
                       .last = answer.rows.Unsigned(row, 2),
                       .last_hash = answer.rows.Text(row, 3)});
    }
    return spans;
  }

  Result<std::vector<Row>> Rows(const std::string& chain, std::uint64_t after,
                                std::size_t max) override {
    const Answer answer = connection_->Query(
        kRowsSql, Params().Bytes(chain).Int(Signed(after)).Int(std::uint64_t{max}));
    if (!answer.ok()) return Failure(answer);
    std::vector<Row> rows;
    for (int i = 0; i < answer.rows.size(); ++i) {
      auto row = RowOf(answer.rows, i);
      if (!row.ok()) return row.status();
      rows.push_back(*std::move(row));
    }
    return rows;
  }

  // The chains whose oldest is the oldest come first; the last row of each stays, which the next
  // one of its coordinator goes behind.
  Status Retire(std::string_view kind, std::size_t kept, std::int64_t now_unix_ms) override {
    const std::string prefix = std::string(kind) + "-";
    const Answer answer =
        connection_->Query(kAgesSql, Params().Bytes(prefix).Int(std::uint64_t{prefix.size()}));
    if (!answer.ok()) return Failure(answer);
    std::uint64_t rows = 0;
    for (int i = 0; i < answer.rows.size(); ++i)
      rows += answer.rows.Unsigned(i, 2) - answer.rows.Unsigned(i, 1) + 1;
    for (int i = 0; i < answer.rows.size() && rows > kept; ++i) {
      const std::uint64_t first = answer.rows.Unsigned(i, 1);
      const std::uint64_t removed =
          std::min<std::uint64_t>(rows - kept, answer.rows.Unsigned(i, 2) - first);
      if (removed == 0) continue;
      rows -= removed;
      const Status status =
          RetireOf(kind, answer.rows.Text(i, 0), first + removed - 1, now_unix_ms);
      if (!status.ok()) return status;
    }
    return OkStatus();
  }

  Status TryToWrite() override {
    const Answer answer = connection_->Query(kTrySql, Params().Int(++tries_));
    return answer.ok() ? OkStatus() : Failure(answer);
  }

 private:
  std::string OwnChain(std::string_view kind) const {
    return std::string(kind) + "-" + std::to_string(epoch_);
  }

  Result<bool> IsThere(const Row& row) {
    const Answer answer = connection_->Query(kIsThereSql, Params()
                                                              .Int(row.about.at_unix_ms)
                                                              .Int(Signed(row.about.epoch))
                                                              .Int(Signed(row.about.number))
                                                              .Bytes(NameOf(row.kind)));
    if (!answer.ok()) return Failure(answer);
    return answer.rows.size() > 0;
  }

  // Into the next message.
  Status Add(Row& row, std::map<std::string, Head>& heads) {
    const std::string kind = row.chain;
    if (heads.count(kind) == 0) {
      if (Status status = ReadHead(kind, row.at_unix_ms, heads[kind]); !status.ok()) {
        heads.erase(kind);
        return status;
      }
    }
    Seal(OwnChain(kind), row, heads[kind]);
    connection_->Add("audit_insert", ParamsOf(row));
    return OkStatus();
  }

  // A chain that is begun names the one before it, so that none is removed whole unseen.
  Status ReadHead(const std::string& kind, std::int64_t now_unix_ms, Head& head) {
    const std::string prefix = kind + "-";
    const Answer own = connection_->Query(kHeadSql, Params().Bytes(OwnChain(kind)));
    if (!own.ok()) return Failure(own);
    if (own.rows.size() > 0) {
      head = {own.rows.Unsigned(0, 0), own.rows.Text(0, 1)};
      return OkStatus();
    }
    const Answer all =
        connection_->Query(kAgesSql, Params().Bytes(prefix).Int(std::uint64_t{prefix.size()}));
    if (!all.ok()) return Failure(all);
    std::uint64_t newest = 0;
    for (int i = 0; i < all.rows.size(); ++i) {
      const std::string chain = all.rows.Text(i, 0);
      std::uint64_t epoch = 0;
      (void)std::from_chars(chain.data() + prefix.size(), chain.data() + chain.size(), epoch);
      if (epoch < epoch_) newest = std::max(newest, epoch);
    }
    if (newest == 0) return OkStatus();
    const std::string before = prefix + std::to_string(newest);
    const Answer last = connection_->Query(kHeadSql, Params().Bytes(before));
    if (!last.ok()) return Failure(last);
    if (last.rows.size() == 0) return OkStatus();
    AddBookkeeping(Kind::kLink, kind, before, last.rows.Unsigned(0, 0), last.rows.Text(0, 1),
                   now_unix_ms, head);
    return OkStatus();
  }

  void AddBookkeeping(Kind what, std::string_view kind, const std::string& chain,
                      std::uint64_t number, const std::string& hash, std::int64_t now_unix_ms,
                      Head& head) {
    Row row{.kind = what,
            .at_unix_ms = now_unix_ms,
            .about = {now_unix_ms, epoch_, OwnNumber(kind, head.number + 1)},
            .deed = {.verb = std::string(NameOf(what)), .detail = chain},
            .said = Hex(hash),
            .times = number};
    Seal(OwnChain(kind), row, head);
    connection_->Add("audit_insert", ParamsOf(row));
  }

  // Another coordinator may be doing the same.
  Status RetireOf(std::string_view kind, const std::string& chain, std::uint64_t through,
                  std::int64_t now_unix_ms) {
    const Answer last = connection_->Query(kHashSql, Params().Bytes(chain).Int(Signed(through)));
    if (!last.ok()) return Failure(last);
    if (last.rows.size() == 0) return OkStatus();
    std::map<std::string, Head> heads = heads_;
    const std::string own(kind);
    if (heads.count(own) == 0) {
      if (Status status = ReadHead(own, now_unix_ms, heads[own]); !status.ok()) return status;
    }
    AddBookkeeping(Kind::kRetired, kind, chain, through, last.rows.Text(0, 0), now_unix_ms,
                   heads[own]);
    connection_->Add("audit_retire", Params().Bytes(chain).Int(Signed(through)));
    if (Status status = Exchange(); !status.ok()) return status;
    heads_ = std::move(heads);
    return OkStatus();
  }

  // A coordinator of an older version may still write there, while versions change: its table
  // stays, and the next start takes over what has come meanwhile.
  Status TakeOverFormat1() {
    for (bool prepared = false;; prepared = true) {
      const Answer old = connection_->Query(kReadFormat1Sql, Params());
      if (old.sqlstate == kUndefinedTable) return OkStatus();
      if (!old.ok()) return Failure(old);
      if (old.rows.size() == 0) return OkStatus();
      if (!prepared) connection_->AddPrepare("audit_take", kTakeFormat1Sql);
      std::map<std::string, Head> heads = heads_;
      for (int i = 0; i < old.rows.size(); ++i) {
        Row row = OldRow(old.rows, i);
        if (Status status = Add(row, heads); !status.ok()) return status;
        connection_->Add("audit_take", ParamsOf(row.about));
      }
      if (Status status = Exchange(); !status.ok()) return status;
      heads_ = std::move(heads);
    }
  }

  Status Exchange() {
    for (const Answer& answer : connection_->Exchange()) {
      if (!answer.ok()) return Failure(answer);
    }
    std::string words;  // what comes with a warning may not be where it has to be
    if (connection_->TakeWarning(words)) return Unavailable(connection_->place() + ": " + words);
    return OkStatus();
  }
  Status Failure(const Answer& answer) const {
    if (answer.sqlstate == kUndefinedTable)
      return DataLoss(connection_->place() + ": table audit_rows was dropped, with what was in it");
    return Unavailable(answer.status(connection_->place()).message());
  }

  std::unique_ptr<Connection> connection_;
  const std::uint64_t epoch_;
  std::map<std::string, Head> heads_;  // of our chains, by their kind
  bool begun_ = false;                 // something was appended on this connection
  std::int64_t tries_ = 0;
};

}  // namespace

OpenStore InPostgres(log::ConnectionOptions options, std::uint64_t epoch) {
  return [options = std::move(options), epoch]() -> Result<std::unique_ptr<Store>> {
    auto connection = Connection::Open(options);
    if (!connection.ok()) return Unavailable(connection.status().message());
    auto store = std::make_unique<PostgresStore>(std::move(connection).value(), epoch);
    if (const Status opened = store->Open(); !opened.ok()) return opened;
    return std::unique_ptr<Store>(std::move(store));
  };
}

}  // namespace assent::audit
