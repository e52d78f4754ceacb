#include "participant-sdk/cpp/mariadb/undo_tables.h"

#include <utility>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"
#include "participant-sdk/cpp/mariadb/undo_log.h"

namespace assent::mariadb::internal {
namespace {

constexpr char kMakeTable[] = R"(CREATE TABLE IF NOT EXISTS assent_undo(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, seq BIGINT NOT NULL,
  table_name VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  kind CHAR(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shape CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  before_image LONGTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  after_image LONGTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY(gid, branch_id, seq)) ENGINE=InnoDB)";

constexpr char kMakeForget[] =
    "CREATE OR REPLACE TRIGGER assent_undo_forget AFTER DELETE ON assent_barrier FOR EACH ROW "
    "DELETE FROM assent_undo WHERE gid = OLD.gid AND branch_id = OLD.branch_id";

// Also for who may not create anything, where everything is.
constexpr char kHasAll[] =
    "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
    "TABLE_NAME = 'assent_undo' AND ENGINE = 'InnoDB') = 1, (SELECT COUNT(*) FROM "
    "information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = "
    "'assent_undo_forget') = 1, @@global.log_bin AND @@session.binlog_format = 'STATEMENT', "
    "FIND_IN_SET('TABLE', @@global.log_output) AND (@@global.general_log OR "
    "@@global.slow_query_log), DATABASE()";

constexpr char kLock[] =
    "SELECT GET_LOCK(CONCAT('assent/setup/', LEFT(SHA2(DATABASE(), 256), 40)), 60)";

constexpr unsigned kTriggerDenied = 1142;
constexpr unsigned kNotTrusted = 1419;

struct Trigger {
  char letter;
  const char* event;
  std::string body;
};

// What a trigger does: the statement behind FOR EACH ROW.
Trigger TriggerFor(char letter, const TableName& table, const Shape& shape,
                   const std::string& database) {
  const std::string undo = NameInSql(database) + ".assent_undo";
  const auto insert = [&](const std::string& before, const std::string& after) {
    return "SET @assent_seq = @assent_seq + 1; INSERT INTO " + undo +
           "(gid, branch_id, seq, table_name, kind, shape, before_image, after_image) "
           "VALUES(SUBSTRING_INDEX(@assent_step, '/', 1), SUBSTRING_INDEX(@assent_step, '/', -1), "
           "@assent_seq, " +
           HexTextOf(table.Full()) + ", '" + static_cast<char>(letter - 'a' + 'A') + "', '" +
           shape.Digest() + "', " + before + ", " + after + "); ";
  };
  if (letter == 'i') {
    return {letter, "INSERT",
            "BEGIN IF @assent_step IS NOT NULL THEN " + insert("''", shape.Image("NEW")) +
                "END IF; END"};
  }
  if (letter == 'd') {
    return {letter, "DELETE",
            "BEGIN IF @assent_step IS NOT NULL THEN " + insert(shape.Image("OLD"), "''") +
                "END IF; END"};
  }
  // A row that an UPDATE leaves as it was is not written, nor counted by the server, although the
  // trigger runs, and is shown what ON UPDATE CURRENT_TIMESTAMP would have written. An image that
  // is too long is NULL, and fails the statement.
  return {letter, "UPDATE",
          "BEGIN DECLARE assent_was, assent_now LONGTEXT CHARACTER SET ascii COLLATE ascii_bin; "
          "IF @assent_step IS NOT NULL THEN SET assent_was = " +
              shape.ImageOfFixed("OLD") + ", assent_now = " + shape.ImageOfFixed("NEW") +
              "; IF NOT (assent_was <=> assent_now) OR assent_was IS NULL THEN SET assent_was = " +
              shape.Image("OLD") + ", assent_now = " + shape.Image("NEW") + "; " +
              insert("assent_was", "assent_now") + "END IF; END IF; END"};
}

class Maker {
 public:
  explicit Maker(Connection& connection) : connection_(connection) {}

