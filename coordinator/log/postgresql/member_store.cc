#include "coordinator/log/postgresql/member_store.h"

#include <algorithm>
#include <random>
#include <utility>

#include "coordinator/log/epoch.h"
#include "coordinator/log/postgresql/member_rows.h"

namespace assent::log {
namespace {

using cluster::Heir;

constexpr int kMaxJoinTries = 50;

std::string Text(std::uint64_t number) { return std::to_string(number); }

// '{1,2,3}'::bigint[]
template <typename Range, typename Get>
std::string Array(const Range& range, const Get& get) {
  std::string list;
  for (const auto& one : range) list += (list.empty() ? "" : ",") + std::to_string(get(one));
  return "'{" + list + "}'::bigint[]";
}

// The statement that ends with it stands or falls with the condition that it changed a row.
std::string Exactly1(const std::string& statement) {
  return "WITH done AS (" + statement + " RETURNING 1) SELECT 1/(SELECT count(*) FROM done);";
}

std::string Alive(const std::string& epoch) {
  return "EXISTS (SELECT 1 FROM member m WHERE m.epoch = " + epoch + " AND NOT m.ended)";
}

// Whoever gets a slot begins behind the last serial that the one before may have given. And its
// epoch is not below the time: a log that was restored from an older copy does not know how high it
// has been, and every slot of it is taken anew.
std::string TakeSlot(std::int64_t now_ms) {
  return " slot_epoch = greatest(slot_epoch + 1, " + std::to_string(now_ms) +
         "), wanted = 0, serial_floor_ms = greatest(serial_floor_ms,"
         " coalesce((SELECT m.serial_limit_ms FROM member m WHERE m.epoch = slot.owner), 0))";
}

std::string GiveTo(const std::vector<Heir>& heirs, std::int64_t now_ms, const std::string& where) {
  return "UPDATE slot SET owner = heir.epoch," + TakeSlot(now_ms) + " FROM unnest(" +
         Array(heirs, [](const Heir& heir) { return heir.slot; }) + ", " +
         Array(heirs, [](const Heir& heir) { return heir.epoch; }) +
         ") AS heir(slot, epoch) WHERE slot.id = heir.slot AND " + where + ";";
}

// What a person has asked of a member: `fence` or `drain`. It is in the way of nothing but itself.
std::string NoteAsked(std::uint64_t epoch, const char* what, const cluster::Asked& asked) {
  const std::string of = " WHERE epoch = " + Text(epoch) + " AND what = '" + what + "';";
  if (!asked) return "DELETE FROM asked" + of;
  return "DELETE FROM asked" + of +
         "INSERT INTO asked (epoch, what, who, reason, unix_ms) SELECT " + Text(epoch) + ", '" +
         what + "', " + Quoted(asked.who) + ", " + Quoted(asked.reason) + ", " +
         std::to_string(asked.unix_ms) + ";";
}

std::string LockTimeout() {
  return "SET lock_timeout = " + std::to_string(PostgresMemberStore::kLockPatience.count());
}

}  // namespace

PostgresMemberStore::PostgresMemberStore(PostgresMemberOptions options)
    : options_(std::move(options)) {}

// ---- The connection -----------------------------------------------------------------------------

Status PostgresMemberStore::Open() {
  if (connection_ && !connection_->broken()) return OkStatus();
  Status status = Connect();
  if (status.ok()) return status;
  connection_.reset();
  // Whatever a server that has let us in before says now, it may let us in again.
  return epoch_ == 0 ? status : Unavailable(status.message());
}

Status PostgresMemberStore::Connect() {
  auto opened = Connection::Open(options_.connection);
  if (!opened.ok()) return opened.status();
  connection_ = *std::move(opened);
  const Answer answer = connection_->Run(LockTimeout());
  if (!answer.ok()) return answer.status(connection_->place());
  return epoch_ == 0 ? OkStatus() : LookAtOrigin();
}

Status PostgresMemberStore::LookAtOrigin() {
  const Result<std::uint64_t> generation = CheckOrigin(*connection_, options_.origin);
  if (generation.ok()) found_generation_ = generation.value();
  return generation.status();
}

// What comes with a warning may not be where it has to be.
Answer PostgresMemberStore::Do(const std::string& statements) {
  std::string words;
  (void)connection_->TakeWarning(words);
  Answer answer = connection_->Run(statements);
  if (connection_->TakeWarning(words) && answer.ok()) {
    answer.verdict = Verdict::kUnknown;
    answer.message = std::move(words);
  }
  return answer;
}

// Of what should always work. kNotFound: it answers, and has no log any more.
Status PostgresMemberStore::NoAnswer(const Answer& answer) const {
  if (answer.sqlstate != "42P01" && answer.sqlstate != "3F000")
    return Unavailable(connection_->place() + ": " + answer.message);
  return NotFound(connection_->place() + ": schema " + options_.connection.schema +
                  " has lost its tables (" + answer.message +
                  "): somebody dropped or renamed it; bring it back, from a backup or by its name, "
                  "or stop all coordinators: without it nothing goes on");
}

// Another start of the same node is a mistake of people, more often than not. What people have
// asked for they have a reason for.
Status PostgresMemberStore::WhyEnded(const ConnectionOptions& options, std::uint64_t epoch,
                                     std::chrono::milliseconds since, const Status& why) {
  const auto opened = Connection::Open(options);
  if (!opened.ok()) return why;
  const Answer answer = opened.value()->Run(
      "SELECT m.ended_by, coalesce(o.node, ''), coalesce(o.address, ''),"
      " CASE WHEN o.node = m.node THEN 1 ELSE 0 END, coalesce(a.who, ''), coalesce(a.reason, ''),"
      " g.format, g.origin FROM member m JOIN log g ON g.one = 1"
      " LEFT JOIN member o ON o.epoch = m.ended_by"
      " LEFT JOIN asked a ON a.epoch = m.epoch AND a.what = 'fence' WHERE m.ended AND m.epoch = " +
      Text(epoch));
  if (!answer.ok() || answer.rows.size() != 1) return why;
  const Rows& rows = answer.rows;
  const std::uint64_t by = rows.Unsigned(0, 0);
  const std::string who = rows.Text(0, 4);
  if (by == kEndedByNoMember && rows.Int(0, 6) > kMovedFormat)
    return NotFound("this log " + rows.Text(0, 7) + ": it goes on there");
  if (by == kEndedByNoMember) {
    return {Code::kAborted,
            "somebody has said that this log was put back to an older state (assentctl cluster "
            "restored), which ends all that were there before"};
  }
  if (rows.Text(0, 1).empty()) return why;
  if (!who.empty()) {
    return FailedPrecondition(who + " has had this one fenced, by node " + rows.Text(0, 1) + ": " +
                              rows.Text(0, 5) + "; others have its slots");
  }
  if (rows.Int(0, 3) == 0) {
    return FailedPrecondition("node " + rows.Text(0, 1) +
                              " has fenced this one, which it had not seen move on for a lease: "
                              "stopped, or cut off from the database; others have its slots");
  }
  if (by == epoch) return why;
  return {Code::kAlreadyExists, "another coordinator with the name of this one (node " +
                                    rows.Text(0, 1) + ") has started at " + rows.Text(0, 2) +
                                    ", within the last " +
                                    std::to_string(since.count() / 1000 + 1) + " s (epoch " +
                                    Text(by) + "): it has ended this one, and has its slots"};
}

// ---- Coming and going ---------------------------------------------------------------------------

std::int64_t PostgresMemberStore::RanMs() const {
  return age_at_join_ms_ + std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::steady_clock::now() - joined_at_)
                               .count();
}

