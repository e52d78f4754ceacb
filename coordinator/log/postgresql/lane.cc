#include "coordinator/log/postgresql/lane.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/log/postgresql/lane_sql.h"

namespace assent::log {
namespace {

using Millis = std::chrono::milliseconds;

// How long the old session's transaction may take to end by itself.
constexpr const char* kPatience = "300ms";
constexpr Millis kFirstPause{20};
constexpr Millis kLongestPause{1000};
// A group that is under way for longer: the store is away, for all that anybody can tell.
constexpr Millis kAwayAfter{2000};
// One group, sent again for reasons that have nothing to do with a lost connection.
constexpr int kMaxTries = 20;
constexpr std::uint64_t kGroupsKept = 1000;

}  // namespace

bool Lane::away() const {
  const std::int64_t since = waits_since_ms_.load(std::memory_order_relaxed);
  return away_.load(std::memory_order_relaxed) ||
         (since != 0 && base::MonoNowMs() - since > kAwayAfter.count());
}

void Lane::NoteAway(const Status& why) {
  if (!away_.exchange(true) && options_.on_away) options_.on_away(why);
}

void Lane::NoteBack() {
  if (away_.exchange(false) && options_.on_back) options_.on_back();
}

Status Lane::Failed(Status why) {
  connection_.reset();
  return why;
}

Status Lane::Connect() {
  Result<std::unique_ptr<Connection>> opened = Connection::Open(options_.connection);
  if (!opened.ok()) return opened.status();
  // One of which it is not known what it is, is none.
  const Result<std::uint64_t> generation = CheckOrigin(**opened, options_.origin);
  if (!generation.ok()) return generation.status();
  found_generation_ = generation.value();
  connection_ = *std::move(opened);
  return OkStatus();
}

Status Lane::Open(std::uint64_t epoch, int lane) {
  epoch_ = epoch;
  lane_ = lane;
  for (int tries = 1;; ++tries) {
    Status status = OpenOnce();
    if (status.ok()) {
      seq_ = stored_seq_;
      generation_ = found_generation_;
    }
    if (status.ok() || fenced_ || regressed_ || tries == kMaxTries ||
        status.code() != Code::kUnavailable || connection_ == nullptr) {
      return status;
    }
  }
}

// kUnavailable: to be tried again.
Status Lane::OpenOnce() {
  if (connection_ == nullptr || connection_->broken()) {
    connection_.reset();
    if (Status status = Connect(); !status.ok()) return status;
  }
  const Result<std::uint64_t> stored = TakeOver();
  if (!stored.ok()) return stored.status();
  stored_seq_ = stored.value();
  for (const LaneStatement& statement : kLaneStatements)
    connection_->AddPrepare(statement.name, statement.sql);
  for (const Answer& prepared : connection_->Exchange()) {
    if (!prepared.ok()) return prepared.status("preparing the lane's statements");
  }
  return OkStatus();
}

// From here on no group of an earlier connection is accepted, nor is any under way: the row is ours
// once their share of its lock is gone. Our commit makes durable, wherever it is, what we then
// read.
Result<std::uint64_t> Lane::TakeOver() {
  const std::string which =
      " WHERE epoch = " + std::to_string(epoch_) + " AND lane = " + std::to_string(lane_);
  const Answer taken =
      connection_->Run(std::string("SET LOCAL lock_timeout = '") + kPatience +
                       "'; UPDATE lane SET conn = conn + 1, backend = pg_backend_pid()" + which +
                       " RETURNING conn, fenced");
  std::string warning;
  if (connection_->TakeWarning(warning)) {
    connection_.reset();
    return Unavailable("opening the lane: " + warning);
  }
  if (taken.verdict == Verdict::kLocked) {
    EndOldSession();
    return Unavailable("the lane is held by the connection before this one");
  }
  if (!taken.ok()) return taken.status("opening the lane");
  const std::string me = "lane " + std::to_string(lane_) + " of epoch " + std::to_string(epoch_);
  if (taken.rows.size() != 1)
    return Lost(me + " is gone from the store, which has lost what it had acknowledged");
  if (taken.rows.Int(0, 1) != 0) {
    fenced_ = true;
    return FailedPrecondition("epoch " + std::to_string(epoch_) +
                              " is fenced: other coordinators have taken its slots");
  }
  // A number that this lane has had already: the opening before this one is lost, and what was
  // read and written since.
  const std::uint64_t conn = taken.rows.Unsigned(0, 0);
  if (conn <= conn_) {
    return Lost(me + " was opened " + std::to_string(conn_) + " times, the store knows of " +
                std::to_string(conn) + ": it has lost what it had acknowledged");
  }
  conn_ = conn;
  // An older copy may have taken further groups before anybody looked.
  const Answer seq = connection_->Run(
      "SELECT max(seq), coalesce(max(seq) - min(seq) + 1, 0) - count(*) FROM batch" + which);
  if (!seq.ok()) return seq.status("reading the last group");
  if (seq.rows.Int(0, 1) != 0)
    return Lost(me +
                " lacks groups before its last one: the store has lost what it had "
                "acknowledged");
  return seq.rows.Unsigned(0, 0);
}

// Whoever comes next must know as well, also if the store does not look like another: nothing that
// began before may be presumed about.
Status Lane::Lost(const std::string& what) {
  regressed_ = true;
  (void)CheckOrigin(*connection_, options_.origin, generation_);
  return DataLoss(what);
}

// It is ours, and half of a message may keep it waiting for the other half for ever. A store that
// cannot end it will let go of it in its own time.
void Lane::EndOldSession() {
  (void)connection_->Run(
      "SELECT pg_terminate_backend(backend) FROM lane WHERE epoch = " + std::to_string(epoch_) +
      " AND lane = " + std::to_string(lane_) + " AND backend <> pg_backend_pid()");
}

// However long it takes.
Status Lane::Reopen() {
  Millis pause = kFirstPause;
  for (;;) {
    Status status = OpenOnce();
    if (status.ok()) {
      NoteBack();
      return status;
    }
    if (fenced_ || regressed_) return Failed(std::move(status));
    if (connection_ == nullptr || connection_->broken()) NoteAway(status);
    if (options_.stop != nullptr && !options_.stop->Sleep(pause))
      return Failed(Unavailable("stopped while the store was away: " + status.message()));
    pause = std::min(pause * 2, kLongestPause);
  }
}

Result<bool> Lane::Settle() {
  // What an old session has not said by now it will not say any more.
  connection_.reset();
  if (Status status = Reopen(); !status.ok()) return status;
  if (stored_seq_ < seq_) {
    return Failed(Lost("the store has lost what it had acknowledged: group " +
                       std::to_string(seq_) + " of epoch " + std::to_string(epoch_) +
                       " was committed, the last one that is there is " +
                       std::to_string(stored_seq_)));
  }
  generation_ = found_generation_;
  const bool committed = stored_seq_ == seq_ + 1;
  ASSENT_CHECK(committed || stored_seq_ == seq_);
  return committed;
}

Status Lane::Confirm() {
  const Result<bool> committed = Settle();
  if (committed.ok()) ASSENT_CHECK(!committed.value());  // there was no group
  return committed.status();
}

Result<Connection*> Lane::ForReading() {
  if (fenced_ || regressed_) return Unavailable("the lane is closed");
  if (connection_ == nullptr || connection_->broken()) {
    if (Status status = Confirm(); !status.ok()) return status;
  }
  return connection_.get();
}

// One of the group's own statements, or the fence, said no: nothing of it is there.
GroupResult Lane::Undone(std::vector<Answer> answers, std::size_t at) {
  answers.erase(answers.begin(), answers.begin() + 2);
  answers.pop_back();
  if (!connection_->Run("ROLLBACK").ok()) connection_.reset();
  return {.what = GroupResult::What::kRejected,
          .answers = std::move(answers),
          .rejected_at = at - 2,
          .why = {}};
}

GroupResult Lane::Commit(const std::function<void(Connection&)>& fill) {
  int tries = 0;
  for (;;) {
    Result<Connection*> ready = ForReading();
    if (!ready.ok()) return {.answers = {}, .why = ready.status()};
    Connection& connection = *ready.value();
    connection.Add("begin", Params());
    connection.Add("fence", Params().Int(epoch_).Int(std::int64_t{lane_}).Int(seq_ + 1).Int(conn_));
    fill(connection);
    if ((seq_ + 1) % kGroupsKept == 0)
      connection.Add("forget_groups",
                     Params().Int(epoch_).Int(std::int64_t{lane_}).Int(seq_ + 1 - kGroupsKept));
    connection.Add("commit", Params());
    waits_since_ms_ = base::MonoNowMs();
    std::vector<Answer> answers = connection.Exchange();
    waits_since_ms_ = 0;
    std::string warning;
    const bool warned = connection.TakeWarning(warning);
    const auto bad = std::find_if(answers.begin(), answers.end(),
                                  [](const Answer& answer) { return !answer.ok(); });
    if (bad == answers.end() && !warned) {
      ++seq_;
      answers.erase(answers.begin(), answers.begin() + 2);
      answers.pop_back();
      return {.what = GroupResult::What::kCommitted, .answers = std::move(answers), .why = {}};
    }
    const auto at = static_cast<std::size_t>(bad - answers.begin());
    const bool own = at >= 2 && at + 1 < answers.size();
    const Verdict verdict = bad == answers.end() ? Verdict::kUnknown : bad->verdict;
    const std::string words = warned ? warning : bad->message;
    // Seen before its COMMIT, and with a connection that still answers, it is certainly undone.
    if (!warned && at + 1 < answers.size() && verdict == Verdict::kAgain) {
      if (!connection.Run("ROLLBACK").ok()) connection_.reset();
    } else if (!warned && own && verdict != Verdict::kUnknown) {
      return Undone(std::move(answers), at);
    } else if (!warned && at < 2 && verdict == Verdict::kNoSpace) {
      connection_.reset();  // closes whatever it began
      return {.answers = {}, .why = ResourceExhausted(words)};
    } else {
      const bool lost = connection.broken() || warned;
      const Result<bool> committed = Settle();
      if (!committed.ok()) return {.answers = {}, .why = committed.status()};
      if (options_.on_settled) options_.on_settled(committed.value());
      if (committed.value()) {
        ++seq_;
        return {.what = GroupResult::What::kCommittedUnseen, .answers = {}, .why = {}};
      }
      if (lost) continue;
    }
    if (++tries == kMaxTries)
      return {.answers = {}, .why = Internal("a group is refused again and again: " + words)};
  }
}

}  // namespace assent::log
