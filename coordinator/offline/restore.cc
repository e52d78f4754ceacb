#include "coordinator/offline/restore.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include <assent/text.h>

#include "coordinator/audit/store.h"
#include "coordinator/base/clock.h"
#include "coordinator/core/codec.h"
#include "coordinator/log/sqlite/sqlite_amend.h"
#include "coordinator/log/sqlite/sqlite_import.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/sqlite_walk.h"
#include "coordinator/offline/files.h"

namespace assent::offline {
namespace {

namespace fs = std::filesystem;
using Kind = Unfinished::Kind;

Kind KindOf(const core::Transaction& txn) {
  const bool commits = txn.decision() == core::Decision::kCommit;
  const bool steps_left =
      std::any_of(txn.branches().begin(), txn.branches().end(), [](const core::Branch& branch) {
        return branch.state == BranchState::kWaiting || branch.state == BranchState::kExecuting;
      });
  if (txn.decision() == core::Decision::kNone) return txn.held() ? Kind::kUndecided : Kind::kAsked;
  if (txn.suspended()) return Kind::kSuspended;
  if (txn.needs_operator()) return Kind::kNeedsHuman;
  if (commits) return steps_left ? Kind::kStepsLeft : Kind::kCommitting;
  return Kind::kAborting;
}

std::vector<std::string> BranchesOf(const core::Transaction& txn) {
  std::vector<std::string> branches;
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    const core::BranchSpec& branch = txn.spec().branches[i];
    branches.push_back(branch.service + "/" + branch.action + " " +
                       std::string(Name(txn.branches()[i].state)));
  }
  return branches;
}

class Restoration {
 public:
  explicit Restoration(const RestoreOptions& options)
      : options_(options),
        path_(options.data + "/assent.db"),
        incoming_(path_ + "-incoming"),
        mark_(log::kBackupMark + options.backup) {}

  Result<Restored> Run() {
    Result<Manifest> manifest = CheckBackup(options_.backup);
    if (!manifest.ok()) return manifest.status();
    restored_.manifest = *std::move(manifest);
    options_.on_progress("read and checked " + options_.backup);
    Status status = CheckEmpty();
    if (status.ok()) status = options_.dry_run ? Look() : Make();
    if (!status.ok()) return status;
    return std::move(restored_);
  }

 private:
  // What a restore of the same backup that died has left may be there.
  Status CheckEmpty() {
    std::error_code error;
    const bool ours = log::ReadIncomingMark(path_) == mark_ && !fs::exists(path_, error);
    for (const auto& entry : fs::directory_iterator(options_.data, error)) {
      const std::string name = entry.path().filename().string();
      const bool left = name.rfind("assent.db-incoming", 0) == 0 || name.rfind(kAuditName, 0) == 0;
      if (!ours || !left) {
        return FailedPrecondition(options_.data + ": has " + name +
                                  ", and is left as it is: a restore wants an empty folder");
      }
    }
    return OkStatus();
  }

  Status Look() {
    const std::string path = options_.backup + "/" + kLogName;
    int code = db_.OpenUnchanging("file:" + UriOf(path) + "?immutable=1");
    if (code != 0) return Unavailable(path + ": " + db_.ErrorText(code));
    return ReadUnfinished(path);
  }

  Status Make() {
    std::error_code error;
    if (!fs::exists(options_.data, error) && !MakePrivateFolder(options_.data))
      return FailedPrecondition(options_.data + ": cannot be created");
    for (const std::string& left :
         {std::string(kAuditName), std::string("audit.db-wal"), std::string("audit.db-shm")}) {
      fs::remove(options_.data + "/" + left, error);
    }
    Status status = log::MarkIncoming(path_, mark_);
    if (status.ok()) status = Copy(kLogName, incoming_);
    if (status.ok()) status = MakeLog();
    if (status.ok()) status = SyncFile(incoming_);
    if (status.ok()) status = Record();
    if (status.ok()) status = PutInPlace(incoming_, path_);
    if (status.ok()) log::RemoveIncomingMark(path_);
    return status;
  }

  Status Copy(const std::string& name, const std::string& to) {
    Status status = MakeOwned(to);
    std::error_code error;
    if (status.ok()) {
      fs::copy_file(options_.backup + "/" + name, to, fs::copy_options::overwrite_existing, error);
      if (!error) fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write, error);
    }
    return error ? Unavailable(to + ": cannot be written: " + error.message()) : status;
  }

