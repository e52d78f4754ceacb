#pragma once

// The door for backups, a stream of files, for settings, and for the record as it is kept. What
// they are made of is the daemon's to know.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "assent/v1/maintenance.pb.h"
#include "coordinator/security/guard.h"
#include "coordinator/service/asker.h"

namespace assent::door {

// Of assent.v1.BackupFacts.
struct BackupFacts {
  std::string version;
  std::uint32_t format = 0;
  std::uint32_t coordinator_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t start = 0;
  std::uint64_t commit_seq = 0;
  std::int64_t unix_ms = 0;
  std::uint64_t unfinished = 0;
  std::uint64_t finished = 0;
};

// Takes what assent.v1.BackupPart describes, in its order, and waits for whoever reads. False:
// nobody does any more.
class BackupReader {
 public:
  virtual ~BackupReader() = default;
  virtual bool Progress(std::uint64_t copied_bytes, std::uint64_t of_bytes) = 0;
  virtual bool File(const std::string& name, std::uint64_t bytes) = 0;
  virtual bool Data(std::string_view bytes) = 0;
  virtual bool FileEnds(std::uint32_t crc32c) = 0;
  virtual bool Facts(const BackupFacts& facts) = 0;
};

// Makes one copy of all that is durable and hands it over. On a thread of its own.
using MakeBackup = std::function<Status(BackupReader& reader)>;
// Calls `make` once it is on record that this caller has a copy made; what came of it goes there
// too. On the same thread.
using RecordBackup =
    std::function<Status(const service::Caller& caller, const std::function<Status()>& make)>;

// Of assent.v1.Settings.
struct Setting {
  std::string name;
  std::string value;
  std::string source;
  bool at_once = false;
};
struct Settings {
  std::string file;
  std::vector<Setting> settings;
};
using GetSettings = std::function<Settings()>;

// Whatever is asked for is asked on a thread of gRPC's, a backup apart.
struct Maintenance {
  MakeBackup backup;
  RecordBackup record_backup;
  GetSettings settings;
  std::function<Result<std::string>()> metrics;  // a page for Prometheus
  // Answers once, from any thread.
  std::function<void(const v1::ReadAuditRequest& request,
                     std::function<void(const Status&, const v1::ReadAuditReply&)> done)>
      audit;
  security::Guard* guard = nullptr;  // who may; nullptr: everybody
};
// No call of it may last longer than what `backup` needs.
std::unique_ptr<grpc::Service> MakeMaintenanceService(Maintenance of);

}  // namespace assent::door
