#include <csignal>
#include <string>
#include <utility>

#include "examples/order/driver/story.h"

namespace demo {
namespace {

using assent::Outcome;
using assent::Report;
using assent::Result;
using assent::Status;
using assent::TransactionInfo;
using assent::TransactionState;
using assent::WaitFor;
using shop::Order;
using Clock = std::chrono::steady_clock;

constexpr assent::CallOptions kToTheEnd = {.wait = WaitFor::kCompleted, .timeout = kPatience};

std::string Milliseconds(Clock::time_point since) {
  const auto passed = Clock::now() - since;
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(passed).count()) +
         " ms";
}

Status Differs(std::string what) { return assent::FailedPrecondition(std::move(what)); }

// The report must say what the story expects.
Status Expect(const Result<Report>& report, Outcome outcome, const std::string& reason = {}) {
  if (!report.ok()) return report.status();
  if (report->outcome != outcome) {
    return Differs("the initiator is told " + std::string(OutcomeName(report->outcome)) + " (" +
                   report->abort_reason + "), expected " + OutcomeName(outcome));
  }
  if (report->abort_reason.find(reason) == std::string::npos) {
    return Differs("the reason is '" + report->abort_reason + "', expected '" + reason + "'");
  }
  return assent::OkStatus();
}

// Where the transaction stands must be what the story says.
Status ExpectState(const Shop& shop, const Order& order, TransactionState state) {
  const Result<TransactionInfo> info = shop.client().Get(order.id);
  if (!info.ok()) return info.status();
  if (info->state == state) return assent::OkStatus();
  return Differs("the transaction is " + std::string(TransactionStateName(info->state)) +
                 ", expected " + TransactionStateName(state));
}

Status Submit(Shop& shop, Style style, const Order& order, WaitFor wait) {
  const Result<Report> report =
      shop.client().Submit(Compose(style, order), {.wait = wait, .timeout = kPatience});
  return report.status();
}

Status WaitForCommit(Shop& shop, const Order& order, Clock::time_point since, Teller& teller) {
  Status ended = Expect(shop.client().Wait(order.id, kToTheEnd), Outcome::kCommitted);
  if (ended.ok()) teller.Say("COMMITTED, " + Milliseconds(since) + " later.");
  return ended;
}

// 1.
Status Commits(Shop& shop, Style style, const Order& order, Teller& teller) {
  const auto since = Clock::now();
  const auto report = shop.client().Submit(Compose(style, order), kToTheEnd);
  Status ended = Expect(report, Outcome::kCommitted);
  if (ended.ok()) teller.Say("All three say yes: COMMITTED after " + Milliseconds(since) + ".");
  return ended;
}

// The order service has no compensation for the Saga's first step: the adapter takes back what that
// has written.
Status OrderIsGone(const Shop& shop, const Order& order, Teller& teller) {
  const Result<Books> books = shop.ReadBooks();
  if (!books.ok()) return books.status();
  const auto row = books->orders.find(order.id);
  if (row != books->orders.end())
    return Differs("the order is " + row->second.status + ", expected that its step undid itself");
  teller.Say("The order's row is gone: its step is an AutoSaga, which undoes itself.");
  return assent::OkStatus();
}

Status IsRefused(Shop& shop, Style style, const Order& order, Teller& teller,
                 const std::string& why) {
  const auto since = Clock::now();
  const auto report = shop.client().Submit(Compose(style, order), kToTheEnd);
  Status ended = Expect(report, Outcome::kAborted, why);
  if (!ended.ok()) return ended;
  teller.Say("ABORTED after " + Milliseconds(since) + ": " + report->abort_reason + ".");
  return style == Style::kSaga ? OrderIsGone(shop, order, teller) : ended;
}

// 2.
Status StockRunsOut(Shop& shop, Style style, const Order& order, Teller& teller) {
  return IsRefused(shop, style, order, teller, "out of stock");
}

// 3.
Status PaymentIsRefused(Shop& shop, Style style, const Order& order, Teller& teller) {
  return IsRefused(shop, style, order, teller, "insufficient funds");
}

// 4.
Status ServiceIsDown(Shop& shop, Style style, const Order& order, Teller& teller) {
  shop.service("payment").Stop();
  if (Status sent = Submit(shop, style, order, WaitFor::kAccepted); !sent.ok()) return sent;
  Result<TransactionInfo> info = shop.client().Get(order.id);
  const auto is_missed = [&] {
    info = shop.client().Get(order.id);
    if (!info.ok()) return false;
    for (const assent::BranchInfo& branch : info->branches) {
      if (branch.service == "payment" && !branch.last_error.empty()) return true;
    }
    return false;
  };
  if (!Until(kPatience, is_missed)) return Differs("nobody misses the payment service");
  teller.Say("The payment service is down. Why is it not finished? \"" + info->why_not_finished +
             "\"");
  if (Status waits = ExpectState(shop, order, TransactionState::kActive); !waits.ok()) return waits;
  const auto since = Clock::now();
  if (Status started = shop.StartService("payment"); !started.ok()) return started;
  teller.Say("The payment service is started.");
  return WaitForCommit(shop, order, since, teller);
}

// Where phase two has begun and one service has not done its part: which service, stopped where.
std::pair<std::string, std::string> SlowInPhaseTwo(Style style) {
  switch (style) {
    case Style::kTwoPhase: return {"payment", "before:COMMIT"};
    case Style::kTcc: return {"inventory", "before:CONFIRM"};
    // A Saga has no second phase, but after its pivot it is just as bound to go on.
    case Style::kSaga: return {"order", "before:ACTION:confirm"};
    case Style::kMixed: return {"inventory", "before:CONFIRM"};
  }
  return {};
}

// 5.
Status CoordinatorIsKilled(Shop& shop, Style style, const Order& order, Teller& teller) {
  const auto [slow, point] = SlowInPhaseTwo(style);
  if (Status started = shop.StartService(slow, point); !started.ok()) return started;
  const auto told = shop.client().Submit(Compose(style, order),
                                         {.wait = WaitFor::kDecided, .timeout = kPatience});
  if (Status decided = Expect(told, Outcome::kCommitted); !decided.ok()) return decided;
  if (!shop.service(slow).WaitStopped(kPatience)) return Differs(slow + " has not stopped");
  if (Status now = ExpectState(shop, order, TransactionState::kCommitting); !now.ok()) return now;
  const Result<std::string> killed = shop.KillCoordinatorOf(order.id);
  if (!killed.ok()) return killed.status();
  teller.Say("The initiator is told COMMITTED. The " + slow + " service hangs (" + point +
             "), and the coordinator " + (shop.several() ? *killed + " " : "") + "gets kill -9.");
  const auto dead = Clock::now();
  if (!shop.several()) {
    if (Status started = shop.StartCoordinators(); !started.ok()) return started;
  }
  if (Status now = ExpectState(shop, order, TransactionState::kCommitting); !now.ok()) return now;
  teller.Say((shop.several() ? "Another one has it " + Milliseconds(dead) + " later, and knows"
                             : std::string("Started again, it knows")) +
             ": committed, and not finished. The " + slow + " service goes on.");
  const auto since = Clock::now();
  shop.service(slow).Signal(SIGCONT);
  if (Status ended = WaitForCommit(shop, order, since, teller); !ended.ok()) return ended;
  // An initiator that missed all this may submit the same transaction again: the same answer, and
  // no second effect.
  return Expect(shop.client().Submit(Compose(style, order), kToTheEnd), Outcome::kCommitted);
}

const char* Forward(Style style) {
  switch (style) {
    case Style::kTwoPhase: return "PREPARE";
    case Style::kTcc: return "TRY";
    case Style::kSaga: return "ACTION";
    case Style::kMixed: return "TRY";
  }
  return "?";
}

// What the file of the killed inventory service must hold: its part, durable and, before the
// decision, only as visible as the protocol has it.
Status ExpectDurableForward(Style style, const Order& order, const Books& before,
                            const Books& after, Teller& teller) {
  Shelf shelf = before.stock.at(order.article);
  std::int64_t prepared = 0;
  switch (style) {
    case Style::kTwoPhase: prepared = 1; break;
    case Style::kSaga:
      shelf.available -= order.quantity;
      shelf.sold += order.quantity;
      break;
    case Style::kTcc:
    case Style::kMixed:
      shelf.available -= order.quantity;
      shelf.frozen += order.quantity;
      break;
  }
  const Shelf& found = after.stock.at(order.article);
  if (!(found == shelf) || after.prepared("inventory") != prepared) {
    return Differs("its file should hold " + ToString(shelf) + " and " + std::to_string(prepared) +
                   " prepared, holds " + ToString(found) + " and " +
                   std::to_string(after.prepared("inventory")));
  }
  teller.Say("Its file holds " + ToString(found) +
             (prepared == 1 ? ", and the prepared change that readers do not see." : "."));
  return assent::OkStatus();
}

// 6.
Status ServiceIsKilled(Shop& shop, Style style, const Order& order, Teller& teller) {
  const Result<Books> before = shop.ReadBooks();
  if (!before.ok()) return before.status();
  const std::string point = std::string("after:") + Forward(style);
  if (Status started = shop.StartService("inventory", point); !started.ok()) return started;
  if (Status sent = Submit(shop, style, order, WaitFor::kAccepted); !sent.ok()) return sent;
  if (!shop.service("inventory").WaitStopped(kPatience)) {
    return Differs("the inventory service has not stopped");
  }
  if (Status now = ExpectState(shop, order, TransactionState::kActive); !now.ok()) return now;
  shop.service("inventory").Kill();
  teller.Say("The inventory service has done its " + std::string(Forward(style)) +
             " and gets kill -9 before it can say so.");
  const Result<Books> after = shop.ReadBooks();
  if (!after.ok()) return after.status();
  Status durable = ExpectDurableForward(style, order, *before, *after, teller);
  if (!durable.ok()) return durable;
  const auto since = Clock::now();
  if (Status started = shop.StartService("inventory"); !started.ok()) return started;
  teller.Say("The inventory service is started again, and asked again.");
  return WaitForCommit(shop, order, since, teller);
}

}  // namespace

const std::vector<Story>& Stories() {
  static const std::vector<Story> stories = {
      {"commits", "An order goes through.", "lamp", "Ada", 2, true, Commits},
      {"no-stock", "The stock runs out.", "violin", "Ada", 3, false, StockRunsOut},
      {"no-funds", "The payment is refused.", "lamp", "Bob", 2, false, PaymentIsRefused},
      {"service-down", "A service is down for a while.", "lamp", "Ada", 2, true, ServiceIsDown},
      {"coordinator-killed", "The coordinator is killed between decision and finish.", "lamp",
       "Ada", 2, true, CoordinatorIsKilled},
      {"service-killed", "A service is killed after its part, before it has answered.", "lamp",
       "Ada", 2, true, ServiceIsKilled},
  };
  return stories;
}

}  // namespace demo
