#include "examples/order/driver/outage.h"

#include <utility>

#include <assent/client.h>
#include <assent/transaction.h>

#include "examples/order/order.h"

namespace demo {
namespace {

using assent::Result;
using assent::Status;
using std::chrono_literals::operator""h;

constexpr int kWaiting = 12;
constexpr std::int64_t kCoinsApiece = 30;
constexpr const char* kUncompensated = "order-of-bob";
constexpr const char* kMisspelt = "order-misspelt";

shop::Order OneLamp(std::string id, std::string customer) {
  return {.id = std::move(id),
          .customer = std::move(customer),
          .article = "lamp",
          .quantity = 1,
          .coins = kCoinsApiece};
}

// Nobody gives up on these while somebody looks at them.
assent::Transaction Named(const shop::Order& order) {
  assent::Transaction transaction;
  transaction.Gid(order.id).Deadline(24h).Label("customer", order.customer);
  return transaction;
}

assent::Transaction Tcc(const shop::Order& order, const std::string& payment) {
  const std::string payload = ToPayload(order);
  assent::Transaction transaction = Named(order);
  transaction.Tcc("order", "create", payload, {.id = "order"})
      .Tcc("inventory", "reserve", payload, {.id = "stock"})
      .Tcc(payment, "charge", payload, {.id = "payment"});
  return transaction;
}

assent::Transaction Saga(const shop::Order& order) {
  const std::string payload = ToPayload(order);
  assent::Transaction transaction = Named(order);
  transaction.Saga("order", "create", payload, {.id = "order"})
      .Saga("inventory", "reserve", payload, {.id = "stock"})
      .Saga("payment", "charge", payload, {.id = "payment"});
  return transaction;
}

Status Submit(const Shop& shop, const assent::Transaction& transaction) {
  return shop.client()
      .Submit(transaction, {.wait = assent::WaitFor::kAccepted, .timeout = kPatience})
      .status();
}

// Until one of its branches says what is wrong: it asks for a person, or has met an error.
Status WaitForCause(const Shop& shop, const std::string& gid, bool needs_operator) {
  const auto has_cause = [&] {
    const Result<assent::TransactionInfo> info = shop.client().Get(gid);
    if (!info.ok()) return false;
    for (const assent::BranchInfo& branch : info->branches) {
      if (needs_operator ? branch.needs_operator : !branch.last_error.empty()) return true;
    }
    return false;
  };
  if (Until(kPatience, has_cause)) return assent::OkStatus();
  return assent::FailedPrecondition("nothing keeps " + gid + " from ending");
}

// How one gets into the console of a shop with locks.
std::vector<std::string> LoginLines(const Shop& shop) {
  const Keys& keys = shop.keys();
  if (keys.token_file().empty()) return {};
  const std::string ca = keys.folder() + "/ca.pem";
  return {
      "            The browser warns, for it does not know the shop's CA: let it go on, or have it",
      "            trust " + ca + ". The page asks for a token; this prints it:",
      "  token     cat " + keys.token_file(),
      "  curl      curl --cacert " + ca + " --cert " + keys.folder() + "/operator.pem --key " +
          keys.folder() + "/operator.key " + shop.consoles().front() + "v1/causes",
  };
}

}  // namespace

Result<Outage> MakeOutage(Shop& shop) {
  // Bob cannot pay, and the inventory does not take back what it has sold him.
  if (Status started = shop.StartService("inventory", {}, "refuse-compensate"); !started.ok()) {
    return started;
  }
  if (Status sent = Submit(shop, Saga(OneLamp(kUncompensated, "Bob"))); !sent.ok()) return sent;
  if (Status stuck = WaitForCause(shop, kUncompensated, true); !stuck.ok()) return stuck;
  shop.service("payment").Stop();
  std::vector<std::string> wait;
  for (int i = 1; i <= kWaiting; ++i) {
    wait.push_back("order-" + std::to_string(1000 + i));
    if (Status sent = Submit(shop, Tcc(OneLamp(wait.back(), "Ada"), "payment")); !sent.ok()) {
      return sent;
    }
  }
  const Status misspelt = Submit(shop, Tcc(OneLamp(kMisspelt, "Ada"), "paymnet"));
  const bool refused =
      shop.keys().on() && misspelt.message().find("may not begin paymnet/") != std::string::npos;
  if (!misspelt.ok() && !refused) return misspelt;
  if (!refused) wait.emplace_back(kMisspelt);
  for (const std::string& gid : wait) {
    if (Status waits = WaitForCause(shop, gid, false); !waits.ok()) return waits;
  }
  return Outage{
      .waiting = kWaiting, .uncompensated = kUncompensated, .misspelt = refused ? "" : kMisspelt};
}

std::vector<std::string> ThingsToTry(const Shop& shop, const Outage& outage) {
  const std::string assentctl = shop.CtlCommand();
  std::string consoles;
  for (const std::string& console : shop.consoles())
    consoles += (consoles.empty() ? "" : " ") + console;
  std::vector<std::string> lines{
      std::to_string(outage.waiting) + " orders wait for the payment service, which is stopped; " +
          outage.uncompensated + " is not taken back by the inventory; " +
          (outage.misspelt.empty()
               ? "one for a service that nobody is was refused at once: no rule has that service."
               : outage.misspelt + " wants a service that nobody is."),
      "", "Look at it:", "  console   " + consoles};
  const std::vector<std::string> login = LoginLines(shop);
  lines.insert(lines.end(), login.begin(), login.end());
  for (const std::string& line :
       {"  list      " + assentctl + " list --group-by why",
        "  show      " + assentctl + " show " + outage.uncompensated, std::string(),
        std::string("Mend it: the payment service comes back, and what waited for it finishes by "
                    "itself:"),
        "  payment   " + shop.ServiceCommand("payment")})
    lines.push_back(line);
  return lines;
}

}  // namespace demo
