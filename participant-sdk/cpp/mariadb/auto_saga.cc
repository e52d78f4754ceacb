#include "participant-sdk/cpp/mariadb/auto_saga.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/mariadb/undo.h"

namespace assent::mariadb::internal {
namespace {

using server::Hazard;

constexpr char kUnseen[] =
    "the handler wrote rows that were not recorded: of a table that is not in "
    "Options::undo_tables, or of a column that came after the store was opened, or by a sequence, "
    "or by an INSERT IGNORE, REPLACE or INSERT … ON "
    "DUPLICATE KEY UPDATE that met a row that was there, which looks the same";

constexpr char kUntrue[] =
    "what was recorded is not what was written, as by an UPDATE IGNORE that met a key that was "
    "there";

Reply Failed() { return Reply::RetryLater("a statement of the adapter's has failed"); }

std::string NotUndone(const Shape& shape) { return "table " + shape.shown + " " + shape.why_not; }

// One step: the forward operation of an automatic Saga.
class Step {
 public:
  Step(Db::Impl& db, const Call& call) : db_(db), connection_(db.connection), call_(call) {}

  Reply Run(const DbHandler& handler) {
    if (!Begin()) {
      connection_.Add(kStepOff);
      return Failed();
    }
    db_.recording = true;
    Reply reply = Handle(handler);
    db_.recording = false;
    if (!barrier::IsDone(reply) || !db_.status.ok()) {
      connection_.Add(kStepOff);
      return reply;
    }
    Reply kept = Keep();
    if (kept.kind == Reply::Kind::kDone) return reply;
    connection_.Add(kStepOff);
    return kept;
  }

 private:
  // With the recording ended, whatever it does.
  Reply Handle(const DbHandler& handler) {
    try {
      return handler(db_.db, call_);
    } catch (...) {
      connection_.Add(kStepOff);
      throw;
    }
  }

  bool Begin() {
    // What an earlier one of this name has left, whose row was dropped by hand.
    AddForgetUndo(connection_, call_);
    AddStepOn(connection_, call_);
    AddCountWritten(connection_);
    std::vector<Answer> answers;
    if (!db_.Send(1, answers)) return false;
    before_ = ReadWritten(answers.front().table);
    return true;
  }

  // Done: what was written can be undone, and is sealed.
  Reply Keep() {
    AddCountWritten(connection_);
    AddFindTotals(connection_, call_);
    AddFindTables(connection_, call_);
    connection_.Add(kStepOff);
    std::vector<Answer> answers;
    if (!db_.Send(4, answers)) return Failed();
    const Totals totals = ReadTotals(answers[1].table);
    std::string why_not = WhyNot(ReadWritten(answers[0].table), totals);
    if (!why_not.empty()) return Reply::Refused(why_not);
    const std::vector<Touched> tables = ReadTables(answers[2].table);
    Shapes shapes;
    if (!FindShapes(tables, shapes)) return Failed();
    if (!changed_.empty()) return Reply::RetryLater(changed_);
    for (const auto& [name, shape] : shapes) {
      if (!shape.why_not.empty()) return Reply::Refused(NotUndone(shape));
    }
    if (!LookAtRecords(tables, shapes, why_not)) return Failed();
    if (!why_not.empty()) return Reply::Refused(why_not);
    AddSeal(connection_, call_, shapes);
    return Reply::Done();
  }

  // Empty: all that was written is seen.
  std::string WhyNot(const Written& after, const Totals& totals) const {
    if (!totals.is_on) return server::kSettingChanged;
    Written unseen = after - before_ - totals.seen;
    unseen.inserted -= totals.images;  // those are rows as well
    if (unseen != Written()) return kUnseen;
    return server::WhyTooMuch(totals.bytes, limits::kMaxUndoBytes, totals.images,
                              limits::kMaxUndoRowsCount);
  }

  bool FindShapes(const std::vector<Touched>& tables, Shapes& shapes) {
    if (tables.empty()) return true;
    for (const Touched& touched : tables) AddFindShape(connection_, touched.table, touched.changes);
    std::vector<Answer> answers;
    if (!db_.Send(tables.size() * kShapeStatementsCount, answers)) return false;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      FoundShape found = ReadShape(tables[i].table, &answers[i * kShapeStatementsCount]);
      if (found.shape.Digest() != tables[i].digest) {
        changed_ = "table " + tables[i].table.Full() +
                   " has other columns than its triggers know: open the store again";
      }
      shapes[tables[i].table.Full()] = std::move(found.shape);
    }
    return true;
  }

