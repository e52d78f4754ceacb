#include "coordinator/log/migrate/postgres_rows.h"

#include <utility>

#include "coordinator/log/postgresql/row_checks.h"

namespace assent::log {
namespace {

constexpr std::size_t kRowsAtOnce = 1'000;
constexpr std::size_t kBytesAtOnce = std::size_t{4} << 20;
constexpr std::chrono::seconds kTellEvery{1};

}  // namespace

void Digest::Add(const LiveRow& row) {
  ++live_rows;
  sum += SpecCheck(0, 0, row.gid, row.spec) |
         std::uint64_t{StateCheck(0, 0, row.version, row.state)} << 32;
}

void Digest::Add(const FinishedRow& row) {
  ++finished_rows;
  sum += SpecCheck(0, 0, row.gid, row.spec) |
         std::uint64_t{FinishedCheck(0, 0, row.outcome, row.finished_unix_ms, row.gid, row.state)}
             << 32;
}

Status PostgresWriter::Add(const LiveRow& row) {
  live_.slot.Add(std::int64_t{row.slot});
  live_.serial.Add(row.serial);
  live_.version.Add(row.version);
  live_.state_crc.Add(std::int64_t{StateCheck(row.slot, row.serial, row.version, row.state)});
  live_.spec_crc.Add(std::int64_t{SpecCheck(row.slot, row.serial, row.gid, row.spec)});
  live_.gid.Add(row.gid);
  live_.state.Add(row.state);
  live_.spec.Add(row.spec);
  bytes_ += row.state.size() + row.spec.size();
  return live_.slot.size() < kRowsAtOnce && bytes_ < kBytesAtOnce ? OkStatus() : Flush();
}

Status PostgresWriter::Add(Slot slot, const FinishedRow& row, std::uint64_t ran_ms) {
  finished_.serial.Add(row.serial);
  finished_.slot.Add(std::int64_t{slot});
  finished_.outcome.Add(std::int64_t{row.outcome});
  finished_.unix_ms.Add(row.finished_unix_ms);
  finished_.ran_ms.Add(ran_ms);
  finished_.crc.Add(std::int64_t{
      FinishedCheck(slot, row.serial, row.outcome, row.finished_unix_ms, row.gid, row.state)});
  finished_.spec_crc.Add(std::int64_t{SpecCheck(slot, row.serial, row.gid, row.spec)});
  finished_.gid.Add(row.gid);
  finished_.state.Add(row.state);
  finished_.spec.Add(row.spec);
  bytes_ += row.state.size() + row.spec.size();
  return finished_.slot.size() < kRowsAtOnce && bytes_ < kBytesAtOnce ? OkStatus() : Flush();
}

Status PostgresWriter::Flush() {
  bytes_ = 0;
  if (Status status = FlushLive(); !status.ok()) return status;
  return FlushFinished();
}

Status PostgresWriter::FlushLive() {
  if (live_.slot.size() == 0) return OkStatus();
  Params params;
  params.Ints(live_.slot).Ints(live_.serial).Ints(live_.version).Ints(live_.state_crc);
  params.Ints(live_.spec_crc).Texts(live_.gid).Blobs(live_.state).Blobs(live_.spec);
  live_ = {};
  return connection_
      .Query(
          "INSERT INTO live (slot, serial, version, state_crc, spec_crc, gid, state, spec)"
          " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],"
          " $5::bigint[], $6::text[], $7::bytea[], $8::bytea[])",
          params)
      .status(connection_.place() + ": writing unfinished transactions");
}

Status PostgresWriter::FlushFinished() {
  if (finished_.slot.size() == 0) return OkStatus();
  Params params;
  params.Ints(finished_.serial).Ints(finished_.slot).Ints(finished_.outcome);
  params.Ints(finished_.unix_ms).Ints(finished_.ran_ms).Ints(finished_.crc);
  params.Ints(finished_.spec_crc).Texts(finished_.gid).Blobs(finished_.state);
  params.Blobs(finished_.spec);
  finished_ = {};
  return connection_
      .Query(
          "INSERT INTO finished (serial, slot, outcome, finished_unix_ms, age_ms, crc, spec_crc,"
          " gid, state, spec) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
          " $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::bytea[],"
          " $10::bytea[])",
          params)
      .status(connection_.place() + ": writing finished transactions");
}

Status ReadPostgres(
    Connection& connection, const std::function<Status(const LiveRow&)>& live,
    const std::function<Status(const FinishedRow&, std::uint64_t ran_ms)>& finished) {
  Status status;
  const auto damaged = [&connection](const char* table, const std::string& gid) {
    return DataLoss(connection.place() + ": table " + table + ", gid " + gid +
                    ": checksum mismatch");
  };
  Answer answer = connection.QueryRows(
      "SELECT slot::bigint, serial, version, state_crc, spec_crc, gid, state, spec FROM live"
      " ORDER BY serial",
      Params(), [&](const Rows& rows) {
        for (int at = 0; status.ok() && at < rows.size(); ++at) {
          const LiveRow row = {.serial = rows.Unsigned(at, 1),
                               .version = rows.Unsigned(at, 2),
                               .gid = rows.Text(at, 5),
                               .spec = rows.Text(at, 7),
                               .state = rows.Text(at, 6),
                               .slot = static_cast<Slot>(rows.Int(at, 0))};
          const bool whole =
              rows.Int(at, 3) ==
                  std::int64_t{StateCheck(row.slot, row.serial, row.version, row.state)} &&
              rows.Int(at, 4) == std::int64_t{SpecCheck(row.slot, row.serial, row.gid, row.spec)};
          status = whole ? live(row) : damaged("live", row.gid);
        }
        return status.ok();
      });
  if (!status.ok()) return status;
  if (!answer.ok()) return answer.status(connection.place() + ": reading table live");
  answer = connection.QueryRows(
      "SELECT serial, slot::bigint, outcome::bigint, finished_unix_ms, age_ms, crc, spec_crc, gid,"
      " state, spec FROM finished ORDER BY serial",
      Params(), [&](const Rows& rows) {
        for (int at = 0; status.ok() && at < rows.size(); ++at) {
          const FinishedRow row = {.serial = rows.Unsigned(at, 0),
                                   .gid = rows.Text(at, 7),
                                   .spec = rows.Text(at, 9),
                                   .state = rows.Text(at, 8),
                                   .outcome = static_cast<std::uint8_t>(rows.Int(at, 2)),
                                   .finished_unix_ms = rows.Int(at, 3)};
          const auto slot = static_cast<Slot>(rows.Int(at, 1));
          const std::uint32_t crc = FinishedCheck(slot, row.serial, row.outcome,
                                                  row.finished_unix_ms, row.gid, row.state);
          const bool whole =
              rows.Int(at, 5) == std::int64_t{crc} &&
              rows.Int(at, 6) == std::int64_t{SpecCheck(slot, row.serial, row.gid, row.spec)};
          status = whole ? finished(row, rows.Unsigned(at, 4)) : damaged("finished", row.gid);
        }
        return status.ok();
      });
  if (!status.ok()) return status;
  return answer.status(connection.place() + ": reading table finished");
}

Status RunSurely(Connection& connection, const std::string& statements, const std::string& what) {
  std::string words;
  (void)connection.TakeWarning(words);
  const Answer answer = connection.Run(statements);
  const bool warned = connection.TakeWarning(words);
  if (answer.verdict == Verdict::kUnknown || (answer.ok() && warned)) {
    return UnknownOutcome(connection.place() + ": " + what + ": " +
                          (warned ? words : answer.message) +
                          ": it may or may not have been done; run it again, which tells");
  }
  if (answer.verdict == Verdict::kCondition) {
    return FailedPrecondition(connection.place() + ": " + what +
                              ": somebody else has changed the log meanwhile");
  }
  return answer.status(connection.place() + ": " + what);
}

RowProgress::RowProgress(std::string what, std::uint64_t of,
                         std::function<void(const std::string& words)> tell)
    : what_(std::move(what)),
      of_(of),
      tell_(std::move(tell)),
      next_(std::chrono::steady_clock::now() + kTellEvery) {}

void RowProgress::Count() {
  ++rows_;
  constexpr std::uint64_t kRowsBetweenLooks = 256;
  if (rows_ % kRowsBetweenLooks != 0 || std::chrono::steady_clock::now() < next_) return;
  next_ = std::chrono::steady_clock::now() + kTellEvery;
  tell_(what_ + ": " + std::to_string(rows_) + " of " + std::to_string(of_));
}

}  // namespace assent::log
