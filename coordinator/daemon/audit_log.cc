#include "coordinator/daemon/audit_log.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/audit/postgres_store.h"

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
                                      .answer_within = kPatience});
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
  return std::make_unique<audit::Audit>(std::move(options));
}

void DoorWitness::Note(security::Sighting sighting) {
  using Kind = security::Sighting::Kind;
  if (sighting.kind == Kind::kRefused) return;
  audit_.Note({.verb = sighting.kind == Kind::kLogin ? "login" : "logout",
               .detail = std::move(sighting.call),
               .who = std::move(sighting.identity),
               .address = std::move(sighting.address)},
              sighting.status.code(), sighting.status.message());
}

}  // namespace assent::daemon
