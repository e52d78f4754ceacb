#include "coordinator/log/postgresql/group.h"

#include <algorithm>
#include <map>

#include "coordinator/log/postgresql/row_checks.h"

namespace assent::log {
namespace {

// Integers as parameters.
std::int64_t Number(std::uint64_t number) { return static_cast<std::int64_t>(number); }

}  // namespace

// ---- Entries to rows ----------------------------------------------------------------------------

Status Group::Plan(const GroupLessons& lessons) {
  plan_.Clear();
  steps_.clear();
  refused_.assign(batches_.size(), {});
  never_begun_.clear();
  ended_.clear();
  claimed_.clear();
  collided_.clear();
  forgotten_.clear();
  taken_gids_ = {lessons.taken_gids.begin(), lessons.taken_gids.end()};
  taken_serials_ = lessons.taken_serials;
  for (std::size_t b = 0; b < batches_.size(); ++b) {
    const std::vector<Entry>& batch = *batches_[b];
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (Status status = PlanEntry(b, i, batch[i], lessons); !status.ok()) return status;
    }
  }
  FlushPlan();
  return OkStatus();
}

Status Group::PlanEntry(std::size_t batch, std::size_t index, const Entry& entry,
                        const GroupLessons& lessons) {
  if (!is_loaded_(entry.slot))
    return OutOfTurn(entry, "slot " + std::to_string(entry.slot) + " is not ours");
  if (entry.kind == EntryKind::kForget) {
    PlanForget({.batch = batch, .index = index, .entry = &entry});
    return OkStatus();
  }
  if (entry.kind == EntryKind::kBegin &&
      (ended_.contains(entry.gid) || lessons.refused_begins.contains(entry.serial))) {
    Refuse(batch, index, AlreadyExists("transaction " + entry.gid + " has already finished"));
    never_begun_.push_back(entry.serial);
    return OkStatus();
  }
  if (unwritten_.NeverBegun(entry.serial) ||
      std::find(never_begun_.begin(), never_begun_.end(), entry.serial) != never_begun_.end()) {
    Refuse(batch, index,
           NotFound("transaction " + entry.gid + ", serial " + std::to_string(entry.serial) +
                    ": its beginning was refused"));
    return OkStatus();
  }
  Status status = plan_.Add(entry);
  if (status.ok() && entry.kind == EntryKind::kEnd) ended_.insert(entry.gid);
  return status;
}

// The row may be one that this very group finishes.
void Group::PlanForget(const Forgotten& forget) {
  FlushPlan();
  if (steps_.empty() || steps_.back().kind != Kind::kForget)
    steps_.push_back({.kind = Kind::kForget});
  steps_.back().forgets.push_back(forget);
  const std::string& gid = forget.entry->gid;
  ended_.erase(gid);
  claimed_.erase(gid);
  taken_gids_.erase(gid);
  forgotten_.insert(gid);
}

void Group::FlushPlan() {
  std::map<Kind, Step> steps;
  for (const NetWrite& write : plan_.writes()) {
    Kind kind = write.begin != nullptr ? Kind::kBegin : Kind::kUpdate;
    if (write.last->kind == EntryKind::kEnd && !Collides(write))
      kind = write.begin != nullptr ? Kind::kWhole : Kind::kEnd;
    Step& step = steps.try_emplace(kind, Step{.kind = kind}).first->second;
    step.rows.push_back(write);
  }
  plan_.Clear();
  for (auto& [kind, step] : steps) steps_.push_back(std::move(step));
}

// An end that cannot be: its row stays among the unfinished, in its last state.
bool Group::Collides(const NetWrite& write) {
  const Entry& end = *write.last;
  const bool in_the_way = write.begin == nullptr &&
                          (taken_gids_.contains(end.gid) || taken_serials_.contains(write.serial));
  if (!in_the_way && claimed_.insert(end.gid).second) return false;
  collided_.push_back(&end);
  return true;
}

// ---- Rows to statements -------------------------------------------------------------------------

void Group::AddTo(Connection& connection) const {
  for (const Step& step : steps_) {
    if (step.kind != Kind::kForget) {
      AddRows(step, age_ms_, connection);
      continue;
    }
    Column gids;
    Column slots;
    for (const Forgotten& forget : step.forgets) {
      gids.Add(forget.entry->gid);
      slots.Add(std::int64_t{forget.entry->slot});
    }
    connection.Add("forget_rows", Params().Texts(gids).Ints(slots));
  }
}

namespace {

// The columns of rows, as each kind of statement wants them: as arrays, or, of a single row, as
// they are.
class Table {
 public:
  explicit Table(std::size_t rows) : single_(rows == 1) {}
  bool single() const { return single_; }

