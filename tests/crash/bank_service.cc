// A bank as a process, over the SDK's SQLite adapter: `move` in all three protocols, `book` (a step
// compensated by itself) and `look` (which writes nothing). Every effect leaves a token, in a table
// that would take a second one: an effect that happened twice is seen, not prevented.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <assent/participant.h>
#include <assent/sqlite.h>
#include <assent/thread_safety.h>

#include "tests/crash/bank.h"
#include "tests/crash/bank_dialled.h"

namespace {

using assent::Call;
using assent::Mutex;
using assent::MutexLock;
using assent::Reply;
using assent::sqlite::Db;

struct Move {
  std::int64_t account = 0;
  std::int64_t delta = 0;
};

Move Parse(const Call& call) {
  Move move;
  long long account = 0;
  long long delta = 0;
  if (std::sscanf(call.payload.c_str(), "%lld %lld", &account, &delta) != 2) std::abort();
  move.account = account;
  move.delta = delta;
  return move;
}

void Tables(Db& db) {
  db.ExecScript(R"(
    CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, frozen INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS ledger(gid TEXT NOT NULL, branch_id TEXT NOT NULL, delta INTEGER NOT NULL,
                                      state TEXT NOT NULL, PRIMARY KEY(gid, branch_id));
    CREATE TABLE IF NOT EXISTS token(id INTEGER PRIMARY KEY, gid TEXT NOT NULL, branch_id TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS token_of ON token(gid, branch_id);)");
  for (int id = 0; id < assent::crash::kAccountsCount; ++id) {
    db.Exec("INSERT OR IGNORE INTO account(id, balance) VALUES(?1, ?2)", id,
            assent::crash::kOpeningBalance);
  }
}

bool Affordable(Db& db, const Move& move) {
  return db.Get<std::int64_t>("SELECT balance FROM account WHERE id = ?", move.account)
                 .value_or(0) +
             move.delta >=
         0;
}

// One line per branch, for ever: a second one is a branch that ran twice, which the primary key
// refuses.
void Write(Db& db, const Call& call, const Move& move, const char* state) {
  db.Exec("INSERT INTO ledger VALUES(?1, ?2, ?3, ?4)", call.gid, call.branch_id, move.delta, state);
}
void Leave(Db& db, const Call& call) {
  db.Exec("INSERT INTO token VALUES(random(), ?1, ?2)", call.gid, call.branch_id);
}
void TakeBack(Db& db, const Call& call) {
  db.Exec(
      "DELETE FROM token WHERE id = (SELECT min(id) FROM token WHERE gid = ?1 AND branch_id = ?2)",
      call.gid, call.branch_id);
}
// Planted: one effect of four is said to have happened, and has not.
bool lose_effects = false;
bool Lost(const Call& call) { return lose_effects && std::hash<std::string>()(call.gid) % 4 == 0; }

void Become(Db& db, const Call& call, const char* from, const char* to) {
  const auto changed =
      db.Exec("UPDATE ledger SET state = ?4 WHERE gid = ?1 AND branch_id = ?2 AND state = ?3",
              call.gid, call.branch_id, from, to);
  if (db.ok() && changed != 1) {
    std::fprintf(stderr, "bank: %s/%s was not %s\n", call.gid.c_str(), call.branch_id.c_str(),
                 from);
    std::abort();
  }
}

Reply MoveNow(Db& db, const Call& call) {
  const Move move = Parse(call);
  if (!Affordable(db, move)) return Reply::Refused("insufficient funds");
  if (Lost(call)) return Reply::Done(std::to_string(move.delta));
  db.Exec("UPDATE account SET balance = balance + ?2 WHERE id = ?1", move.account, move.delta);
  Write(db, call, move, "done");
  Leave(db, call);
  return Reply::Done(std::to_string(move.delta));
}

Reply MoveBack(Db& db, const Call& call) {
  const Move move = Parse(call);
  if (Lost(call)) return Reply::Done();
  db.Exec("UPDATE account SET balance = balance - ?2 WHERE id = ?1", move.account, move.delta);
  Become(db, call, "done", "undone");
  TakeBack(db, call);
  return Reply::Done();
}

Reply Try(Db& db, const Call& call) {
  const Move move = Parse(call);
  if (!Affordable(db, move)) return Reply::Refused("insufficient funds");
  if (move.delta < 0) {
    db.Exec("UPDATE account SET balance = balance + ?2, frozen = frozen - ?2 WHERE id = ?1",
            move.account, move.delta);
  }
  Write(db, call, move, "frozen");
  return Reply::Done(std::to_string(move.delta));
}

Reply Confirm(Db& db, const Call& call) {
  const Move move = Parse(call);
  db.Exec(move.delta < 0 ? "UPDATE account SET frozen = frozen + ?2 WHERE id = ?1"
                         : "UPDATE account SET balance = balance + ?2 WHERE id = ?1",
          move.account, move.delta);
  Become(db, call, "frozen", "done");
  Leave(db, call);
  return Reply::Done();
}

Reply Cancel(Db& db, const Call& call) {
  const Move move = Parse(call);
  if (move.delta < 0) {
    db.Exec("UPDATE account SET balance = balance - ?2, frozen = frozen + ?2 WHERE id = ?1",
            move.account, move.delta);
  }
  Become(db, call, "frozen", "undone");
  return Reply::Done();
}

Reply Look(Db& db, const Call& call) {
  const Move move = Parse(call);
  (void)db.Get<std::int64_t>("SELECT balance FROM account WHERE id = ?", move.account);
  return Reply::Done("0");
}

Reply Book(Db& db, const Call& call) {
  const Move move = Parse(call);
  Write(db, call, move, "done");
  Leave(db, call);
  return Reply::Done(std::to_string(move.delta));
}

// Planted: phase two is answered before it is done. A kill in between loses it.
class EarlyAck final : public assent::Resource {
 public:
  explicit EarlyAck(Resource& real) : real_(real) {}
  std::vector<assent::OfferedAction> Actions() const override { return real_.Actions(); }
  void Execute(Call call, assent::Responder respond) override {
    if (call.operation != assent::Operation::kConfirm &&
        call.operation != assent::Operation::kCancel)
      return real_.Execute(std::move(call), std::move(respond));
    respond(Reply::Done());
    const MutexLock lock(mutex_);
    kept_.push_back(std::move(call));
    if (kept_.size() <= kKeptCount) return;
    real_.Execute(std::move(kept_.front()), [](Reply) {});
    kept_.pop_front();
  }
  std::vector<assent::HeldBranch> Questions(std::size_t limit) override {
    return real_.Questions(limit);
  }
  void Answer(const assent::HeldBranch& branch, assent::Verdict verdict, bool finished) override {
    real_.Answer(branch, verdict, finished);
  }

 private:
  static constexpr std::size_t kKeptCount = 3;
  Resource& real_;
  Mutex mutex_;
  std::deque<Call> kept_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace

// crash-bank NAME DATABASE COORDINATOR[,..] [lose|early-ack]      dials in
// crash-bank NAME DATABASE serve=HOST:PORT [lose|early-ack]       is dialled
int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) return 2;
  const std::string planted = argc == 5 ? argv[4] : "";
  lose_effects = planted == "lose";
  const std::string kServe = "serve=";
  const std::string where = argv[3];
  const bool dialled = where.rfind(kServe, 0) == 0;
  if (dialled) assent::crash::BlockSigterm();  // before the store makes a thread
  auto store = assent::sqlite::Store::Open(
      {.path = argv[2], .setup = Tables, .ask_after = std::chrono::milliseconds(500)});
  if (!store.ok()) {
    std::fprintf(stderr, "bank: %s\n", store.status().ToString().c_str());
    return 1;
  }
  (*store)->Tcc("move", {.try_ = Try, .confirm = Confirm, .cancel = Cancel});
  (*store)->Saga("move", {.action = MoveNow, .compensate = MoveBack});
  (*store)->TwoPhase("move", MoveNow);
  (*store)->TwoPhase("look", Look);
  (*store)->AutoSaga("book", Book);
  EarlyAck early(**store);
  assent::Resource& resource =
      planted == "early-ack" ? static_cast<assent::Resource&>(early) : **store;
  if (dialled) return assent::crash::ServeDialled(resource, where.substr(kServe.size()));
  assent::ParticipantOptions options;
  options.service = argv[1];
  std::istringstream coordinators(argv[3]);
  for (std::string one; std::getline(coordinators, one, ',');) options.endpoints.push_back(one);
  options.reconnect_initial_backoff = std::chrono::milliseconds(10);
  options.reconnect_max_backoff = std::chrono::milliseconds(100);
  options.question_interval = std::chrono::milliseconds(500);
  options.keepalive = std::chrono::milliseconds(2000);
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "bank: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  assent::Participant participant(std::move(options));
  participant.Attach(resource);
  const assent::Status ended = participant.Run();
  if (ended.ok()) return 0;
  std::fprintf(stderr, "bank: %s\n", ended.ToString().c_str());
  return 1;
}
