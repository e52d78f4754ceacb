#include "participant-sdk/cpp/postgresql/undo_tables.h"

namespace assent::postgresql::internal {
namespace {

// Dates, intervals and numbers as they are read again without loss, whatever the session has set;
// names with their schemas.
#define ASSENT_EXACT_TEXT                                                              \
  "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' " \
  "SET intervalstyle = postgres SET extra_float_digits = 3 SET timezone = 'UTC' SET "  \
  "bytea_output = hex"

// The schema in which they are, which the functions cannot find by the search path.
constexpr char kMakeTable[] = R"(
CREATE TABLE IF NOT EXISTS assent_undo(
  gid text COLLATE "C" NOT NULL, branch_id text COLLATE "C" NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY, table_name text NOT NULL, kind "char" NOT NULL,
  before text, after text, PRIMARY KEY(gid, branch_id, seq)))";

constexpr char kMakeFunctions[] =
    "DO $do$ DECLARE place text; BEGIN "
    "SELECT relnamespace::regnamespace::text INTO place FROM pg_class WHERE oid = "
    "'assent_undo'::regclass; "
    "EXECUTE format($f$CREATE OR REPLACE FUNCTION %1$s.assent_undo_capture() RETURNS "
    "trigger " ASSENT_EXACT_TEXT
    " AS $$ BEGIN INSERT INTO %1$s.assent_undo(gid, branch_id, table_name, kind, before, after) "
    "VALUES (split_part(current_setting('assent.step'), '/', 1), "
    "split_part(current_setting('assent.step'), '/', 2), format('%%I.%%I', TG_TABLE_SCHEMA, "
    "TG_TABLE_NAME), left(TG_OP, 1)::\"char\", CASE WHEN TG_OP <> 'INSERT' THEN OLD::text END, "
    "CASE WHEN TG_OP <> 'DELETE' THEN NEW::text END); RETURN NULL; END $$ $f$, place); "
    "EXECUTE format($f$CREATE OR REPLACE FUNCTION %1$s.assent_undo_row(one anyelement) RETURNS "
    "text " ASSENT_EXACT_TEXT
    " AS $$ BEGIN RETURN one::text; END $$ $f$, place); "
    "EXECUTE format($f$CREATE OR REPLACE FUNCTION %1$s.assent_undo_forget() RETURNS trigger "
    "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ BEGIN DELETE FROM "
    "%1$s.assent_undo WHERE gid = OLD.gid AND branch_id = OLD.branch_id; RETURN NULL; END $$ "
    "$f$, place); END $do$";

constexpr char kMakeForget[] =
    "CREATE TRIGGER assent_undo AFTER DELETE ON assent_barrier FOR EACH ROW EXECUTE FUNCTION "
    "assent_undo_forget()";

// Also for who may not create anything, where everything is.
constexpr char kHasAll[] =
    "SELECT to_regclass('assent_undo') IS NOT NULL AND to_regprocedure('assent_undo_capture()') IS "
    "NOT NULL AND to_regprocedure('assent_undo_row(anyelement)') IS NOT NULL AND EXISTS(SELECT "
    "FROM pg_trigger WHERE tgrelid = to_regclass('assent_barrier') AND tgfoid = "
    "to_regprocedure('assent_undo_forget()')), current_setting('track_counts')::bool";

// A clone of the trigger of a partitioned table counts as well.
constexpr char kLook[] =
    "SELECT c.oid::regclass::text, c.relkind IN ('r', 'p'), c.relname LIKE 'assent\\_%', "
    "g.tgname IS NOT NULL, g.tgfoid = to_regprocedure('assent_undo_capture()'), g.tgenabled <> "
    "'D' FROM pg_class c LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND g.tgname = 'assent_undo' "
    "WHERE c.oid = to_regclass($1)";

class Maker {
 public:
  explicit Maker(Connection& connection) : connection_(connection) {}

  Status Make(const std::vector<std::string>& tables) {
    Answer all = connection_.Query(kHasAll);
    if (!all.ok()) return all.status();
    if (all.table.Int(0, 1) == 0) {
      return FailedPrecondition(
          "the server has track_counts = off: what a step writes cannot be held against what was "
          "seen of it; set it to on");
    }
    bool complete = all.table.Int(0, 0) == 1;
    for (std::size_t i = 0; complete && i < tables.size(); ++i) {
      Result<bool> has = HasTrigger(tables[i]);
      if (!has.ok()) return has.status();
      complete = *has;
    }
    if (complete) return OkStatus();
    // Several processes that create the same at once get in each other's way.
    Status status = Run("BEGIN; SELECT pg_advisory_xact_lock(7400)");
    if (status.ok()) status = MakeMissing(tables);
    if (status.ok()) return Run("COMMIT");
    if (!connection_.broken()) (void)connection_.Run("ROLLBACK");
    return status;
  }

 private:
  Status Run(const std::string& script) {
    const Answer answer = connection_.Run(script);
    return answer.ok() ? OkStatus() : Status(answer.status().code(), answer.message);
  }

  Status MakeMissing(const std::vector<std::string>& tables) {
    Answer all = connection_.Query(kHasAll);
    if (!all.ok()) return all.status();
    if (all.table.Int(0, 0) == 0) {
      for (const char* sql :
           {kMakeTable, kMakeFunctions, "DROP TRIGGER IF EXISTS assent_undo ON assent_barrier",
            kMakeForget}) {
        const Status status = Run(sql);
        if (!status.ok()) return status;
      }
    }
    for (const std::string& table : tables) {
      Result<bool> has = HasTrigger(table);
      if (!has.ok()) return has.status();
      if (*has) continue;
      // The condition keeps it from being so much as queued for all other writes.
      const Status status =
          Run("CREATE TRIGGER assent_undo AFTER INSERT OR UPDATE OR DELETE ON " + shown_ +
              " FOR EACH ROW WHEN (current_setting('assent.step', true) <> '') "
              "EXECUTE FUNCTION assent_undo_capture()");
      if (!status.ok()) return status;
    }
    return OkStatus();
  }

  // Leaves the table's name, as SQL takes it, in shown_.
  Result<bool> HasTrigger(const std::string& name) {
    const Answer answer = connection_.Query(kLook, {Param::Text(name)});
    const std::string who = "Options::undo_tables names " + name;
    if (!answer.ok()) return Status(answer.status().code(), who + ": " + answer.message);
    const Table& found = answer.table;
    if (found.rows() == 0)
      return FailedPrecondition(who + ", which does not exist: create it in Options::setup");
    if (found.Int(0, 1) == 0) return FailedPrecondition(who + ", which is no table");
    if (found.Int(0, 2) == 1) return FailedPrecondition(who + ", which is the adapter's own");
    shown_ = found.Text(0, 0);
    if (found.Int(0, 3) == 0) return false;
    if (found.Int(0, 4) == 0) {
      return FailedPrecondition(who +
                                ", which has a trigger assent_undo that is not the adapter's: give "
                                "it another name");
    }
    if (found.Int(0, 5) == 0) {
      return FailedPrecondition(who + ", whose trigger assent_undo is disabled: ALTER TABLE " +
                                shown_ + " ENABLE TRIGGER assent_undo");
    }
    return true;
  }

  Connection& connection_;
  std::string shown_;
};

}  // namespace

Status MakeUndoTables(Connection& connection, const std::vector<std::string>& tables) {
  const Status status = Maker(connection).Make(tables);
  if (status.ok()) return status;
  return {status.code(), connection.place() + ": " + status.message()};
}

}  // namespace assent::postgresql::internal
