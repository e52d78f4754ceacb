#include "tests/sdk_sqlite/workload.h"

#include <functional>

#include <gtest/gtest.h>

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

struct Order {
  std::string account;
  std::int64_t amount = 0;  // negative: to be taken
};

Order Parse(const Call& call) {
  const std::size_t space = call.payload.find(' ');
  return {call.payload.substr(0, space), std::stoll(call.payload.substr(space + 1))};
}

// Each run of a handler leaves a row: what ran, and by how much it changes the sum of all accounts.
void Note(Db& db, const Call& call, const char* what, std::int64_t delta) {
  db.Exec("INSERT INTO effect(gid, branch_id, what, delta) VALUES(?, ?, ?, ?)", call.gid,
          call.branch_id, what, delta);
}

Reply Move(Db& db, const Call& call, const char* what, const char* sql, std::int64_t amount) {
  Note(db, call, what, call.protocol == Protocol::kTcc ? 0 : amount);
  const Order order = Parse(call);
  if (db.Exec(sql, amount, order.account) == 0)
    return Reply::Refused("not enough on " + order.account);
  return Reply::Done(
      order.account + "=" +
      std::to_string(
          db.Get<std::int64_t>("SELECT available FROM account WHERE id = ?", order.account)
              .value_or(-1)));
}

// Frozen money of a debit is the account's own; of a credit it is announced, and not counted yet.
constexpr char kFreeze[] =
    "UPDATE account SET available = available + ?1, frozen = frozen - ?1 WHERE id = ?2 AND "
    "available + ?1 >= 0";
constexpr char kRelease[] =
    "UPDATE account SET available = available - ?1, frozen = frozen + ?1 WHERE id = ?2";
constexpr char kConsume[] =
    "UPDATE account SET frozen = frozen + ?1, consumed = consumed - ?1 WHERE id = ?2";
constexpr char kAdd[] =
    "UPDATE account SET available = available + ?1 WHERE id = ?2 AND available + ?1 >= 0";
constexpr char kTouch[] = "UPDATE account SET available = available + 0 * ?1 WHERE id = ?2";

}  // namespace

void SetUpBank(Db& db) {
  db.ExecScript(
      "CREATE TABLE IF NOT EXISTS account(id TEXT PRIMARY KEY, available INT NOT NULL, frozen INT "
      "NOT NULL, consumed INT NOT "
      "NULL);"
      "CREATE TABLE IF NOT EXISTS effect(n INTEGER PRIMARY KEY AUTOINCREMENT, gid TEXT, branch_id "
      "TEXT, what TEXT, delta INT)");
  for (int i = 0; i < kAccountsCount; ++i) {
    db.Exec("INSERT INTO account VALUES(?, ?, 0, 0) ON CONFLICT DO NOTHING",
            "a" + std::to_string(i), kStartBalance);
  }
}

// TCC: the debit freezes, then consumes or releases; the credit only notes its try and adds at
// confirm what the debit consumed. Saga and two-phase: both sides move at once.
void RegisterBank(Store& store) {
  const auto amount = [](const Call& call) { return Parse(call).amount; };
  const auto move = [amount](const char* what, const char* debit, const char* credit) -> DbHandler {
    return [=](Db& db, const Call& call) {
      const std::int64_t n = amount(call);
      return Move(db, call, what, n < 0 ? debit : credit, n);
    };
  };
  store.Tcc("transfer",
            {.try_ = move("forward", kFreeze, kTouch),
             .confirm = move("finish", kConsume,
                             "UPDATE account SET available = available + ?1, consumed = consumed "
                             "- ?1 WHERE id = ?2"),
             .cancel = move("undo", kRelease, kTouch)});
  store.Saga("transfer",
             {.action = move("forward", kAdd, kAdd), .compensate = [=](Db& db, const Call& call) {
                Note(db, call, "undo", -amount(call));
                db.Exec("UPDATE account SET available = available - ?1 WHERE id = ?2", amount(call),
                        Parse(call).account);
                return Reply::Done("undone");
              }});
  store.TwoPhase("transfer", move("forward", kAdd, kAdd));
}

Transfer Transfer::Of(int number) {
  Transfer t;
  t.number = number;
  t.gid = "t" + std::to_string(number);
  t.protocol = static_cast<Protocol>(1 + number % 3);
  t.commit = (number / 3) % 2 == 0;
  t.from = "a" + std::to_string(number % kAccountsCount);
  t.to = "a" + std::to_string((number + 1 + number % 4) % kAccountsCount);
  if (t.to == t.from) t.to = t.from == "a0" ? "a1" : "a0";
  t.amount = 1 + number % 400;
  return t;
}