Result<cluster::Joined> PostgresMemberStore::Join(const cluster::MemberCard& card) {
  cluster::Joined joined;
  for (int attempt = 0; attempt < kMaxJoinTries; ++attempt) {
    if (Status status = Open(); !status.ok()) return status;
    const Result<LogRow> log =
        OpenSchema(*connection_, options_.connection.schema, options_.schema);
    if (!log.ok()) return log.status();
    if (Status status = LookAtOrigin(); !status.ok()) return status;
    const Result<bool> done = TryToJoin(card, *log, joined);
    if (!done.ok()) return done.status();
    if (!done.value()) continue;
    if (Status status = ReadJoined(joined); !status.ok()) return status;
    generation_ = found_generation_;
    Tidy();
    return joined;
  }
  return Unavailable(connection_->place() +
                     ": others keep joining, or a group of an earlier start of this node does not "
                     "end");
}

// False: others were faster, or a group of the node's last start is still under way.
Result<bool> PostgresMemberStore::TryToJoin(const cluster::MemberCard& card, const LogRow& log,
                                            cluster::Joined& joined) {
  std::random_device random;
  const std::uint64_t epoch = FirstEpochOf(log.starts + 1) | (random() & (FirstEpochOf(1) - 1));
  const std::string me = Text(epoch);
  const std::int64_t limit = options_.serial_now_ms() + kSerialsAheadMs;
  std::string lanes;
  for (std::uint32_t lane = 0; lane < card.lanes_count; ++lane)
    lanes += (lane == 0 ? "" : ",") + Text(lane);
  const std::string twins = "SELECT epoch FROM member WHERE node = " + Quoted(card.node) +
                            " AND epoch <> " + me + " AND ended_by = " + me;
  const Answer answer = Do(
      Exactly1("UPDATE log SET starts = starts + 1 WHERE one = 1 AND starts = " +
               Text(log.starts)) +
      "INSERT INTO member SELECT " + me + ", generation, " + Quoted(card.node) + ", " +
      Quoted(card.address) + ", " + Quoted(card.version) + ", 0, " + std::to_string(limit) +
      ", false, false, NULL, pg_backend_pid() FROM log WHERE one = 1;" +
      "UPDATE member SET ended = true, ended_by = " + me + " WHERE node = " + Quoted(card.node) +
      " AND NOT ended AND epoch <> " + me + ";" + "UPDATE lane SET fenced = true WHERE epoch IN (" +
      twins + ");" + "UPDATE slot SET owner = " + me + "," + TakeSlot(options_.serial_now_ms()) +
      " WHERE NOT " + Alive("slot.owner") + ";" + "INSERT INTO lane SELECT " + me +
      ", id, 0, false, NULL FROM unnest('{" + lanes + "}'::bigint[]) AS u(id)");
  if (answer.verdict == Verdict::kLocked) {
    EndSessions("SELECT epoch FROM member WHERE node = " + Quoted(card.node) + " AND NOT ended");
  }
  if (answer.verdict == Verdict::kLocked || answer.verdict == Verdict::kCondition ||
      answer.verdict == Verdict::kAgain) {
    return false;
  }
  if (!answer.ok()) return answer.status(connection_->place() + ": joining");
  joined.epoch = epoch_ = epoch;
  joined.log_id = log.log_id;
  joined.slots_count = log.slots_count;
  age_at_join_ms_ = log.age_ms;
  joined_at_ = std::chrono::steady_clock::now();
  serial_limit_ms_ = limit;
  return true;
}

