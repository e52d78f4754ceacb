#pragma once

// The standard actions over a database of an SDK's adapter, for all three protocols, and the
// process around them: dials ASSENT_ENDPOINT, or serves ASSENT_CONTRACT_LISTEN.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <tuple>

#include <assent/participant.h>

#include "tests/contract/samples/payload.h"
#include "tests/contract/samples/unary_front.h"

namespace assent::contract::samples {

inline constexpr std::chrono::milliseconds kFirstBackoff{10};
inline constexpr std::chrono::milliseconds kLastBackoff{200};

// As SQLite and PostgreSQL both read it.
struct LedgerSql {
  const char* find = "SELECT balance, held FROM ledger WHERE account = $1";
  const char* change =
      "INSERT INTO ledger VALUES($1, $2, $3) ON CONFLICT(account) DO UPDATE SET "
      "balance = ledger.balance + $2, held = ledger.held + $3";
  const char* sum = "SELECT balance + held FROM ledger WHERE account = $1";
};

template <typename Db>
std::string LedgerOf(Db& db, const LedgerSql& sql, const std::string& account) {
  const auto row = db.template GetRow<std::int64_t, std::int64_t>(sql.find, account);
  return row ? LedgerJson(std::get<0>(*row), std::get<1>(*row)) : LedgerJson(0, 0);
}

// Adds so many times the payload's amount to each column.
template <typename Db>
void Change(Db& db, const LedgerSql& sql, const AddPayload& add, int balance, int held) {
  db.Exec(sql.change, add.account, balance * add.amount, held * add.amount);
}

template <typename Db>
Reply Forward(Db& db, const LedgerSql& sql, const Call& call, int balance, int held) {
  const AddPayload add = ParseAdd(call.payload);
  Change(db, sql, add, balance, held);
  const auto sum = db.template Get<std::int64_t>(sql.sum, add.account);
  if (sum.value_or(0) < 0) return Reply::Refused("not enough");
  WaitCrashOrFail(add);
  if (add.refuse) return Reply::Refused(add.reason);
  return Reply::Done(LedgerOf(db, sql, add.account));
}

template <typename Db, typename Store>
void Register(Store& store, const LedgerSql& sql) {
  const auto doing = [sql](int balance, int held) {
    return [=](Db& db, const Call& call) { return Forward(db, sql, call, balance, held); };
  };
  const auto ending = [sql](int balance, int held) {
    return [=](Db& db, const Call& call) {
      Change(db, sql, ParseAdd(call.payload), balance, held);
      return Reply::Done();
    };
  };
  const auto nothing = [](Db& /*db*/, const Call& /*call*/) { return Reply::Done(); };
  store.TwoPhase("add", doing(1, 0));
  store.Tcc("add", {.try_ = doing(0, 1), .confirm = ending(1, -1), .cancel = ending(0, -1)});
  store.Saga("add", {.action = doing(1, 0), .compensate = ending(-1, 0)});
  store.Saga("read", {.action =
                          [sql](Db& db, const Call& call) {
                            return Reply::Done(LedgerOf(db, sql, AccountOf(call.payload)));
                          },
                      .compensate = nothing});
  store.Saga("echo", {.action =
                          [](Db& /*db*/, const Call& call) {
                            return Reply::Done(EchoJson(call.headers, call.results,
                                                        call.traceparent, call.tracestate));
                          },
                      .compensate = nothing});
  store.Saga("bytes",
             {.action = [](Db& /*db*/, const Call& call) { return Reply::Done(call.payload); },
              .compensate = nothing});
}

inline int Fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

// `open` makes the store, with its table `ledger(account, balance, held)`. The exit status.
template <typename Db, typename Open>
int RunSdkParticipant(const Open& open, const LedgerSql& sql = {}) {
  const std::string listen = Env("ASSENT_CONTRACT_LISTEN", "");
  if (!listen.empty()) HoldSignals();
  const auto store = open();
  if (!store.ok()) return Fail(store.status());
  Register<Db>(**store, sql);

  if (!listen.empty()) {
    Status served = (*store)->Registration();
    if (served.ok()) served = ServeUnary(**store, listen);
    return served.ok() ? 0 : Fail(served);
  }
  Participant participant({.service = "contract",
                           .reconnect_initial_backoff = kFirstBackoff,
                           .reconnect_max_backoff = kLastBackoff});
  participant.Attach(**store);
  const Status ran = participant.Run();
  return ran.ok() ? 0 : Fail(ran);
}

}  // namespace assent::contract::samples