Call Transfer::Make(const std::string& branch_id, Operation operation) const {
  Call call;
  call.gid = gid;
  call.branch_id = branch_id;
  call.operation = operation;
  call.protocol = protocol;
  call.service = "bank";
  call.action = "transfer";
  call.payload = branch_id == "from" ? from + " -" + std::to_string(amount)
                                     : to + " " + std::to_string(amount);
  return call;
}

Operation Transfer::forward() const {
  switch (protocol) {
    case Protocol::kTwoPhase: return Operation::kPrepare;
    case Protocol::kTcc: return Operation::kTry;
    case Protocol::kSaga: break;
  }
  return Operation::kAction;
}

std::optional<Operation> Transfer::second(bool committed) const {
  switch (protocol) {
    case Protocol::kTwoPhase: return committed ? Operation::kCommit : Operation::kRollback;
    case Protocol::kTcc: return committed ? Operation::kConfirm : Operation::kCancel;
    case Protocol::kSaga: break;
  }
  if (committed) return std::nullopt;
  return Operation::kCompensate;
}

std::string Driver::KeyOf(const Call& call) {
  return call.gid + "/" + call.branch_id + "/" + std::to_string(static_cast<int>(call.operation));
}

bool Driver::IsDone(const Transfer& transfer, const std::string& branch_id,
                    Operation operation) const {
  auto found = first_.find(KeyOf(transfer.Make(branch_id, operation)));
  return found != first_.end() &&
         (found->second.kind == Kind::kDone || found->second.kind == Kind::kDoneReadOnly);
}

// A coordinator sends a finishing operation only after every forward one is done, and an undoing
// one whenever it aborts.
bool Driver::MaySend(const Transfer& transfer, Operation operation) const {
  if (operation == transfer.forward()) return true;
  const bool all_done =
      IsDone(transfer, "from", transfer.forward()) && IsDone(transfer, "to", transfer.forward());
  if (transfer.commit && operation == transfer.second(true)) return all_done;
  return !transfer.commit && operation == transfer.second(false);
}

Reply::Kind Driver::Send(const Transfer& transfer, const std::string& branch_id,
                         Operation operation) {
  const Call call = transfer.Make(branch_id, operation);
  const std::optional<Reply> reply = ask_(call);
  if (!reply.has_value() || reply->kind == Kind::kRetryLater) return Kind::kRetryLater;
  const std::string key = KeyOf(call);
  const auto [first, is_new] = first_.emplace(key, *reply);
  EXPECT_EQ(*reply, first->second) << key << ": " << reply->reason << reply->result << " / "
                                   << first->second.reason << first->second.result;
  if (operation != transfer.forward()) {
    EXPECT_EQ(reply->kind, Kind::kDone) << key << ": " << reply->reason;
  }
  return reply->kind;
}

void Driver::RunRandom(int begin, int end, int steps) {
  for (int i = 0; i < steps; ++i) {
    const Transfer transfer =
        Transfer::Of(begin + static_cast<int>(random_() % static_cast<unsigned>(end - begin)));
    const std::string branch_id = random_() % 2 == 0 ? "from" : "to";
    const std::optional<Operation> second = transfer.second(transfer.commit);
    const Operation operation =
        random_() % 2 == 0 || !second.has_value() ? transfer.forward() : *second;
    if (MaySend(transfer, operation)) Send(transfer, branch_id, operation);
  }
}

void Driver::FinishAll(int begin, int end) {
  // Prepared branches block one another, so all are driven in turns until none waits. Those that
  // keep waiting for one that has not been prepared in both branches would need a deadline: here,
  // the last round aborts them.
  for (int round = 0; round < 60; ++round) {
    bool waiting = false;
    for (int number = begin; number < end; ++number) {
      Transfer transfer = Transfer::Of(number);
      bool all_done = transfer.commit;
      for (const char* branch_id : {"from", "to"}) {
        if (!transfer.commit) continue;
        const Kind kind = Send(transfer, branch_id, transfer.forward());
        all_done = all_done && (kind == Kind::kDone || kind == Kind::kDoneReadOnly);
        if (kind == Kind::kRetryLater && round < 4) waiting = true;
        if (kind == Kind::kRefused || (kind == Kind::kRetryLater && round >= 4))
          transfer.commit = false;
      }
      if (transfer.commit && !all_done) continue;
      const std::optional<Operation> second = transfer.second(transfer.commit);
      for (const char* branch_id : {"from", "to"}) {
        if (second.has_value() && Send(transfer, branch_id, *second) == Kind::kRetryLater)
          waiting = true;
      }
    }
    if (!waiting) return;
  }
  ADD_FAILURE() << "some transactions never ended";
}