Status PostgresMemberStore::ReadJoined(cluster::Joined& joined) {
  const Answer epochs = connection_->Run(
      "SELECT m.epoch, m.generation FROM member m, log WHERE m.generation = log.generation ORDER BY"
      " m.epoch DESC LIMIT " +
      std::to_string(kMaxEpochsCount));
  if (!epochs.ok()) return epochs.status(connection_->place());
  for (int row = epochs.rows.size(); row-- > 0;) {
    joined.epochs.push_back(epochs.rows.Unsigned(row, 0));
    joined.generation = epochs.rows.Unsigned(row, 1);
  }
  const Answer slots = connection_->Run(
      "SELECT id, slot_epoch, serial_floor_ms FROM slot WHERE owner = " + Text(epoch_) +
      " ORDER BY id");
  if (!slots.ok()) return slots.status(connection_->place());
  Result<std::vector<cluster::Grant>> grants = ReadGrants(slots.rows, joined.slots_count);
  if (!grants.ok()) return DataLoss(connection_->place() + ": " + grants.status().message());
  joined.slots = *std::move(grants);
  return OkStatus();
}

// What ended members left behind. Of who still owns a slot the limit of its serials is needed. It
// may fail: the next one who joins does it.
void PostgresMemberStore::Tidy() {
  (void)connection_->Run(
      "DELETE FROM batch WHERE epoch IN (SELECT epoch FROM member WHERE ended);"
      "DELETE FROM member WHERE ended AND epoch NOT IN (SELECT epoch FROM member ORDER BY epoch "
      "DESC"
      " LIMIT " +
      std::to_string(kMaxEpochsCount) +
      ") AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.owner = member.epoch);"
      "DELETE FROM lane WHERE NOT EXISTS (SELECT 1 FROM member m WHERE m.epoch = lane.epoch);"
      "DELETE FROM asked WHERE NOT EXISTS (SELECT 1 FROM member m WHERE m.epoch = asked.epoch)");
}

