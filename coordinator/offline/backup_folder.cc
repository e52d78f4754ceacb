#include "coordinator/offline/backup_folder.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "coordinator/log/crc32c.h"
#include "coordinator/log/sqlite/sqlite_backup.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_walk.h"
#include "coordinator/offline/files.h"

namespace assent::offline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kBackupFormat = 1;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

std::string Hex(std::uint32_t crc) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%08" PRIx32, crc);
  return text.data();
}

Json ToJson(const Manifest& m) {
  Json files = Json::array();
  for (const Manifest::File& file : m.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"crc32c", Hex(file.crc32c)}});
  return {{"backup_format", kBackupFormat},
          {"version", m.version},
          {"log_format", m.format},
          {"coordinator_id", m.coordinator_id},
          {"epoch", m.epoch},
          {"start", m.start},
          {"commit_seq", m.commit_seq},
          {"made_unix_ms", m.unix_ms},
          {"unfinished", m.unfinished},
          {"finished", m.finished},
          {"files", files}};
}

Manifest FromJson(const Json& json) {
  Manifest m{.version = json.at("version"),
             .format = json.at("log_format"),
             .coordinator_id = json.at("coordinator_id"),
             .epoch = json.at("epoch"),
             .start = json.at("start"),
             .commit_seq = json.at("commit_seq"),
             .unix_ms = json.at("made_unix_ms"),
             .unfinished = json.at("unfinished"),
             .finished = json.at("finished")};
  for (const Json& file : json.at("files")) {
    const std::string crc = file.at("crc32c");
    m.files.push_back({.name = file.at("name"),
                       .bytes = file.at("bytes"),
                       .crc32c = static_cast<std::uint32_t>(std::stoul(crc, nullptr, 16))});
  }
  return m;
}

Result<Manifest> ReadManifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  std::ifstream file(path);
  if (!file) return NotFound(folder + ": there is no backup here: it has no " + kManifestName);
  try {
    const Json json = Json::parse(file);
    if (json.at("backup_format") != kBackupFormat) {
      return Status(Code::kUnimplemented,
                    path + ": a backup of format " + json.at("backup_format").dump() +
                        ", and this program reads " + std::to_string(kBackupFormat));
    }
    return FromJson(json);
  } catch (const std::exception& error) {
    return DataLoss(path + ": cannot be read: " + error.what());
  }
}

// As it is on the disk, not as it was sent.
Status CheckBytes(const std::string& folder, const Manifest::File& wanted) {
  if (wanted.name != kLogName && wanted.name != kAuditName)
    return DataLoss(folder + ": a backup has no file " + wanted.name);
  const std::string path = folder + "/" + wanted.name;
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(kPieceBytes);
  std::uint32_t crc = 0;
  std::uint64_t bytes = 0;
  while (file &&
         (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0)) {
    const auto count = static_cast<std::size_t>(file.gcount());
    crc = log::ExtendCrc32c(crc, piece.data(), count);
    bytes += count;
  }
  if (bytes == wanted.bytes && crc == wanted.crc32c) return OkStatus();
  return DataLoss(path + ": is not what was written: " + std::to_string(bytes) + " bytes, crc32c " +
                  Hex(crc) + ", and " + kManifestName + " says " + std::to_string(wanted.bytes) +
                  ", " + Hex(wanted.crc32c));
}

Status CheckLog(const std::string& folder, const Manifest& m) {
  const std::string path = folder + "/" + kLogName;
  log::SqliteConnection db;
  int code = db.OpenUnchanging("file:" + UriOf(path) + "?immutable=1");
  std::int64_t application = 0;
  if (code == 0) code = db.QueryInt("PRAGMA application_id", application);
  std::string verdict;
  if (code == 0) code = db.QueryText("PRAGMA integrity_check(1)", verdict);
  if (code != 0) return DataLoss(path + ": " + db.ErrorText(code));
  if (application != log::kBackupApplicationId) return DataLoss(path + ": is no backup");
  if (verdict != "ok") return DataLoss(path + ": " + verdict);
  const Result<log::Meta> meta = log::ReadMeta(db, path);
  if (!meta.ok()) return meta.status();
  if (meta->coordinator_id != m.coordinator_id || meta->epoch != m.epoch ||
      meta->commit_seq != m.commit_seq || meta->live_rows != m.unfinished ||
      meta->finished_rows != m.finished || meta->format != m.format) {
    return DataLoss(path + ": is of another log, or of another moment, than " + kManifestName +
                    " says");
  }
  const log::Walked walked = log::WalkRows(db, path, *meta, [](const log::WalkedRow&) {});
  return walked.damage.empty() ? OkStatus() : DataLoss(walked.damage.front());
}

