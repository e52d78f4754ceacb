#include "participant-sdk/cpp/postgresql/auto_saga.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/postgresql/undo.h"

namespace assent::postgresql::internal {
namespace {

using server::Hazard;

// How much was recorded; whether the trigger was on all the while; a foreign table that was locked
// for writing, which no trigger and no count sees.
constexpr char kTotals[] =
    "SELECT count(*), coalesce(sum(coalesce(octet_length(before), 0) + coalesce(octet_length("
    "after), 0)), 0), current_setting('assent.step', true) = $3 AND "
    "current_setting('session_replication_role') <> 'replica' AND "
    "current_setting('track_counts')::bool, CASE WHEN EXISTS(SELECT FROM pg_foreign_table) THEN "
    "(SELECT f.ftrelid::regclass::text FROM pg_locks l JOIN pg_foreign_table f ON f.ftrelid = "
    "l.relation WHERE l.pid = pg_backend_pid() AND l.mode = 'RowExclusiveLock' LIMIT 1) END "
    "FROM assent_undo WHERE gid = $1 AND branch_id = $2";

std::string StepOf(const Call& call) { return call.gid + "/" + call.branch_id; }

// One step: the forward operation of an automatic Saga.
class Step {
 public:
  Step(Db::Impl& db, const Call& call) : db_(db), connection_(db.connection), call_(call) {}

  Reply Run(const DbHandler& handler) {
    if (!Begin()) return Failed();
    db_.recording = true;
    Reply reply = handler(db_.db, call_);
    if (!barrier::IsDone(reply) || !db_.status.ok()) return reply;
    Shapes shapes;
    if (!LookAtWritten(shapes)) return Failed();
    connection_.Add("SELECT set_config('assent.step', '', true)");
    if (why_not_.empty() && MayNotGoBack(shapes) && !TryOut(shapes)) return Failed();
    if (!why_not_.empty()) return Reply::Refused(why_not_);
    AddSeal(connection_, call_, shapes);
    return reply;
  }

 private:
  static Reply Failed() { return Reply::RetryLater("a statement of the adapter's has failed"); }

  bool Begin() {
    // What an earlier one of this name has left, whose row was dropped by hand.
    AddForgetUndo(connection_, call_);
    connection_.Add("SELECT set_config('assent.step', $1, true)", {Param::Text(StepOf(call_))});
    AddCountWritten(connection_);
    std::vector<Answer> answers;
    if (!db_.Send(1, answers)) return false;
    before_ = ReadWritten(answers.front().table);
    return true;
  }

  bool LookAtWritten(Shapes& shapes) {
    AddCountWritten(connection_);
    connection_.Add(kTotals, {Param::Text(call_.gid), Param::Text(call_.branch_id),
                              Param::Text(StepOf(call_))});
    AddFindShapes(connection_, call_);
    std::vector<Answer> answers;
    if (!db_.Send(3, answers)) return false;
    shapes = ReadShapes(answers[2].table);
    why_not_ = WhyNot(ReadWritten(answers[0].table), answers[1].table, shapes);
    return true;
  }

  // Empty: all that was written is seen, and may be undone.
  std::string WhyNot(const WrittenByTable& after, const Table& totals, const Shapes& shapes) {
    count_ = totals.Int(0, 0);
    if (totals.Int(0, 2) != 1) return server::kSettingChanged;
    if (!totals.IsNull(0, 3)) {
      return "table " + std::string(totals.Text(0, 3)) +
             " is a foreign one, whose changes cannot be recorded";
    }
    for (const auto& [oid, now] : after) {
      const auto was = before_.find(oid);
      if (now.is_seen || now.SameCounts(was == before_.end() ? Written() : was->second)) continue;
      if (now.is_catalog) {
        return "the handler changed the schema or truncated a table (" + now.shown +
               "), which cannot be recorded";
      }
      return "table " + now.shown +
             " is not in Options::undo_tables, so its changes are not recorded";
    }
    std::string too_much = server::WhyTooMuch(totals.Int(0, 1), limits::kMaxUndoBytes, count_,
                                              limits::kMaxUndoRowsCount);
    if (!too_much.empty()) return too_much;
    for (const auto& [name, shape] : shapes) {
      if (shape.key.empty()) return server::HasNoKey(shape.shown);
    }
    return {};
  }

  // One row alone goes back, and so do rows that have nothing to do with each other.
  bool MayNotGoBack(const Shapes& shapes) const {
    return std::any_of(shapes.begin(), shapes.end(), [this](const auto& one) {
      return one.second.has_triggers || (count_ > 1 && one.second.has_more_keys);
    });
  }

  bool TryOut(const Shapes& shapes) {
    AddFindRecords(connection_, call_);
    std::vector<Answer> answers;
    if (!db_.Send(1, answers)) return false;
    const Result<std::vector<Record>> records = ReadRecords(answers.front().table);
    if (!records.ok()) {
      db_.Fail(Failure::kMistake, records.status());
      return false;
    }
    connection_.Add("SAVEPOINT assent_trial");
    ++db_.savepoints;
    Undo undo(db_, *records, shapes);
    const bool goes = undo.Run();
    if (!goes && undo.conflict().empty()) return false;
    if (!goes) why_not_ = "the changes could not be undone: " + undo.conflict();
    connection_.Add("ROLLBACK TO SAVEPOINT assent_trial");
    connection_.Add("RELEASE SAVEPOINT assent_trial");
    return true;
  }

  Db::Impl& db_;
  Connection& connection_;
  const Call& call_;
  WrittenByTable before_;
  std::int64_t count_ = 0;
  std::string why_not_;
};

// Empty: the tables are as they were, and may have more columns.
std::string FindMisfit(const std::map<std::string, std::string>& sealed, const Shapes& shapes) {
  for (const auto& [name, text] : sealed) {
    const auto now = shapes.find(name);
    if (now == shapes.end()) return "table " + name + " is gone";
    std::string misfit = now->second.FindMisfit(text);
    if (!misfit.empty()) return misfit;
  }
  return {};
}

Reply Compensate(Db::Impl& db, const Call& call) {
  Connection& connection = db.connection;
  AddCheckSeal(connection, call);
  AddFindSealed(connection, call);
  AddFindRecords(connection, call);
  AddFindShapes(connection, call);
  const std::vector<Answer> answers = connection.QueryLast(4);
  for (const Answer& answer : answers) {
    if (!answer.ok()) db.Fail(answer.failure, answer.status());
  }
  if (!db.ok()) return Reply::RetryLater(db.status.ToString());
  const Status sealed = ReadSealChecked(answers[0].table);
  if (!sealed.ok()) return Hazard(sealed.message());
  const Shapes shapes = ReadShapes(answers[3].table);
  const std::string misfit = FindMisfit(ReadSealed(answers[1].table), shapes);
  if (!misfit.empty()) return Hazard(misfit);
  const Result<std::vector<Record>> records = ReadRecords(answers[2].table);
  if (!records.ok()) return Hazard(records.status().message());
  Undo undo(db, *records, shapes);
  if (!records->empty() && !undo.Run()) {
    if (undo.conflict().empty()) return Reply::RetryLater(db.status.ToString());
    return Hazard(undo.conflict());
  }
  AddForgetUndo(connection, call);
  return Reply::Done();
}

}  // namespace

DbHandler Recorded(DbHandler handler) {
  return [handler = std::move(handler)](Db& db, const Call& call) {
    return Step(Db::Impl::Of(db), call).Run(handler);
  };
}

DbHandler Inverse() {
  return [](Db& db, const Call& call) { return Compensate(Db::Impl::Of(db), call); };
}

}  // namespace assent::postgresql::internal
