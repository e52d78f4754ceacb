// How an order becomes a transaction, in each protocol. This is what a program that uses Assent
// looks like.

#include "examples/order/driver/story.h"

namespace demo {
namespace {

using assent::BranchOptions;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

// The demo takes services down for moments, not minutes: look again soon. The id names the branch
// in `assentctl show`.
BranchOptions Named(const char* id) {
  return {
      .id = id, .retry = {.initial_backoff = 20ms, .max_backoff = 200ms}, .attempt_timeout = 5s};
}

// A step after which there is no way back: once the customer has paid, the order will go through.
BranchOptions NoWayBack(const char* id, std::vector<std::string> after) {
  BranchOptions options = Named(id);
  options.after = std::move(after);
  options.pivot = true;
  return options;
}

}  // namespace

const char* Name(Style style) {
  switch (style) {
    case Style::kTwoPhase: return "2pc";
    case Style::kTcc: return "tcc";
    case Style::kSaga: return "saga";
    case Style::kMixed: return "mixed";
  }
  return "?";
}

const char* Title(Style style) {
  switch (style) {
    case Style::kTwoPhase:
      return "Two-phase commit: all prepare, unseen; then all commit, or all roll back.";
    case Style::kTcc: return "TCC: all try, which reserves; then all confirm, or all cancel.";
    case Style::kSaga:
      return "Saga: one step after the other, each at once in effect; undone backwards if one "
             "refuses.";
    case Style::kMixed:
      return "Mixed: the order in two phases, the stock by TCC, the payment a Saga step, in one "
             "transaction.";
  }
  return "?";
}

assent::Transaction Compose(Style style, const shop::Order& order) {
  const std::string payload = ToPayload(order);
  assent::Transaction transaction;
  transaction.Gid(order.id).Deadline(60s).Label("customer", order.customer);
  switch (style) {
    case Style::kTwoPhase:
      transaction.TwoPhase("order", "create", payload, Named("order"))
          .TwoPhase("inventory", "reserve", payload, Named("stock"))
          .TwoPhase("payment", "charge", payload, Named("payment"));
      break;
    case Style::kTcc:
      transaction.Tcc("order", "create", payload, Named("order"))
          .Tcc("inventory", "reserve", payload, Named("stock"))
          .Tcc("payment", "charge", payload, Named("payment"));
      break;
    case Style::kSaga:
      transaction.Saga("order", "create", payload, Named("order"))
          .Saga("inventory", "reserve", payload, Named("stock"))
          .Saga("payment", "charge", payload, NoWayBack("payment", {}))
          .Saga("order", "confirm", payload, Named("confirmation"));
      break;
    case Style::kMixed:
      transaction.TwoPhase("order", "create", payload, Named("order"))
          .Tcc("inventory", "reserve", payload, Named("stock"))
          .Saga("payment", "charge", payload, NoWayBack("payment", {"order", "stock"}));
      break;
  }
  return transaction;
}

}  // namespace demo