  Status Make(const std::vector<std::string>& tables) {
    const Answer all = connection_.Run(kHasAll);
    if (!all.ok()) return all.status();
    if (all.table.Int(0, 2) == 1) {
      return FailedPrecondition(
          "the server has binlog_format = STATEMENT, which does not take what triggers write for "
          "automatic steps: set it to MIXED or ROW");
    }
    if (all.table.Int(0, 3) == 1) {
      return FailedPrecondition(
          "the server writes its log of statements to a table (log_output = TABLE), which it "
          "counts as rows of the session: what a step writes cannot be held against what was seen "
          "of it; set log_output to FILE, or general_log and slow_query_log to OFF");
    }
    database_ = all.table.Text(0, 4);
    Status status = OkStatus();
    if (all.table.Int(0, 0) != 1) status = Run(kMakeTable);
    if (status.ok() && all.table.Int(0, 1) != 1) status = Run(kMakeForget);
    for (std::size_t i = 0; status.ok() && i < tables.size(); ++i) status = MakeFor(tables[i]);
    return status;
  }

 private:
  Status Run(const std::string& statement) {
    const Answer answer = connection_.Run(statement);
    if (answer.ok()) return OkStatus();
    if (answer.number == kNotTrusted) {
      return PermissionDenied(
          answer.message +
          " -- the server writes a binary log: set log_bin_trust_function_creators to ON there, or "
          "let somebody with the right SUPER open the store once");
    }
    if (answer.number == kTriggerDenied) {
      return PermissionDenied(answer.message +
                              " -- GRANT TRIGGER on the tables that "
                              "Options::undo_tables names, and on assent_barrier");
    }
    return {answer.status().code(), answer.message};
  }

  Status MakeFor(const std::string& name) {
    const std::size_t dot = name.find('.');
    TableName table = {database_, name};
    if (dot != std::string::npos) table = {name.substr(0, dot), name.substr(dot + 1)};
    AddFindShape(connection_, table, true);
    const std::vector<Answer> answers = connection_.Exchange();
    for (const Answer& answer : answers) {
      if (!answer.ok()) return answer.status();
    }
    const FoundShape found = ReadShape(table, answers.data());
    const auto refuse = [&name](const std::string& why) {
      return FailedPrecondition("Options::undo_tables names " + name + ", which " + why);
    };
    if (!found.exists) return refuse("does not exist: create it in Options::setup");
    if (!found.is_table) return refuse("is no table");
    if (table.name.starts_with("assent_")) return refuse("is the adapter's own");
    if (!found.shape.why_not.empty()) return refuse(found.shape.why_not);
    if (found.shape.key.empty())
      return FailedPrecondition("Options::undo_tables: " + server::HasNoKey(found.shape.shown));
    return MakeTriggers(table, found.shape, answers[3].table);
  }

  Status MakeTriggers(const TableName& table, const Shape& shape, const Table& there) {
    for (const char letter : {'i', 'u', 'd'}) {
      const Trigger trigger = TriggerFor(letter, table, shape, database_);
      const std::string name = TriggerOf(letter, table);
      bool is_there = false;
      for (int i = 0; i < there.rows(); ++i) {
        is_there = is_there || (there.Text(i, 0) == name && there.Text(i, 1) == trigger.body &&
                                there.Text(i, 2) == "AFTER" && there.Text(i, 3) == trigger.event);
      }
      if (is_there) continue;
      const Status status =
          Run("CREATE OR REPLACE TRIGGER " + NameInSql(table.database) + "." + name + " AFTER " +
              trigger.event + " ON " + shape.sql + " FOR EACH ROW " + trigger.body);
      if (!status.ok()) return status;
    }
    return OkStatus();
  }

  Connection& connection_;
  std::string database_;
};

}  // namespace

Status MakeUndoTables(Connection& connection, const std::vector<std::string>& tables) {
  // Several processes that create the same at once get in each other's way.
  const Answer locked = connection.Run(kLock);
  Status status = locked.ok() ? Maker(connection).Make(tables) : locked.status();
  if (!connection.broken() && !connection.Run(kUnlockAll).ok()) connection.Break();
  if (status.ok()) return status;
  return {status.code(), connection.place() + ": " + status.message()};
}

}  // namespace assent::mariadb::internal