Status PostgresMemberStore::Leave() {
  if (Status status = Open(); !status.ok()) return status;
  const std::string me = Text(epoch_);
  const Answer answer =
      Do(Exactly1("UPDATE member SET ended = true, ended_by = " + me + " WHERE epoch = " + me +
                  " AND NOT ended AND NOT EXISTS (SELECT 1 FROM slot WHERE owner = " + me + ")") +
         "UPDATE lane SET fenced = true WHERE epoch = " + me);
  if (answer.verdict == Verdict::kCondition)
    return FailedPrecondition("it has slots, or has been fenced");
  return answer.status(connection_->place() + ": leaving");
}

// ---- Being there, and seeing the others ---------------------------------------------------------

Status PostgresMemberStore::Beat() {
  if (Status status = Open(); !status.ok()) return status;
  // A limit that has been given stays, also when the clock goes back, and when a beat of an earlier
  // connection comes late.
  const std::int64_t limit = std::max(serial_limit_ms_, options_.serial_now_ms() + kSerialsAheadMs);
  const std::int64_t age = RanMs();
  // The log's row before the member's, as in Join. Once a second is often enough.
  const Answer answer =
      Do("UPDATE log SET age_ms = " + std::to_string(age) + " WHERE one = 1 AND age_ms < " +
         std::to_string(age - 1000) + ";" +
         Exactly1("UPDATE member SET beat = beat + 1, observer_pid = pg_backend_pid(),"
                  " serial_limit_ms = greatest(serial_limit_ms, " +
                  std::to_string(limit) + ") WHERE epoch = " + Text(epoch_) +
                  " AND NOT ended AND beat >= " + Text(beats_)));
  if (answer.verdict == Verdict::kCondition) return WhyNoBeat();
  if (!answer.ok()) return NoAnswer(answer);
  generation_ = found_generation_;
  serial_limit_ms_ = limit;
  ++beats_;
  return OkStatus();
}

Status PostgresMemberStore::WhyNoBeat() {
  const Answer row = connection_->Run("SELECT ended FROM member WHERE epoch = " + Text(epoch_));
  if (!row.ok()) return NoAnswer(row);
  if (row.rows.size() == 1 && row.rows.Int(0, 0) != 0) {
    return FailedPrecondition(connection_->place() + ": epoch " + Text(epoch_) +
                              " has ended: others have taken its slots");
  }
  (void)CheckOrigin(*connection_, options_.origin, generation_);
  return DataLoss(connection_->place() + ": the store has lost what it had acknowledged: beat " +
                  Text(beats_) + " of epoch " + Text(epoch_));
}

Result<cluster::View> PostgresMemberStore::Look() {
  if (Status status = Open(); !status.ok()) return status;
  const Answer answer = connection_->Query(kLookSql, Params());
  if (!answer.ok()) return NoAnswer(answer);
  Result<cluster::View> view = ReadView(answer.rows);
  if (view.ok()) return view;
  return DataLoss(connection_->place() + ": " + view.status().message());
}

// ---- Slots --------------------------------------------------------------------------------------

