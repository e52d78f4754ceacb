#include "coordinator/daemon/audit_log.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/audit/postgres_store.h"
#include "coordinator/daemon/version.h"

namespace assent::daemon {
namespace {

// Whoever acts waits for the record no longer than this for each word of the database.
constexpr std::chrono::seconds kPatience{3};

}  // namespace

std::unique_ptr<audit::Audit> OpenAudit(const Config& config, std::uint64_t epoch) {
  audit::AuditOptions options;
  options.epoch = epoch;
  const LogPlace place = config.Place();
  if (place.shared()) {
    options.node = config.NodeName();
    options.open = audit::InPostgres({.url = place.postgresql,
                                      .application_name = "assentd audit",
                                      .connect_timeout = kPatience,
                                      .answer_within = kPatience},
                                     epoch);
  } else {
    options.open =
        audit::InSqlite((std::filesystem::path(place.sqlite_folder) / "audit.db").string());
  }
  options.on_trouble = [](const std::string& why) {
    if (why.empty()) return spdlog::info("event=audit_back");
    spdlog::error(
        "event=audit_away error=\"{}\" hint=\"what operators ask for is refused until it can be "
        "put on record; transactions go on\"",
        why);
  };
  options.on_head = [](const std::string& chain, std::uint64_t number, const std::string& hash) {
    spdlog::info("event=audit_head head={}:{}:{}", chain, number, hash);
  };
  auto audit = std::make_unique<audit::Audit>(std::move(options));
  audit->Note(audit::Kind::kStart, {.verb = "start", .detail = "version " + std::string(kVersion)},
              Code::kOk, {});
  return audit;
}

void NoteReload(audit::Audit& audit, const std::string& what, const Status& done) {
  audit.Note(audit::Kind::kReload, {.verb = "reload", .detail = what}, done.code(), done.message());
}

void CloseAudit(audit::Audit& audit) {
  audit.Note(audit::Kind::kStop, {.verb = "stop"}, Code::kOk, {});
  audit.Close();
}

void DoorWitness::Note(security::Sighting sighting) {
  audit::Kind kind = audit::Kind::kRefused;
  switch (sighting.kind) {
    case security::Sighting::Kind::kRefused: break;
    case security::Sighting::Kind::kLogin: kind = audit::Kind::kLogin; break;
    case security::Sighting::Kind::kLogout: kind = audit::Kind::kLogout; break;
  }
  audit_.Note(kind,
              {.verb = std::string(audit::NameOf(kind)),
               .detail = std::move(sighting.call),
               .who = std::move(sighting.identity),
               .claims = std::move(sighting.claims),
               .address = std::move(sighting.address)},
              sighting.status.code(), sighting.status.message());
}

}  // namespace assent::daemon