  // Of rows that were inserted there is nothing to look at, if nobody acts on their way back.
  bool LookAtRecords(const std::vector<Touched>& tables, const Shapes& shapes,
                     std::string& why_not) {
    const bool changes =
        std::any_of(tables.begin(), tables.end(), [](const Touched& one) { return one.changes; });
    const bool may_act_again = std::any_of(shapes.begin(), shapes.end(),
                                           [](const auto& one) { return one.second.has_triggers; });
    if (!changes && !may_act_again) return true;
    AddFindRecords(connection_, call_);
    std::vector<Answer> answers;
    if (!db_.Send(1, answers)) return false;
    const Result<std::vector<Record>> records = ReadRecords(answers.front().table, shapes);
    if (!records.ok()) {
      db_.Fail(Failure::kMistake, records.status());
      return false;
    }
    if (!Undo(db_, *records, shapes).IsTrue()) {
      why_not = kUntrue;
      return db_.ok();
    }
    return !may_act_again || TryOut(*records, shapes, why_not);
  }

  bool TryOut(const std::vector<Record>& records, const Shapes& shapes, std::string& why_not) {
    connection_.Add("SAVEPOINT assent_trial");
    Undo undo(db_, records, shapes);
    const bool goes = undo.Run();
    if (!goes && undo.conflict().empty()) return false;
    if (!goes) why_not = "the changes could not be undone: " + undo.conflict();
    connection_.Add("ROLLBACK TO SAVEPOINT assent_trial");
    connection_.Add("RELEASE SAVEPOINT assent_trial");
    connection_.Add(kStepOff);
    return true;
  }

  Db::Impl& db_;
  Connection& connection_;
  const Call& call_;
  Written before_;
  std::string changed_;  // not empty: a table is not as its triggers know it
};

class Compensation {
 public:
  Compensation(Db::Impl& db, const Call& call) : db_(db), connection_(db.connection), call_(call) {}

  Reply Run() {
    AddCheckSeal(connection_, call_);
    AddFindSealed(connection_, call_);
    AddFindRecords(connection_, call_);
    std::vector<Answer> answers;
    if (!db_.Send(3, answers)) return Later();
    const Status sealed = ReadSealChecked(answers[0].table);
    if (!sealed.ok()) return Hazard(sealed.message());
    std::string misfit;
    Shapes shapes;
    if (!FindShapes(ReadSealed(answers[1].table), shapes, misfit)) return Later();
    if (!misfit.empty()) return Hazard(misfit);
    const Result<std::vector<Record>> records = ReadRecords(answers[2].table, shapes);
    if (!records.ok()) return Hazard(records.status().message());
    Undo undo(db_, *records, shapes);
    if (!records->empty() && !undo.Run()) {
      connection_.Add(kStepOff);
      return undo.conflict().empty() ? Later() : Hazard(undo.conflict());
    }
    AddForgetUndo(connection_, call_);
    return Reply::Done();
  }

 private:
  Reply Later() const { return Reply::RetryLater(db_.status.ToString()); }

  // The tables as they were, where they may be written back. `misfit`: what is not as it was.
  bool FindShapes(const std::vector<Sealed>& sealed, Shapes& shapes, std::string& misfit) {
    if (sealed.empty()) return true;
    for (const Sealed& one : sealed) AddFindShape(connection_, one.table, true);
    std::vector<Answer> answers;
    if (!db_.Send(sealed.size() * kShapeStatementsCount, answers)) return false;
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      const FoundShape found = ReadShape(sealed[i].table, &answers[i * kShapeStatementsCount]);
      const std::string name = sealed[i].table.Full();
      if (!found.exists) misfit = "table " + name + " is gone";
      if (found.exists) shapes[name] = found.shape.As(sealed[i].shape, misfit);
      if (misfit.empty() && !found.shape.why_not.empty()) misfit = NotUndone(found.shape);
      if (!misfit.empty()) break;
    }
    return true;
  }

  Db::Impl& db_;
  Connection& connection_;
  const Call& call_;
};

}  // namespace

DbHandler Recorded(DbHandler handler) {
  return [handler = std::move(handler)](Db& db, const Call& call) {
    return Step(Db::Impl::Of(db), call).Run(handler);
  };
}

DbHandler Inverse() {
  return [](Db& db, const Call& call) { return Compensation(Db::Impl::Of(db), call).Run(); };
}

}  // namespace assent::mariadb::internal