Status CheckFiles(const std::string& folder, const Manifest& manifest) {
  if (manifest.files.empty() || manifest.files.front().name != kLogName)
    return DataLoss(folder + ": has no " + kLogName);
  for (const Manifest::File& file : manifest.files) {
    if (Status status = CheckBytes(folder, file); !status.ok()) return status;
  }
  return CheckLog(folder, manifest);
}

}  // namespace

Result<std::unique_ptr<BackupWriter>> BackupWriter::Begin(const std::string& folder) {
  std::string name = folder;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  std::error_code error;
  if (fs::exists(fs::symlink_status(name, error)))
    return AlreadyExists(name + ": is there already, and is left as it is: name another folder");
  std::unique_ptr<BackupWriter> writer(new BackupWriter(name));
  fs::remove_all(writer->Partial(), error);
  if (!MakePrivateFolder(writer->Partial())) {
    return FailedPrecondition(writer->Partial() +
                              ": cannot be created: check that its folder exists and may be "
                              "written");
  }
  return writer;
}

BackupWriter::~BackupWriter() {
  file_.close();
  std::error_code error;
  fs::remove_all(Partial(), error);
}

Status BackupWriter::File(const std::string& name, std::uint64_t bytes) {
  if (name != kLogName && name != kAuditName)
    return DataLoss("the coordinator sends a file that no backup has: " + name);
  for (const Manifest::File& file : files_) {
    if (file.name == name) return DataLoss("the coordinator sends " + name + " twice");
  }
  current_ = {.name = name};
  expected_bytes_ = bytes;
  file_ = std::ofstream(Partial() + "/" + name, std::ios::binary | std::ios::trunc);
  std::error_code error;  // of its owner alone, as the folder is
  fs::permissions(Partial() + "/" + name, fs::perms::owner_read | fs::perms::owner_write, error);
  return file_ ? OkStatus() : Unavailable(Partial() + "/" + name + ": cannot be created");
}

Status BackupWriter::Data(std::string_view bytes) {
  current_.bytes += bytes.size();
  current_.crc32c = log::ExtendCrc32c(current_.crc32c, bytes.data(), bytes.size());
  if (file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return OkStatus();
  return Unavailable(Partial() + "/" + current_.name + ": cannot be written: is the disk full?");
}

Status BackupWriter::FileEnds(std::uint32_t crc32c) {
  file_.close();
  if (!file_) return Unavailable(Partial() + "/" + current_.name + ": cannot be written");
  if (current_.bytes != expected_bytes_ || current_.crc32c != crc32c)
    return DataLoss(current_.name + ": did not arrive as it was sent");
  files_.push_back(current_);
  return OkStatus();
}

Status BackupWriter::Finish(Manifest facts) {
  facts.files = files_;
  std::ofstream manifest(Partial() + "/" + kManifestName);
  manifest << ToJson(facts).dump(2) << "\n";
  manifest.close();
  if (!manifest) return Unavailable(Partial() + "/" + kManifestName + ": cannot be written");
  for (const char* name : {kLogName, kAuditName, kManifestName}) {
    const std::string path = Partial() + "/" + name;
    if (!fs::exists(path)) continue;
    if (Status status = SyncFile(path); !status.ok()) return status;
  }
  if (Status status = SyncFolder(Partial()); !status.ok()) return status;
  if (Status status = CheckFiles(Partial(), facts); !status.ok()) return status;
  return PutInPlace(Partial(), folder_);
}

Result<Manifest> CheckBackup(const std::string& folder) {
  Result<Manifest> manifest = ReadManifest(folder);
  if (!manifest.ok()) return manifest;
  if (Status status = CheckFiles(folder, *manifest); !status.ok()) return status;
  return manifest;
}

}  // namespace assent::offline
