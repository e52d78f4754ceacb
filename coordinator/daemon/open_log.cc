#include "coordinator/daemon/open_log.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/daemon/backup.h"
#include "coordinator/daemon/server.h"
#include "coordinator/daemon/supervisor.h"
#include "coordinator/daemon/version.h"
#include "coordinator/engine/engine.h"
#include "coordinator/log/postgresql/exposure.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "coordinator/offline/backup_folder.h"

namespace assent::daemon {
namespace {

log::SqliteOptions SqliteOptionsOf(const Config& config, const std::string& path) {
  log::SqliteOptions options;
  options.path = path;
  options.retention_age = std::chrono::hours(config.retention_hours);
  options.retention_bytes = static_cast<std::uint64_t>(config.retention_mib) << 20;
  options.reserve_bytes = static_cast<std::uint64_t>(config.reserve_mib) << 20;
  options.pinned_outcomes = engine::PinnedOutcomes();
  options.leaves_no_remains = !config.encryption_keys.empty();
  options.on_retention = [](const log::RetentionReport& report) {
    spdlog::info("event=retention removed_by_age={} removed_by_size={} kept={}{}", report.by_age,
                 report.by_size, report.kept,
                 report.paced ? " hint=\"more are old enough, and go a part a minute\"" : "");
  };
  options.on_wall_clock_step = [](std::chrono::milliseconds step) {
    spdlog::warn(
        "event=wall_clock_step seconds={} hint=\"the machine's clock was set, or the machine was "
        "suspended; nothing that is stored depends on it, but what people read does\"",
        std::chrono::duration_cast<std::chrono::seconds>(step).count());
  };
  options.on_full = [path](bool full) {
    if (full) {
      spdlog::error(
          "event=disk_full path={} hint=\"make room: new transactions are refused, what has begun "
          "goes on\"",
          path);
    } else {
      spdlog::info("event=disk_has_space path={}", path);
    }
  };
  options.on_state_renewed = [path] {
    spdlog::warn(
        "event=log_state_renewed path={}-state hint=\"somebody deleted or cut it while it was in "
        "use; nothing is lost, but keep off the files of the log\"",
        path);
  };
  options.on_replay = [](std::uint64_t rows, std::uint64_t of) {
    spdlog::info("event=recovering read={} of={} percent={}", rows, of, rows * 100 / of);
    TellSupervisor("STATUS=recovering: " + std::to_string(rows) + " of " + std::to_string(of) +
                   " unfinished transactions have been read");
  };
  return options;
}

Result<OpenedLog> OpenSqlite(const Config& config, const std::string& folder,
                             std::function<void(const Status&)> on_poisoned,
                             const log::StoreWrap& wrap, int& exit_code) {
  exit_code = kExitDataFolder;
  std::error_code error;
  const bool made = std::filesystem::create_directories(folder, error);
  // What is in it is nobody else's; one that is there has the mode that somebody gave it.
  if (made) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (error)
    return Unavailable("cannot create the data folder " + folder + ": " + error.message() +
                       "; choose another with --data");
  const std::string path = (std::filesystem::path(folder) / "assent.db").string();
  // It would begin a log beside the copy, and write into its record of what people did.
  if (std::filesystem::exists(std::filesystem::path(folder) / offline::kManifestName, error)) {
    return FailedPrecondition(folder + " is a backup (it has " + offline::kManifestName +
                              "): nobody works in it; " + "`assentctl restore " + folder +
                              " --data FOLDER` makes a log of it");
  }
  log::SqliteOptions options = SqliteOptionsOf(config, path);
  options.on_poisoned = std::move(on_poisoned);
  auto opened = log::SqliteLog::Open(std::move(options), wrap);
  if (!opened.ok()) {
    const Code code = opened.status().code();
    // Neither gets better by trying again.
    if (code == Code::kDataLoss || code == Code::kUnimplemented) exit_code = kExitDamaged;
    return opened.status();
  }
  std::string place = std::filesystem::absolute(path).string();
  RemoveUnfinishedBackups(place);
  door::MakeBackup make_backup = BackupOf(**opened, place, options.leaves_no_remains);
  return OpenedLog{.log = std::move(opened).value(),
                   .place = std::move(place),
                   .make_backup = std::move(make_backup)};
}

log::PostgresLogOptions PostgresOptionsOf(const Config& config, const LogPlace& place,
                                          LogEvents events) {
  log::PostgresLogOptions options;
  options.connection.url = place.postgresql;
  options.schema.slots_count = static_cast<Slot>(config.new_log_slots);
  options.node = config.NodeName();
  options.address = config.AdvertisedAddress();
  options.version = kVersion;
  options.lanes_count = static_cast<std::uint32_t>(config.shards);
  options.lease = std::chrono::seconds(config.lease_seconds);
  options.lossless_failover = config.store_failover == "lossless";
  options.retention_age = std::chrono::hours(config.retention_hours);
  options.pinned_outcomes = engine::PinnedOutcomes();
  options.on_poisoned = std::move(events.on_poisoned);
  options.on_fenced = std::move(events.on_fenced);
  options.on_regressed = std::move(events.on_regressed);
  options.on_view = std::move(events.on_view);
  options.on_away = [](const Status& why) {
    spdlog::warn(
        "event=log_away error=\"{}\" hint=\"new transactions are refused, what is decided goes on "
        "when it is back\"",
        why.message());
  };
  options.on_back = [] { spdlog::warn("event=log_back"); };
  options.on_settled = [](bool committed) {
    spdlog::info("event=settled committed={} hint=\"the answer to a commit was lost\"", committed);
  };
  options.on_fence = [self = config.NodeName()](const std::string& node,
                                                cluster::MemberStore::Fenced result,
                                                const std::string& asked_by) {
    if (result == cluster::MemberStore::Fenced::kMoved) return;
    if (node == self && asked_by.empty()) {
      spdlog::info("event=left hint=\"what this coordinator had goes to the others\"");
      return;
    }
    const bool held = result == cluster::MemberStore::Fenced::kHeld;
    spdlog::warn(
        "event=fenced node={} done={} why=\"{}\"{}", node, !held,
        asked_by.empty() ? "silent" : asked_by,
        held ? " hint=\"a group of it is still under way: its connections are ended\"" : "");
  };
  options.on_new_generation = [](const std::string& words) {
    spdlog::error(
        "event=new_store_generation what=\"{}\" hint=\"a fail-over may have lost what was "
        "acknowledged: nothing is presumed about what began before; docs/cluster.md\"",
        words);
  };
  return options;
}

void WarnOfExposure(const std::string& url) {
  const auto exposure = log::ExposureOf(url);
  if (!exposure) return;
  spdlog::warn(
      "event=log_exposed host={} sslmode={} hint=\"others on the way could read what is logged, or "
      "pose as the database: sslmode=verify-full and sslrootcert=FILE in --log\"",
      exposure->host, exposure->sslmode);
}

}  // namespace

Result<OpenedLog> OpenLog(const Config& config, LogEvents events, const log::StoreWrap& wrap,
                          int& exit_code) {
  LogPlace place = config.Place();
  if (!place.shared())
    return OpenSqlite(config, place.sqlite_folder, std::move(events.on_poisoned), wrap, exit_code);
  WarnOfExposure(place.postgresql);
  OpenedLog opened;
  opened.place = "postgresql " + log::Connection::Place(place.postgresql);
  log::PostgresLogOptions options = PostgresOptionsOf(config, place, std::move(events));
  options.wrap = wrap;
  auto shared = std::make_unique<log::PostgresLog>(std::move(options));
  opened.shared = shared.get();
  opened.make_backup = NoBackup();
  opened.log = std::move(shared);
  return opened;
}

int ExitOfJoin(const Config& config, const Status& why) {
  switch (why.code()) {
    case Code::kDataLoss: return kExitDamaged;
    case Code::kUnimplemented: return kExitDamaged;  // of a newer format
    case Code::kInvalidArgument:
    case Code::kPermissionDenied:
    case Code::kNotFound: return config.Place().shared() ? kExitDataFolder : kExitLogFailed;
    case Code::kFailedPrecondition: return kExitDataFolder;  // also of a key that is missing
    default: return kExitLogFailed;
  }
}

void WarnOfSlots(const Config& config, Slot has) {
  if (config.new_log_slots == Config().new_log_slots || config.new_log_slots == has) return;
  spdlog::warn(
      "event=new_log_slots_ignored asked={} has={} hint=\"the log was made with so many, which "
      "stay: take the setting away\"",
      config.new_log_slots, has);
}

}  // namespace assent::daemon