  template <typename Rows, typename Value>
  Table& Ints(const Rows& rows, const Value& value) {
    if (single_) return params_.Int(Number(value(rows[0]))), *this;
    Column column;
    for (const auto& row : rows) column.Add(Number(value(row)));
    return params_.Ints(column), *this;
  }
  template <typename Rows, typename Value>
  Table& Texts(const Rows& rows, const Value& value) {
    return Words(rows, value, &Params::Texts);
  }
  template <typename Rows, typename Value>
  Table& Blobs(const Rows& rows, const Value& value) {
    return Words(rows, value, &Params::Blobs);
  }
  Table& Int(std::int64_t number) { return params_.Int(number), *this; }
  Params Take() { return std::move(params_); }

 private:
  template <typename Rows, typename Value>
  Table& Words(const Rows& rows, const Value& value, Params& (Params::*add)(const Column&)) {
    if (single_) return params_.Bytes(value(rows[0])), *this;
    Column column;
    for (const auto& row : rows) column.Add(std::string_view(value(row)));
    return (params_.*add)(column), *this;
  }
  const bool single_;
  Params params_;
};

std::uint64_t SlotOfRow(const NetWrite& row) { return row.last->slot; }
std::uint64_t Serial(const NetWrite& row) { return row.serial; }
std::uint64_t Stored(const NetWrite& row) { return row.stored_version; }
std::uint64_t Version(const NetWrite& row) { return row.last->version; }
std::uint64_t Outcome(const NetWrite& row) { return row.last->outcome; }
std::uint64_t UnixMs(const NetWrite& row) {
  return static_cast<std::uint64_t>(row.last->finished_unix_ms);
}
std::uint64_t StateCrc(const NetWrite& row) {
  return StateCheck(row.last->slot, row.serial, row.last->version, row.last->state);
}
std::uint64_t SpecCrc(const NetWrite& row) {
  return SpecCheck(row.begin->slot, row.serial, row.begin->gid, row.begin->spec);
}
std::uint64_t FinishedCrc(const NetWrite& row) {
  const Entry& end = *row.last;
  return FinishedCheck(end.slot, row.serial, end.outcome, end.finished_unix_ms, end.gid, end.state);
}
const std::string& Gid(const NetWrite& row) { return row.last->gid; }
const std::string& BeginGid(const NetWrite& row) { return row.begin->gid; }
const std::string& State(const NetWrite& row) { return row.last->state; }
const std::string& Spec(const NetWrite& row) { return row.begin->spec; }

}  // namespace

void Group::AddRows(const Step& step, std::int64_t age_ms, Connection& connection) {
  const std::vector<NetWrite>& rows = step.rows;
  const auto count = static_cast<std::int64_t>(rows.size());
  Table table(step.kind == Kind::kWhole ? 0 : rows.size());
  table.Ints(rows, SlotOfRow).Ints(rows, Serial);
  switch (step.kind) {
    case Kind::kBegin:
      table.Ints(rows, Version).Ints(rows, StateCrc).Ints(rows, SpecCrc);
      table.Texts(rows, BeginGid).Blobs(rows, State).Blobs(rows, Spec);
      return connection.Add(table.single() ? "begin_row" : "begin_rows", table.Take());
    case Kind::kUpdate:
      table.Ints(rows, Stored).Ints(rows, Version).Ints(rows, StateCrc).Blobs(rows, State);
      if (table.single()) return connection.Add("update_row", table.Take());
      return connection.Add("update_rows", table.Int(count).Take());
    case Kind::kEnd:
      table.Ints(rows, Stored).Texts(rows, Gid).Ints(rows, Outcome).Ints(rows, UnixMs);
      table.Ints(rows, FinishedCrc).Blobs(rows, State).Int(age_ms);
      if (table.single()) return connection.Add("end_row", table.Take());
      return connection.Add("end_rows", table.Int(count).Take());
    case Kind::kWhole:
      table.Ints(rows, Outcome).Ints(rows, UnixMs).Ints(rows, FinishedCrc).Ints(rows, SpecCrc);
      table.Texts(rows, BeginGid).Blobs(rows, State).Int(age_ms).Blobs(rows, Spec);
      return connection.Add("whole_rows", table.Take());
    case Kind::kForget: break;
  }
  ASSENT_CHECK(false);
}

// ---- Answers to entries -------------------------------------------------------------------------

void Group::Refuse(std::size_t batch, std::size_t index, Status status) {
  refused_[batch].push_back({.index = index, .status = std::move(status)});
}

// Its kBegin found its gid taken: that one, and whatever the group has behind it.
void Group::RefuseRow(std::uint64_t serial) {
  never_begun_.push_back(serial);
  for (std::size_t b = 0; b < batches_.size(); ++b) {
    const std::vector<Entry>& batch = *batches_[b];
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const Entry& entry = batch[i];
      if (entry.serial != serial || entry.kind == EntryKind::kForget) continue;
      if (entry.kind == EntryKind::kBegin) {
        Refuse(b, i, AlreadyExists("transaction " + entry.gid + " has already finished"));
      } else {
        Refuse(b, i,
               NotFound("transaction " + entry.gid + ", serial " + std::to_string(serial) +
                        ": its beginning was refused"));
      }
    }
  }
}