std::string AuditAnytime(Store& store) {
  std::string fault;
  const Status status = store.Read([&](Db& db) {
    for (const Row& row : db.Query("SELECT gid || '/' || branch_id || ' ' || what, count(*) FROM "
                                   "effect GROUP BY 1 HAVING "
                                   "count(*) > 1")) {
      fault += "twice: " + std::string(row.Text(0)) + "; ";
    }
    for (const Row& row : db.Query("SELECT DISTINCT e.gid || '/' || e.branch_id FROM effect e "
                                   "WHERE e.what <> 'forward' AND NOT "
                                   "EXISTS(SELECT 1 FROM effect f WHERE f.gid = e.gid AND "
                                   "f.branch_id = e.branch_id AND f.what "
                                   "= 'forward')")) {
      fault += "second without first: " + std::string(row.Text(0)) + "; ";
    }
    for (const Row& row : db.Query("SELECT a.gid || '/' || a.branch_id FROM effect a JOIN effect b "
                                   "USING(gid, branch_id) WHERE "
                                   "a.what = 'finish' AND b.what = 'undo'")) {
      fault += "both finished and undone: " + std::string(row.Text(0)) + "; ";
    }
    // T6. What is missing or too much is under way: a Saga or a two-phase commit carried out in one
    // branch of two.
    const auto sum =
        db.Get<std::int64_t>("SELECT sum(available + frozen + consumed) FROM account").value_or(-1);
    const auto under_way =
        db.Get<std::int64_t>("SELECT ifnull(sum(delta), 0) FROM effect").value_or(-1);
    if (sum != kAccountsCount * kStartBalance + under_way)
      fault += "the books are off: " + std::to_string(sum) + "; ";
    return OkStatus();
  });
  return status.ok() ? fault : status.ToString();
}

std::string AuditAtRest(Store& store, int begin, int end) {
  std::string fault = AuditAnytime(store);
  const Status status = store.Read([&](Db& db) {
    const auto sums = db.GetRow<std::int64_t, std::int64_t, std::int64_t>(
        "SELECT sum(available), sum(frozen), sum(consumed) FROM account");
    const auto [available, frozen, consumed] =
        sums.value_or(std::tuple<std::int64_t, std::int64_t, std::int64_t>());
    if (available != kAccountsCount * kStartBalance)
      fault += "available is " + std::to_string(available) + "; ";
    if (frozen != 0) fault += "frozen is " + std::to_string(frozen) + "; ";
    if (consumed != 0) fault += "consumed is " + std::to_string(consumed) + "; ";
    for (int number = begin; number < end; ++number) {
      const Transfer transfer = Transfer::Of(number);
      int in_force = 0;
      for (const char* branch_id : {"from", "to"}) {
        const auto ran = [&](const char* what) {
          return db
              .Get<std::int64_t>(
                  "SELECT count(*) FROM effect WHERE gid = ? AND branch_id = ? AND what = ?",
                  transfer.gid, branch_id, what)
              .value_or(-1);
        };
        // Prepared work that is rolled back leaves no row of its own.
        const bool done = transfer.protocol == Protocol::kTcc ? ran("finish") == 1
                                                              : ran("forward") - ran("undo") == 1;
        if (transfer.protocol == Protocol::kTcc && ran("forward") != ran("finish") + ran("undo"))
          fault += transfer.gid + " is frozen; ";
        in_force += done ? 1 : 0;
      }
      if (in_force == 1) fault += transfer.gid + " is half done; ";
      if (in_force == 2 && !transfer.commit)
        fault += transfer.gid + " was aborted and is in force; ";
    }
    return OkStatus();
  });
  const Result<Stats> stats = store.Inspect();
  if (stats->prepared != 0 || stats->claims != 0)
    fault += "still prepared: " + std::to_string(stats->prepared) + "; ";
  return status.ok() ? fault : status.ToString();
}

}  // namespace assent::sqlite::test