Result<cluster::MemberStore::Fenced> PostgresMemberStore::Fence(std::uint64_t victim,
                                                                std::uint64_t seen_beat,
                                                                const std::vector<Heir>& heirs,
                                                                const cluster::Asked& asked) {
  if (Status status = Open(); !status.ok()) return status;
  const std::string of_victim = Text(victim);
  const Answer answer =
      Do(Exactly1("UPDATE member SET ended = true, ended_by = " + Text(epoch_) +
                  " WHERE epoch = " + of_victim + " AND NOT ended AND beat = " + Text(seen_beat) +
                  " AND " + Alive(Text(epoch_))) +
         "UPDATE lane SET fenced = true WHERE epoch = " + of_victim + ";" +
         NoteAsked(victim, "fence", asked) +
         GiveTo(heirs, options_.serial_now_ms(), "slot.owner = " + of_victim));
  switch (answer.verdict) {
    case Verdict::kDone: return Fenced::kDone;
    case Verdict::kCondition:
    case Verdict::kAgain: return Fenced::kMoved;
    case Verdict::kLocked: EndSessions(of_victim); return Fenced::kHeld;
    case Verdict::kSkipped:
    case Verdict::kDuplicate:
    case Verdict::kNoSpace:
    case Verdict::kRefused:
    case Verdict::kUnknown: break;
  }
  return NoAnswer(answer);
}

// A group of which the rest never arrives holds its locks for ever, and no timeout of the server's
// ends it. Where the function is missing or refused, the server's own ways have to do.
void PostgresMemberStore::EndSessions(const std::string& of_members) {
  if (connection_->broken()) return;
  (void)connection_->Run(
      "SELECT pg_terminate_backend(pid) FROM (SELECT backend FROM lane WHERE epoch"
      " IN (" +
      of_members + ") UNION ALL SELECT observer_pid FROM member WHERE epoch IN (" + of_members +
      ")) AS session(pid) WHERE pid IS NOT NULL AND pid <> pg_backend_pid()");
}

// What somebody has locked now is looked at again soon.
Status PostgresMemberStore::Claim(const std::vector<Heir>& heirs) {
  if (Status status = Open(); !status.ok()) return status;
  const Answer answer = Do(GiveTo(heirs, options_.serial_now_ms(), "NOT " + Alive("slot.owner")));
  return answer.ok() || answer.verdict == Verdict::kLocked ? OkStatus() : NoAnswer(answer);
}

Status PostgresMemberStore::Want(std::uint64_t owner, const std::vector<Slot>& slots,
                                 std::uint64_t to) {
  if (Status status = Open(); !status.ok()) return status;
  const Answer answer =
      Do("UPDATE slot SET wanted = " + Text(to) + " WHERE id = ANY(" +
         Array(slots, [](Slot slot) { return slot; }) + ") AND owner = " + Text(owner) +
         " AND NOT " + Alive("slot.wanted") + " AND " + Alive(Text(to)));
  return answer.ok() || answer.verdict == Verdict::kLocked ? OkStatus() : NoAnswer(answer);
}

Status PostgresMemberStore::SetDraining(std::uint64_t epoch, bool draining,
                                        const cluster::Asked& asked) {
  if (Status status = Open(); !status.ok()) return status;
  const Answer answer = Do(
      Exactly1(std::string("UPDATE member SET draining = ") + (draining ? "true" : "false") +
               " WHERE epoch = " + Text(epoch) + " AND NOT ended") +
      (draining && !asked ? "" : NoteAsked(epoch, "drain", draining ? asked : cluster::Asked{})));
  if (answer.verdict == Verdict::kCondition) return NotFound("no such member");
  return answer.ok() ? OkStatus() : NoAnswer(answer);
}

// The log's row first: of two who pin at once the later one's word stands, whole.
Status PostgresMemberStore::SetPin(const std::vector<Slot>& slots, const std::string& node,
                                   const cluster::Asked& asked) {
  if (Status status = Open(); !status.ok()) return status;
  const std::string list = Array(slots, [](Slot slot) { return slot; });
  std::string sql =
      "UPDATE log SET age_ms = age_ms WHERE one = 1;"
      "DELETE FROM pin WHERE slot = ANY(" +
      list + ");";
  if (!node.empty()) {
    sql += "INSERT INTO pin (slot, node, who, reason, unix_ms) SELECT id, " + Quoted(node) + ", " +
           Quoted(asked.who) + ", " + Quoted(asked.reason) + ", " + std::to_string(asked.unix_ms) +
           " FROM slot WHERE id = ANY(" + list + ")";
  }
  const Answer answer = Do(sql);
  return answer.ok() ? OkStatus() : NoAnswer(answer);
}

}  // namespace assent::log