void Group::RefuseCollided() {
  for (const Entry* entry : collided_) {
    for (std::size_t b = 0; b < batches_.size(); ++b) {
      const std::vector<Entry>& batch = *batches_[b];
      if (entry < batch.data() || entry >= batch.data() + batch.size()) continue;
      Refuse(b, static_cast<std::size_t>(entry - batch.data()),
             AlreadyExists("transaction " + entry->gid +
                           " cannot end: a finished one is in its place"));
    }
  }
}

void Group::Finish(GroupOutcome& outcome) {
  RefuseCollided();
  for (std::vector<RefusedEntry>& refused : refused_) {
    std::sort(refused.begin(), refused.end(),
              [](const auto& x, const auto& y) { return x.index < y.index; });
  }
  outcome.refused = std::move(refused_);
  outcome.never_begun = std::move(never_begun_);
}

std::set<std::uint64_t> Group::RefusedBegins(const std::vector<Answer>& answers) const {
  std::set<std::uint64_t> refused;
  for (std::size_t i = 0; i < steps_.size() && i < answers.size() && answers[i].ok(); ++i) {
    const Step& step = steps_[i];
    if (step.kind != Kind::kBegin && step.kind != Kind::kWhole) continue;
    const Rows& began = answers[i].rows;
    if (began.size() == static_cast<int>(step.rows.size())) continue;
    for (const NetWrite& row : step.rows) refused.insert(row.serial);
    for (int row = 0; row < began.size(); ++row) refused.erase(began.Unsigned(row, 0));
  }
  return refused;
}

void Group::Take(const std::vector<Answer>& answers, GroupOutcome& outcome) {
  for (const std::uint64_t serial : RefusedBegins(answers)) RefuseRow(serial);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.kind == Kind::kEnd) finished_rows_ += static_cast<std::int64_t>(step.rows.size());
    if (step.kind == Kind::kWhole) finished_rows_ += answers[i].rows.size();
    if (step.kind != Kind::kForget) continue;
    std::set<std::string_view> gone;
    for (int row = 0; row < answers[i].rows.size(); ++row)
      gone.insert(answers[i].rows.Bytes(row, 0));
    finished_rows_ -= static_cast<std::int64_t>(gone.size());
    for (const Forgotten& forget : step.forgets) {
      if (gone.erase(forget.entry->gid) != 0) continue;
      Refuse(forget.batch, forget.index, NotFound("no finished transaction " + forget.entry->gid));
    }
  }
  Finish(outcome);
}

// What was to be forgotten is not there, whoever did it.
void Group::TakeUnseen(const std::set<std::uint64_t>& began, GroupOutcome& outcome) {
  for (const Step& step : steps_) {
    if (step.kind == Kind::kEnd) finished_rows_ += static_cast<std::int64_t>(step.rows.size());
    if (step.kind != Kind::kBegin && step.kind != Kind::kWhole) continue;
    for (const NetWrite& row : step.rows) {
      if (!began.contains(row.serial) && !forgotten_.contains(row.begin->gid))
        RefuseRow(row.serial);
    }
  }
  Finish(outcome);
}

void Group::Begun(Column& slots, Column& serials) const {
  for (const Step& step : steps_) {
    if (step.kind != Kind::kBegin && step.kind != Kind::kWhole) continue;
    for (const NetWrite& row : step.rows) {
      slots.Add(SlotOfRow(row));
      serials.Add(row.serial);
    }
  }
}

void Group::Ends(Column& gids, Column& serials) const {
  for (const Step& step : steps_) {
    if (step.kind != Kind::kEnd) continue;
    for (const NetWrite& row : step.rows) {
      gids.Add(row.last->gid);
      serials.Add(row.serial);
    }
  }
}

void Group::RowsOf(std::size_t statement, Column& slots, Column& serials) const {
  for (const NetWrite& row : steps_[statement].rows) {
    slots.Add(SlotOfRow(row));
    serials.Add(row.serial);
  }
}

Status Group::NameFault(std::size_t statement, const Rows& stored) const {
  struct Stored {
    std::uint64_t version;
    std::string_view gid;
  };
  std::map<std::uint64_t, Stored> rows;
  for (int row = 0; row < stored.size(); ++row)
    rows[stored.Unsigned(row, 0)] = {stored.Unsigned(row, 1), stored.Bytes(row, 2)};
  const Step& step = steps_[statement];
  for (const NetWrite& row : step.rows) {
    const auto at = rows.find(row.serial);
    if (step.kind == Kind::kBegin || step.kind == Kind::kWhole) {
      if (at != rows.end()) return OutOfTurn(*row.last, "there is a row with this serial");
      continue;
    }
    if (at == rows.end() || at->second.version != row.stored_version ||
        (step.kind == Kind::kEnd && at->second.gid != row.last->gid)) {
      return OutOfTurn(*row.last, "there is no unfinished row of this gid with version " +
                                      std::to_string(row.stored_version));
    }
  }
  return FailedPrecondition("a row of this group is not as it should be");
}

}  // namespace assent::log