  // A file that nobody has, and that means nothing before it is in its place.
  Status MakeLog() {
    int code = db_.Open(incoming_, "");
    if (code == 0) code = db_.Execute("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
    if (code == 0) code = db_.Execute("BEGIN IMMEDIATE");
    if (code != 0) return Failure("open", code);
    if (Status status = ReadUnfinished(incoming_); !status.ok()) return status;
    const std::uint64_t held = meta_.epoch;
    ++meta_.commit_seq;
    Status status = log::RenewEpochs(db_, incoming_, meta_);
    for (const log::WalkedRow& row : changed_) {
      if (status.ok()) status = log::AmendRow(db_, incoming_, meta_, row);
      ++meta_.live_versions;
    }
    if (status.ok()) status = log::WriteMeta(db_, incoming_, meta_, held);
    if (!status.ok()) return status;
    const std::string id = std::to_string(log::kApplicationId);
    if (code = db_.Execute("PRAGMA application_id = " + id + "; COMMIT"); code != 0)
      return Failure("commit", code);
    const log::Walked walked = log::WalkRows(db_, incoming_, meta_, [](const log::WalkedRow&) {});
    db_.Close();
    return walked.damage.empty() ? OkStatus() : DataLoss(walked.damage.front());
  }

  Status ReadUnfinished(const std::string& path) {
    const Result<log::Meta> meta = log::ReadMeta(db_, path);
    if (!meta.ok()) return meta.status();
    if (meta->format > log::Migrations().size()) {
      return {Code::kUnimplemented,
              options_.backup + ": is of format " + std::to_string(meta->format) +
                  ", this program knows up to " + std::to_string(log::Migrations().size())};
    }
    meta_ = *meta;
    RowOpener opener(options_.keys, meta_.coordinator_id);
    std::string lacks;
    (void)log::WalkRows(db_, path, meta_, [&](const log::WalkedRow& row) {
      const RowOpener::Opened opened = opener.Open(row);
      if (opened.lacks_key && !core::Codec::DecodeOutOfService(row.state) && lacks.empty())
        lacks = "transaction " + row.gid + ": " + opened.why_not;
      if (row.finished) return;
      Result<core::Transaction> txn = core::Codec::Decode(row.gid, opened.spec, opened.state);
      Unfinished one{.gid = row.gid};
      if (txn.ok()) {
        one.branches = BranchesOf(*txn);
        one.kind = TakeUp(row, *txn, opener);
      }
      restored_.unfinished.push_back(std::move(one));
    });
    if (lacks.empty()) return OkStatus();
    return FailedPrecondition(options_.backup + ": " + lacks +
                              ". A backup is of no use without its keys: name their file with "
                              "--encryption-keys");
  }

  // As the core does it with a store that may have lost what became of it. Decided is decided, but
  // what could be done twice, or a person may have settled, waits for one as well.
  Kind TakeUp(const log::WalkedRow& row, core::Transaction& txn, RowOpener& opener) {
    const core::Now now{core::MonoTime(), base::WallNow(), 0};
    if (txn.decision() == core::Decision::kNone)
      (void)txn.Apply(core::Recover{.generation = txn.generation() + 1}, now);
    const Kind kind = KindOf(txn);
    const bool suspends = kind == Kind::kStepsLeft || kind == Kind::kNeedsHuman;
    if (suspends) {
      const core::Actor actor{CleanText(options_.who),
                              "restored from a backup: what was done since is not known"};
      (void)txn.Apply(core::Suspend{actor}, now);
    }
    if (suspends || kind == Kind::kUndecided) {
      changed_.push_back(row);
      changed_.back().state = opener.SealState(row.gid, core::Codec::EncodeState(txn));
      ++changed_.back().version;
    }
    return kind;
  }

  // Who did what until then goes on here, with this.
  Status Record() {
    const std::string path = options_.data + "/" + kAuditName;
    std::error_code error;
    const bool kept = fs::exists(options_.backup + "/" + kAuditName, error);
    Status status = kept ? Copy(kAuditName, path) : MakeOwned(path);
    if (!status.ok()) return status;
    const auto record = audit::InSqlite(path)();
    if (!record.ok()) return record.status();
    const audit::EntryId id{base::UnixNowMs(), meta_.epoch, 0};
    std::vector<audit::Row> rows = {audit::AskedRow({.id = id,
                                                     .deed = {.verb = "restore",
                                                              .detail = options_.backup,
                                                              .who = options_.who,
                                                              .reason = options_.reason}}),
                                    audit::EndingRow({.id = id}, id.at_unix_ms)};
    return (*record)->Append(rows);
  }

  Status Failure(const std::string& what, int code) {
    const std::string text = incoming_ + ": " + what + ": " + db_.ErrorText(code);
    return log::IsFull(code) ? ResourceExhausted(text) : Unavailable(text);
  }

  const RestoreOptions& options_;
  const std::string path_;
  const std::string incoming_;
  const std::string mark_;
  log::SqliteConnection db_;
  log::Meta meta_;
  std::vector<log::WalkedRow> changed_;
  Restored restored_;
};

}  // namespace

const char* Name(Unfinished::Kind kind) {
  switch (kind) {
    case Kind::kUndecided: return "undecided";
    case Kind::kAsked: return "asked";
    case Kind::kStepsLeft: return "steps-left";
    case Kind::kNeedsHuman: return "needs-human";
    case Kind::kSuspended: return "suspended";
    case Kind::kCommitting: return "committing";
    case Kind::kAborting: return "aborting";
    case Kind::kUnreadable: return "unreadable";
  }
  return "";
}

Result<Restored> Restore(const RestoreOptions& options) { return Restoration(options).Run(); }

}  // namespace assent::offline
