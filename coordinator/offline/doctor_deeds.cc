// Single rows, out of service and back in.

#include <filesystem>
#include <utility>
#include <vector>

#include <assent/text.h>

#include "coordinator/audit/store.h"
#include "coordinator/base/clock.h"
#include "coordinator/log/sqlite/sqlite_amend.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_store.h"
#include "coordinator/offline/backup_folder.h"
#include "coordinator/offline/doctor.h"
#include "coordinator/offline/files.h"

namespace assent::offline {
namespace {

using log::Meta;
using log::SqliteConnection;
using log::WalkedRow;

std::string NameOf(const WalkedRow& row) {
  return std::string(row.finished ? "finished" : "unfinished") + " transaction " + row.gid +
         ", row " + std::to_string(row.serial);
}

// The one row of that name, and what the others are counted to.
struct Chosen {
  WalkedRow row{};
  std::uint64_t other_versions = 0;  // of the unfinished, summed
  bool other_has_gid = false;
};

Result<Chosen> Choose(SqliteConnection& db, const std::string& path, const Meta& meta,
                      const std::string& name) {
  std::vector<WalkedRow> found;
  std::uint64_t versions = 0;
  (void)log::WalkRows(db, path, meta, [&](const WalkedRow& row) {
    versions += row.version;
    if (name == row.gid || name == "#" + std::to_string(row.serial)) found.push_back(row);
  });
  if (found.empty()) return NotFound(path + ": there is no row " + name);
  if (found.size() > 1) {
    return FailedPrecondition(path + ": " + NameOf(found[0]) + ", and " + NameOf(found[1]) +
                              ", are both called " + name + ": name it by its row, #ROW");
  }
  Chosen chosen{.row = std::move(found.front())};
  chosen.other_versions = versions - chosen.row.version;
  (void)log::WalkRows(db, path, meta, [&](const WalkedRow& row) {
    chosen.other_has_gid |= row.gid == chosen.row.gid && row.serial != chosen.row.serial;
  });
  return chosen;
}

// Table meta has the sum of all versions, and so that of a row where it is damaged, if nothing is
// wrong with the others; which the row's checksum shows.
Result<std::uint64_t> TrueVersion(const Chosen& chosen, const Meta& meta) {
  const WalkedRow& row = chosen.row;
  const std::uint64_t wanted = meta.live_versions - chosen.other_versions;
  if (row.finished || row.version == wanted ||
      log::StateChecksum(row.serial, wanted, row.commit_seq, row.state) == row.state_crc)
    return wanted;
  return FailedPrecondition(NameOf(row) +
                            ": more than this row is wrong with the log: the versions of the "
                            "unfinished ones are not what table meta says");
}

std::string GidWhileOut(const Chosen& chosen) {
  const WalkedRow& row = chosen.row;
  const bool is_text = CleanText(row.gid, row.gid.size()) == row.gid;
  const bool usable = !row.gid.empty() && is_text && !chosen.other_has_gid;
  return usable ? row.gid : "damaged-row-" + std::to_string(row.serial);
}

// As a start opens it: whoever has it keeps it, and what is missing is missed. Nothing is done that
// is not on record.
Status Change(const std::string& folder, const std::string& verb, const Deed& deed,
              const std::function<Status(SqliteConnection&, const Meta&)>& change) {
  const std::string path = folder + "/assent.db";
  if (std::error_code error; !std::filesystem::exists(path, error))
    return NotFound(path + ": there is no log here");
  log::SqliteOptions options;
  options.path = path;
  const auto store = log::SqliteStore::Open(options, log::Migrations());
  if (!store.ok()) return store.status();
  const std::string record_path = folder + "/" + kAuditName;
  if (Status status = MakeOwned(record_path); !status.ok()) return status;
  const auto record = audit::InSqlite(record_path)();
  if (!record.ok()) return record.status();
  const audit::EntryId id{base::UnixNowMs(), (*store)->meta().epoch, 0};
  std::vector<audit::Row> rows = {
      audit::AskedRow({.id = id,
                       .deed = {.verb = verb,
                                .gid = deed.row.rfind('#', 0) == 0 ? "" : deed.row,
                                .detail = deed.row,
                                .who = deed.who,
                                .reason = deed.reason}})};
  Status status = (*record)->Append(rows);
  if (!status.ok()) return status;
  status = (*store)->Amend(change);
  rows = {audit::EndingRow({.id = id, .code = status.code(), .said = status.message()},
                           base::UnixNowMs())};
  (void)(*record)->Append(rows);
  return status;
}

}  // namespace

Result<std::string> TakeOutOfService(const std::string& folder, const Deed& deed) {
  const std::string path = folder + "/assent.db";
  std::string said;
  const Status status =
      Change(folder, "out-of-service", deed, [&](SqliteConnection& db, const Meta& meta) {
        const Result<Chosen> chosen = Choose(db, path, meta, deed.row);
        if (!chosen.ok()) return chosen.status();
        WalkedRow row = chosen->row;
        if (core::Codec::DecodeOutOfService(row.state))
          return FailedPrecondition(NameOf(row) + ": is out of service already");
        const Result<std::uint64_t> version = TrueVersion(*chosen, meta);
        if (!version.ok()) return version.status();
        if (!row.finished) row.version = *version;
        if (row.finished && !row.damage.empty())
          row.outcome = static_cast<std::uint8_t>(core::Outcome::kHazard);
        row.state = core::Codec::EncodeState(
            core::OutOfService{.actor = {CleanText(deed.who), CleanText(deed.reason)},
                               .at = base::WallNow(),
                               .sound = row.damage.empty(),
                               .gid = row.gid,
                               .state = row.state});
        row.gid = GidWhileOut(*chosen);
        said = NameOf(row) + ", is out of service";
        return log::AmendRow(db, path, meta, row);
      });
  if (!status.ok()) return status;
  return said;
}

Result<std::string> PutBack(const std::string& folder, const Deed& deed) {
  const std::string path = folder + "/assent.db";
  std::string said;
  const Status status =
      Change(folder, "put-back", deed, [&](SqliteConnection& db, const Meta& meta) {
        const Result<Chosen> chosen = Choose(db, path, meta, deed.row);
        if (!chosen.ok()) return chosen.status();
        WalkedRow row = chosen->row;
        const auto was = core::Codec::DecodeOutOfService(row.state);
        if (!was) return FailedPrecondition(NameOf(row) + ": is not out of service");
        if (!was->sound)
          return FailedPrecondition(NameOf(row) + ": was damaged: it cannot be carried on");
        row.state = was->state;
        said = NameOf(row) + ", is back in service: it goes on as after any start";
        return log::AmendRow(db, path, meta, row);
      });
  if (!status.ok()) return status;
  return said;
}

}  // namespace assent::offline
