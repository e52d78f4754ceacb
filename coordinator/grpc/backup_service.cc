#include "coordinator/grpc/backup_service.h"

#include <atomic>
#include <thread>
#include <utility>

#include <assent/thread_safety.h>

#include "assent/v1/maintenance.grpc.pb.h"
#include "coordinator/grpc/call.h"
#include "coordinator/security/permission.h"
#include "coordinator/service/holdings.h"
#include "coordinator/transport/grpc_status.h"
#include "coordinator/transport/refused.h"

namespace assent::door {
namespace {

// A stream that is fed by a thread which may wait: there is one of them at a time.
class BackupStream final : public grpc::ServerWriteReactor<v1::BackupPart>, public BackupReader {
 public:
  BackupStream(const MakeBackup& make, std::function<void()> over) : over_(std::move(over)) {
    thread_ = std::thread([this, make] { this->Finish(transport::ToGrpc(make(*this))); });
  }

  bool Progress(std::uint64_t copied_bytes, std::uint64_t of_bytes) override {
    v1::BackupPart part;
    part.set_copied_bytes(copied_bytes);
    part.set_of_bytes(of_bytes);
    return Write(std::move(part));
  }
  bool File(const std::string& name, std::uint64_t bytes) override {
    v1::BackupPart part;
    part.set_file(name);
    part.set_file_bytes(bytes);
    return Write(std::move(part));
  }
  bool Data(std::string_view bytes) override {
    v1::BackupPart part;
    part.set_data(bytes.data(), bytes.size());
    return Write(std::move(part));
  }
  bool FileEnds(std::uint32_t crc32c) override {
    v1::BackupPart part;
    part.set_file_ends(true);
    part.set_file_crc32c(crc32c);
    return Write(std::move(part));
  }
  bool Facts(const BackupFacts& facts) override {
    v1::BackupPart part;
    v1::BackupFacts& out = *part.mutable_facts();
    out.set_version(facts.version);
    out.set_format(facts.format);
    out.set_coordinator_id(facts.coordinator_id);
    out.set_epoch(facts.epoch);
    out.set_start(facts.start);
    out.set_commit_seq(facts.commit_seq);
    out.set_unix_ms(facts.unix_ms);
    out.set_unfinished(facts.unfinished);
    out.set_finished(facts.finished);
    return Write(std::move(part));
  }

  void OnWriteDone(bool ok) override {
    const MutexLock lock(mutex_);
    writing_ = false;
    gone_ = gone_ || !ok;
    written_.NotifyOne();
  }
  void OnCancel() override {
    const MutexLock lock(mutex_);
    gone_ = true;
    written_.NotifyOne();
  }
  void OnDone() override {
    thread_.join();  // its last act was Finish
    over_();
    delete this;
  }

 private:
  bool Write(v1::BackupPart part) {
    const MutexLock lock(mutex_);
    if (gone_) return false;
    part_ = std::move(part);
    writing_ = true;
    this->StartWrite(&part_);
    while (writing_) written_.Wait(mutex_);
    return !gone_;
  }

  const std::function<void()> over_;
  Mutex mutex_;
  CondVar written_;
  v1::BackupPart part_;
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool gone_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class MaintenanceService final : public v1::MaintenanceService::CallbackService {
 public:
  explicit MaintenanceService(Maintenance of) : of_(std::move(of)) {}

  grpc::ServerWriteReactor<v1::BackupPart>* Backup(grpc::CallbackServerContext* context,
                                                   const v1::BackupRequest*) override {
    const auto caller = May(*context, "Backup");
    if (!caller.ok()) return new transport::RefusedReader<v1::BackupPart>(caller.status());
    if (busy_.exchange(true)) {
      return new transport::RefusedReader<v1::BackupPart>(
          ResourceExhausted("another backup is being made: wait until it is done"));
    }
    const MakeBackup make = [this, by = *caller](BackupReader& reader) {
      return of_.record_backup(by, [&] { return of_.backup(reader); });
    };
    return new BackupStream(make, [this] { busy_ = false; });
  }

  grpc::ServerUnaryReactor* GetSettings(grpc::CallbackServerContext* context,
                                        const v1::GetSettingsRequest*,
                                        v1::Settings* reply) override {
    if (const auto may = May(*context, "GetSettings"); !may.ok())
      return new transport::RefusedUnary(may.status());
    const Settings settings = of_.settings();
    reply->set_file(settings.file);
    for (const Setting& one : settings.settings) {
      v1::Setting& out = *reply->add_settings();
      out.set_name(one.name);
      out.set_value(one.value);
      out.set_source(one.source);
      out.set_at_once(one.at_once);
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetMetrics(grpc::CallbackServerContext* context,
                                       const v1::GetMetricsRequest*,
                                       v1::MetricsPage* reply) override {
    if (const auto may = May(*context, "GetMetrics"); !may.ok())
      return new transport::RefusedUnary(may.status());
    Result<std::string> page = of_.metrics();
    if (page.ok()) reply->set_text(*std::move(page));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(transport::ToGrpc(page.status()));
    return reactor;
  }

  grpc::ServerUnaryReactor* ReadAudit(grpc::CallbackServerContext* context,
                                      const v1::ReadAuditRequest* request,
                                      v1::ReadAuditReply* reply) override {
    if (const auto may = May(*context, "ReadAudit"); !may.ok())
      return new transport::RefusedUnary(may.status());
    // Stays until it is finished, also if its caller leaves.
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    of_.audit(*request, [reactor, reply](const Status& status, const v1::ReadAuditReply& found) {
      *reply = found;
      reactor->Finish(transport::ToGrpc(status));
    });
    return reactor;
  }

 private:
  Result<service::Caller> May(grpc::CallbackServerContext& context, const char* method) const {
    const auto needs = security::NeededBy("assent.v1.MaintenanceService", method);
    auto caller = Admit(context, of_.guard, needs, std::string("MaintenanceService/") + method);
    if (!caller.ok()) return caller;
    const Status may = service::Spend(*caller);
    if (may.ok()) return caller;
    (void)Told(may, context);
    return may;
  }

  const Maintenance of_;
  std::atomic<bool> busy_ = false;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMaintenanceService(Maintenance of) {
  return std::make_unique<MaintenanceService>(std::move(of));
}

}  // namespace assent::door
