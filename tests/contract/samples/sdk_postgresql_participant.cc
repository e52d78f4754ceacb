// The standard actions on the SDK, over the PostgreSQL at ASSENT_CONTRACT_POSTGRESQL, for all three
// protocols. Dials ASSENT_ENDPOINT, or serves ASSENT_CONTRACT_LISTEN.
#include <cstdio>
#include <string>

#include <assent/participant.h>
#include <assent/postgresql.h>

#include "tests/contract/samples/payload.h"
#include "tests/contract/samples/unary_front.h"

namespace {

using assent::Call;
using assent::Reply;
using assent::contract::samples::AddPayload;
using assent::contract::samples::ParseAdd;
using assent::postgresql::Db;

constexpr std::chrono::milliseconds kFirstBackoff{10};
constexpr std::chrono::milliseconds kLastBackoff{200};

std::string LedgerOf(Db& db, const std::string& account) {
  const auto row = db.GetRow<std::int64_t, std::int64_t>(
      "SELECT balance, held FROM ledger WHERE account = $1", account);
  return row ? assent::contract::samples::LedgerJson(std::get<0>(*row), std::get<1>(*row))
             : assent::contract::samples::LedgerJson(0, 0);
}

// Adds so many times the payload's amount to each column.
void Change(Db& db, const AddPayload& add, int balance, int held) {
  db.Exec(
      "INSERT INTO ledger VALUES($1, $2, $3) ON CONFLICT(account) DO UPDATE SET "
      "balance = ledger.balance + $2, held = ledger.held + $3",
      add.account, balance * add.amount, held * add.amount);
}

Reply Forward(Db& db, const Call& call, int balance, int held) {
  const AddPayload add = ParseAdd(call.payload);
  Change(db, add, balance, held);
  const auto sum =
      db.Get<std::int64_t>("SELECT balance + held FROM ledger WHERE account = $1", add.account);
  if (sum.value_or(0) < 0) return Reply::Refused("not enough");
  assent::contract::samples::WaitCrashOrFail(add);
  if (add.refuse) return Reply::Refused(add.reason);
  return Reply::Done(LedgerOf(db, add.account));
}

assent::postgresql::DbHandler Doing(int balance, int held) {
  return [=](Db& db, const Call& call) { return Forward(db, call, balance, held); };
}
assent::postgresql::DbHandler Ending(int balance, int held) {
  return [=](Db& db, const Call& call) {
    Change(db, ParseAdd(call.payload), balance, held);
    return Reply::Done();
  };
}

Reply Nothing(Db& /*db*/, const Call& /*call*/) { return Reply::Done(); }

void Register(assent::postgresql::Store& store) {
  store.TwoPhase("add", Doing(1, 0));
  store.Tcc("add", {.try_ = Doing(0, 1), .confirm = Ending(1, -1), .cancel = Ending(0, -1)});
  store.Saga("add", {.action = Doing(1, 0), .compensate = Ending(-1, 0)});
  store.Saga("read", {.action =
                          [](Db& db, const Call& call) {
                            return Reply::Done(
                                LedgerOf(db, assent::contract::samples::AccountOf(call.payload)));
                          },
                      .compensate = Nothing});
  store.Saga("echo", {.action =
                          [](Db& /*db*/, const Call& call) {
                            return Reply::Done(assent::contract::samples::EchoJson(
                                call.headers, call.results, call.traceparent, call.tracestate));
                          },
                      .compensate = Nothing});
  store.Saga("bytes",
             {.action = [](Db& /*db*/, const Call& call) { return Reply::Done(call.payload); },
              .compensate = Nothing});
}

int Fail(const assent::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main() {
  using assent::contract::samples::Env;
  const std::string listen = Env("ASSENT_CONTRACT_LISTEN", "");
  if (!listen.empty()) assent::contract::samples::HoldSignals();
  const auto store = assent::postgresql::Store::Open(
      {.connection = Env("ASSENT_CONTRACT_POSTGRESQL", ""), .setup = [](Db& db) {
         db.Exec(
             "CREATE TABLE IF NOT EXISTS ledger(account text PRIMARY KEY, balance bigint NOT NULL, "
             "held bigint NOT NULL)");
       }});
  if (!store.ok()) return Fail(store.status());
  Register(**store);

  if (!listen.empty()) {
    assent::Status served = (*store)->Registration();
    if (served.ok()) served = assent::contract::samples::ServeUnary(**store, listen);
    return served.ok() ? 0 : Fail(served);
  }
  assent::Participant participant({.service = "contract",
                                   .reconnect_initial_backoff = kFirstBackoff,
                                   .reconnect_max_backoff = kLastBackoff});
  participant.Attach(**store);
  const assent::Status ran = participant.Run();
  return ran.ok() ? 0 : Fail(ran);
}
