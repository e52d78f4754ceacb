#include "participant-sdk/cpp/sqlite/stored_changes.h"

#include <utility>

namespace assent::sqlite::internal {
namespace {

// FNV-1a: against damage, not against malice. Checked before SQLite parses the bytes, which it does
// trustingly.
std::int64_t ChecksumOf(const StoredChanges& stored) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const std::string* text : {&stored.changeset, &stored.shape}) {
    for (char c : *text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    hash = (hash ^ text->size()) * 1099511628211ULL;
  }
  return static_cast<std::int64_t>(hash);
}

// Columns: id, changeset, shape, checksum, hazard.
Result<StoredChanges> Load(Statement& read, const std::string& what) {
  if (!read.Step()) return read.status().ok() ? NotFound(what + " is lost") : read.status();
  StoredChanges stored{read.Int(0), read.Text(1), read.Text(2), read.Text(4), {}};
  if (read.Int(3) != ChecksumOf(stored))
    return DataLoss(what + " is damaged: its checksum is wrong");
  Result<std::vector<RowChange>> changes = ReadChangeset(stored.changeset);
  if (!changes.ok()) return changes.status();
  stored.changes = std::move(*changes);
  return stored;
}

}  // namespace

Result<StoredChanges> LoadPrepared(Connection& connection, std::string_view gid,
                                   std::string_view branch_id) {
  Statement read(connection,
                 "SELECT id, changeset, shape, checksum, hazard FROM assent_prepared "
                 "WHERE gid = ?1 AND branch_id = ?2",
                 gid, branch_id);
  return Load(read, "the prepared work");
}

Result<StoredChanges> LoadUndo(Connection& connection, std::string_view gid,
                               std::string_view branch_id) {
  Statement read(connection,
                 "SELECT 0, changeset, shape, checksum, NULL FROM assent_undo WHERE gid = ?1 AND "
                 "branch_id = ?2",
                 gid, branch_id);
  Result<StoredChanges> stored = Load(read, "what the action changed");
  if (!stored.ok()) return stored;
  Result<std::string> inverse = InvertChangeset(stored->changeset);
  if (!inverse.ok()) return inverse.status();
  stored->changeset = std::move(*inverse);
  Result<std::vector<RowChange>> changes = ReadChangeset(stored->changeset);
  if (!changes.ok()) return changes.status();
  stored->changes = std::move(*changes);
  return stored;
}

Result<std::int64_t> StorePrepared(Connection& connection, const Call& call,
                                   const StoredChanges& stored, std::int64_t now_ms) {
  Statement write(
      connection,
      "INSERT INTO assent_prepared(gid, branch_id, coordinator_id, began_epoch, changeset, shape, "
      "checksum, prepared_ms, began_unix_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
      call.gid, call.branch_id, call.coordinator_id, call.began_epoch, Blob{stored.changeset},
      Blob{stored.shape}, ChecksumOf(stored), now_ms, call.began_unix_ms);
  Status status = write.Finish();
  if (!status.ok()) return status;
  return sqlite3_last_insert_rowid(connection.handle());
}

Status StoreUndo(Connection& connection, const Call& call, const StoredChanges& stored) {
  Statement write(connection,
                  "INSERT INTO assent_undo(gid, branch_id, changeset, shape, checksum) VALUES(?1, "
                  "?2, ?3, ?4, ?5)",
                  call.gid, call.branch_id, Blob{stored.changeset}, Blob{stored.shape},
                  ChecksumOf(stored));
  return write.Finish();
}

}  // namespace assent::sqlite::internal
