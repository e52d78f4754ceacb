// How much a transaction takes while it waits, and how long a start takes with many of them.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kStarts = 3;
// Commands that one session may hold, by the coordinator's own limit.
constexpr std::uint64_t kPerSession = 65'536;

double Since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// Every column of every unfinished row, as a start must read them. The WAL has been moved into the
// database before, or is read as well: whatever the file is now.
double ReadRows(const std::string& database, std::uint64_t& rows) {
  const auto began = Clock::now();
  sqlite3* db = nullptr;
  sqlite3_stmt* select = nullptr;
  if (sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK ||
      sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr) != SQLITE_OK ||
      sqlite3_prepare_v2(db,
                         "SELECT serial, version, commit_seq, state_crc, spec_crc, gid, state, spec"
                         " FROM live ORDER BY serial",
                         -1, &select, nullptr) != SQLITE_OK)
    Die("cannot read " + database + ": " + sqlite3_errmsg(db));
  rows = 0;
  std::uint64_t bytes = 0;
  while (sqlite3_step(select) == SQLITE_ROW) {
    for (int column = 0; column < 5; ++column)
      bytes += static_cast<std::uint64_t>(sqlite3_column_int64(select, column)) & 1U;
    for (int column = 5; column < 8; ++column) {
      const auto* data = static_cast<const unsigned char*>(sqlite3_column_blob(select, column));
      const int size = sqlite3_column_bytes(select, column);
      for (int i = 0; i < size; i += 64) bytes += data[i];
    }
    ++rows;
  }
  sqlite3_finalize(select);
  sqlite3_close(db);
  if (bytes == 0) Die("no rows to read in " + database);
  return Since(began);
}

// What it wrote while it started.
std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

class Holder {
 public:
  Holder(Load load, const std::string& folder) : load_(std::move(load)), folder_(folder) {
    load_.workload = "hold";
    load_.daemon_arguments.push_back("--max-transactions=10000000");
    load_.daemon_arguments.push_back("--log-level=info");
  }

  nlohmann::json Run(std::uint64_t transactions) {
    nlohmann::json out{{"transactions", transactions},
                       {"payload_bytes_per_transaction", load_.branches * load_.payload_bytes}};
    HoldAll(transactions, out);
    Restart(out);
    return out;
  }

 private:
  std::string database() const { return folder_.path() + "/data/assent.db"; }
  std::unique_ptr<Child> StartDaemon(const std::string& errors) {
    return std::make_unique<Child>(DaemonCommand(load_, folder_.path()), errors);
  }

  void HoldAll(std::uint64_t transactions, nlohmann::json& out) {
    const std::string errors = folder_.path() + "/errors";
    auto coordinator = StartDaemon(errors);
    const std::string endpoint = WaitListening(*coordinator);
    const int sessions = static_cast<int>(transactions / kPerSession) + 1;
    std::vector<std::unique_ptr<Child>> silent;
    for (int i = 0; i < load_.participants; ++i) {
      silent.push_back(std::make_unique<Child>(
          std::vector<std::string>{BinFolder() + "/assent-bench", "silent-sessions", "--endpoint",
                                   endpoint, "--number", std::to_string(i), "--sessions",
                                   std::to_string(sessions)},
          errors));
    }
    for (auto& child : silent) child->WaitLine("ready");
    const auto began = Clock::now();
    // A tenth first: the slope from there on is free of what memory is taken once.
    const Usage empty = UsageOf(coordinator->pid());
    Begin(endpoint, transactions / 10);
    const Usage tenth = UsageOf(coordinator->pid());
    Begin(endpoint, transactions - transactions / 10);
    const Usage all = UsageOf(coordinator->pid());
    out["begin_seconds"] = Since(began);
    out["held"] = Asker(endpoint).Ask().active;
    const auto bytes = [&](std::uint64_t to_kib, std::uint64_t from_kib, std::uint64_t count) {
      return (static_cast<double>(to_kib) - static_cast<double>(from_kib)) * 1024 /
                 static_cast<double>(count) -
             load_.branches * load_.payload_bytes;
    };
    out["bytes_per_transaction_first_tenth"] =
        bytes(tenth.resident_kib, empty.resident_kib, transactions / 10);
    out["bytes_per_transaction"] =
        bytes(all.resident_kib, tenth.resident_kib, transactions - transactions / 10);
    out["resident_kib"] = all.resident_kib;
    out["peak_kib"] = all.peak_kib;
    coordinator->Kill();
  }

  void Begin(const std::string& endpoint, std::uint64_t count) {
    ShowProgress("begins " + std::to_string(count) + " transactions", 0, 0);
    Load part = load_;
    part.count = count;
    part.in_flight = 4096;
    std::vector<std::string> argv{BinFolder() + "/assent-bench", "initiator", "--endpoint",
                                  endpoint};
    for (const std::string& word : LoadArguments(part)) argv.push_back(word);
    Child initiator(argv, folder_.path() + "/errors");
    const nlohmann::json seen = nlohmann::json::parse(initiator.WaitLine("{"));
    initiator.Stop();
    EndProgress();
    if (seen.at("failed") != 0)
      Die("not all could begin: " + seen.at("first_failure").get<std::string>());
  }

  // SQLite and the daemon in turn, on the same file, in the same state of the cache.
  void Restart(nlohmann::json& out) {
    std::uint64_t rows = 0;
    (void)ReadRows(database(), rows);  // into the cache
    std::vector<double> read, ready, ratio, resident;
    std::string said;
    for (int i = 0; i < kStarts; ++i) {
      ShowProgress("restarts with " + std::to_string(rows) + " rows", i, kStarts);
      read.push_back(ReadRows(database(), rows));
      const std::string errors = folder_.path() + "/start-" + std::to_string(i);
      const auto began = Clock::now();
      auto coordinator = StartDaemon(errors);
      (void)WaitListening(*coordinator);
      ready.push_back(Since(began));
      resident.push_back(static_cast<double>(UsageOf(coordinator->pid()).resident_kib));
      coordinator->Kill();
      said = TextOf(errors);
      ratio.push_back(ready.back() / read.back());
    }
    EndProgress();
    out["rows"] = rows;
    out["sqlite_read_seconds"] = Median(read);
    out["ready_seconds"] = Median(ready);
    out["ready_ratio"] = Median(ratio);
    out["resident_kib_after_start"] = Median(resident);
    out["said"] = said;
    out["file_bytes"] = std::filesystem::file_size(database());
  }

  Load load_;
  Folder folder_;
};

}  // namespace

int HoldAndRestart(const Load& load, std::uint64_t transactions, const std::string& folder,
                   bool json) {
  const nlohmann::json out = Holder(load, folder).Run(transactions);
  if (json) {
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf(
      "%llu transactions in flight: %.0f bytes each beyond payloads (the first tenth: %.0f), %.0f "
      "MiB resident, %.0f at most\n",
      out["transactions"].get<unsigned long long>(), out["bytes_per_transaction"].get<double>(),
      out["bytes_per_transaction_first_tenth"].get<double>(),
      out["resident_kib"].get<double>() / 1024, out["peak_kib"].get<double>() / 1024);
  std::printf("restart: ready in %.2f s, SQLite reads the rows in %.2f s, ratio %.2f; %.0f MiB\n",
              out["ready_seconds"].get<double>(), out["sqlite_read_seconds"].get<double>(),
              out["ready_ratio"].get<double>(),
              out["resident_kib_after_start"].get<double>() / 1024);
  std::printf("what it said meanwhile:\n%s", out["said"].get<std::string>().c_str());
  return 0;
}

}  // namespace assent::bench
