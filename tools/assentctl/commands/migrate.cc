// What is done to a log that nobody works on: the whole of it from one store to another, and saying
// that it was restored. All that happens is in coordinator/log/migrate.

#include "coordinator/log/migrate/migrate.h"

#include <filesystem>
#include <optional>
#include <system_error>

#include "coordinator/log/migrate/restored.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

constexpr std::string_view kSqlite = "sqlite:";

std::optional<std::string> FolderOf(const std::string& place) {
  if (place.rfind(kSqlite, 0) != 0 || place.size() == kSqlite.size()) return std::nullopt;
  return place.substr(kSqlite.size());
}

bool IsPostgres(const std::string& place) {
  return place.rfind("postgresql://", 0) == 0 || place.rfind("postgres://", 0) == 0;
}

Status CheckPassword(const std::string& address) {
  if (!log::Connection::HasPassword(address)) return OkStatus();
  return InvalidArgument(
      "the address holds a password, which everybody on this machine can read in the list of "
      "processes: put it into a file and name that in PGPASSFILE");
}

Status CheckPlaces(const MigrateCommand& command) {
  const bool sqlite_to_postgres = FolderOf(command.from) && IsPostgres(command.to);
  const bool postgres_to_sqlite = IsPostgres(command.from) && FolderOf(command.to);
  if (!sqlite_to_postgres && !postgres_to_sqlite) {
    return InvalidArgument(
        "one of --from and --to is sqlite:FOLDER, the other postgresql://USER@HOST:PORT/DATABASE");
  }
  return CheckPassword(sqlite_to_postgres ? command.to : command.from);
}

// The usual hints are about transactions.
Exit Fail(const Status& status, Session& session) {
  session.console.Err("assentctl: " + Visible(status.message()) + "\n");
  return ExitFor(status.code());
}

std::string Report(const MigrateCommand& command, const log::Migrated& migrated,
                   const Style& style) {
  const std::string id = std::to_string(migrated.log_id);
  if (style.output == Output::kId) return id + "\n";
  if (style.table() && migrated.was_done)
    return "log " + id + " was there already: it has moved to " + Visible(command.to) + "\n";
  if (style.table()) {
    return "log " + id + " has moved to " + Visible(command.to) + ": " +
           std::to_string(migrated.live_rows) + " unfinished and " +
           Count(migrated.finished_rows, "finished transaction") + "\n";
  }
  const Json json = {{"log_id", migrated.log_id},
                     {"was_done", migrated.was_done},
                     {"unfinished", migrated.live_rows},
                     {"finished", migrated.finished_rows}};
  if (style.output == Output::kYaml) return Yaml(json);
  return style.output == Output::kJsonl ? LineJson(json) : PrettyJson(json);
}

// Before anybody agrees to it.
constexpr const char* kRestoredMeaning =
    "What was begun and decided since the copy is missing in the log, and participants did what "
    "they "
    "were told.\n"
    "  From now on nothing is presumed about what began before: what participants hold prepared "
    "from "
    "then is answered CANNOT_TELL. What is undecided in the log may have been committed since: it "
    "is\n  held for a person (assentctl list --needs-operator), and nothing ends it by itself: "
    "docs/cluster.md.\n"
    "  It cannot be taken back. Stop every coordinator before: one that is not seen to live is "
    "fenced.\n";

std::string Report(const log::Restored& restored, bool dry_run, const Style& style) {
  const std::string id = std::to_string(restored.log_id);
  if (style.output == Output::kId) return id + "\n";
  if (style.table()) {
    return "log " + id + ": " + (dry_run ? "(dry run) store generation is " : "store generation ") +
           std::to_string(restored.generation) + ", " +
           Count(restored.unfinished, "unfinished transaction") +
           (dry_run ? "\n" : "; start the coordinators, then: assentctl list --needs-operator\n");
  }
  const Json json = {{"log_id", restored.log_id},
                     {"generation", restored.generation},
                     {"unfinished", restored.unfinished},
                     {"fenced", restored.fenced}};
  if (style.output == Output::kYaml) return Yaml(json);
  return style.output == Output::kJsonl ? LineJson(json) : PrettyJson(json);
}

}  // namespace

Exit RunRestored(const RestoredCommand& command, Session& session) {
  Status status = IsPostgres(command.log)
                      ? CheckPassword(command.log)
                      : InvalidArgument(
                            "LOG is postgresql://USER@HOST:PORT/DATABASE; a file of "
                            "SQLite is seen to be a copy by itself");
  if (!status.ok()) return Fail(status, session);
  if (!command.dry_run && !command.yes) {
    const Exit answer = AskConsent(
        "cluster restored",
        [&session] {
          session.console.Err(kRestoredMeaning);
          return OkStatus();
        },
        session.surroundings.in_is_terminal, session);
    if (answer != Exit::kDone) return answer;
  } else {
    session.console.Err(kRestoredMeaning);
  }
  log::RestoredOptions options;
  options.postgres.url = command.log;
  options.postgres.application_name = "assentctl cluster restored";
  options.dry_run = command.dry_run;
  options.on_progress = [&session](const std::string& words) {
    session.console.Err(Visible(words) + "\n");
  };
  const Result<log::Restored> restored = log::NoteRestored(options);
  if (!restored.ok()) return Fail(restored.status(), session);
  session.console.Out(Report(*restored, command.dry_run, session.MakeStyle()));
  return Exit::kDone;
}

Exit RunMigrate(const MigrateCommand& command, Session& session) {
  if (const Status status = CheckPlaces(command); !status.ok()) return Fail(status, session);
  const bool to_postgres = IsPostgres(command.to);
  const std::filesystem::path folder = *FolderOf(to_postgres ? command.from : command.to);
  std::error_code error;
  if (to_postgres && !std::filesystem::exists(folder / "assent.db", error))
    return Fail(NotFound(folder.string() + ": there is no assent.db"), session);
  std::filesystem::create_directories(folder, error);
  // One name for it, however it was written: it is compared when this is run again.
  const std::filesystem::path canonical = std::filesystem::canonical(folder, error);
  if (error) return Fail(FailedPrecondition(folder.string() + ": " + error.message()), session);
  log::MigrateOptions options;
  options.sqlite_path = (canonical / "assent.db").string();
  options.postgres.url = to_postgres ? command.to : command.from;
  options.postgres.application_name = "assentctl migrate";
  options.on_progress = [&session](const std::string& words) {
    session.console.Err(Visible(words) + "\n");
  };
  const Result<log::Migrated> migrated =
      to_postgres ? log::MigrateToPostgres(options) : log::MigrateToSqlite(options);
  if (!migrated.ok()) return Fail(migrated.status(), session);
  session.console.Out(Report(command, *migrated, session.MakeStyle()));
  return Exit::kDone;
}

}  // namespace assent::ctl
