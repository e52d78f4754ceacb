#include "examples/order/driver/attempts.h"

#include <utility>

#include <assent/client.h>
#include <assent/participant.h>
#include <assent/thread_safety.h>
#include <assent/transaction.h>

namespace demo {
namespace {

using assent::Status;
using std::chrono_literals::operator""ms;

// Exit codes of assentctl.
constexpr int kCannotConnect = 3;
constexpr int kNotFound = 4;
constexpr int kNotPermitted = 6;

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// The last failure that the SDK has written to its log.
class Failures {
 public:
  void Take(std::string_view line) {
    const assent::MutexLock lock(mutex_);
    if (line.find(" reason=\"") != std::string_view::npos) last_ = line;
  }
  std::string last() const {
    const assent::MutexLock lock(mutex_);
    return last_;
  }

 private:
  mutable assent::Mutex mutex_;
  std::string last_ ASSENT_GUARDED_BY(mutex_);
};

Told Poses(const Shop& shop) {
  Failures failures;
  assent::ParticipantOptions options{.service = "inventory"};
  options.endpoints = {shop.endpoint()};
  options.tls = shop.keys().Of("payment");
  options.log = [&failures](std::string_view line) { failures.Take(line); };
  assent::Participant thief(std::move(options));
  const auto nothing = [](const assent::Call&) { return assent::Reply::Done(); };
  thief.Saga("steal", {.action = nothing, .compensate = {}});
  if (const Status started = thief.Start(); !started.ok()) return {false, started.ToString()};
  bool served = false;
  Until(kPatience, [&] {
    served = thief.WaitConnected(10ms).ok();
    return served || !failures.last().empty();
  });
  thief.Stop();
  if (served) return {false, "it is the inventory now"};
  const std::string words = failures.last();
  const std::size_t why = words.find("PERMISSION_DENIED");
  if (why == std::string::npos) return {false, words};
  return {words.find("may not be a participant of inventory") != std::string::npos,
          words.substr(why, words.rfind('"') - why)};
}

// The SDK does not take a denial for certain, which a proxy could have said: the operator looks.
Told Begins(const Shop& shop, const std::string& who, const std::string& service,
            const std::string& why) {
  assent::ClientOptions options{.endpoint = shop.endpoint()};
  options.tls = shop.keys().Of(who);
  const assent::Client client(std::move(options));
  const std::string gid = "stolen-by-" + who + "-from-" + service;
  assent::Transaction transaction;
  transaction.Gid(gid).Saga(service, "nothing", "");
  const Status told =
      client.Submit(transaction, {.wait = assent::WaitFor::kAccepted, .timeout = kPatience})
          .status();
  if (told.ok()) return {false, "it has begun"};
  if (shop.Show(gid).exit_code != kNotFound) return {false, "there is " + gid};
  const std::size_t denied = told.message().find("PERMISSION_DENIED");
  if (denied == std::string::npos) return {false, told.ToString()};
  const std::string words = told.message().substr(denied);
  return {words.find(why) != std::string::npos, words};
}

Told ServiceBegins(const Shop& shop) {
  return Begins(shop, "payment", "order", "spiffe://shop/payment may not begin transactions");
}
Told BeginsElsewhere(const Shop& shop) {
  return Begins(shop, "checkout", "bank", "spiffe://shop/checkout may not begin bank/nothing");
}

// assentctl with these flags, which has to end so.
Told Ctl(const Shop& shop, const std::vector<std::string>& flags,
         const std::vector<std::string>& words, const std::vector<int>& codes) {
  std::vector<std::string> argv{shop.program("assentctl"), "--endpoint", shop.endpoint(),
                                "--timeout", "10s"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  argv.insert(argv.end(), words.begin(), words.end());
  const Printed printed = Run(std::move(argv));
  const std::string told = FirstLine(printed.text);
  for (const int code : codes) {
    if (printed.exit_code == code) return {true, told};
  }
  return {false, told.empty() ? "nothing, and it was done" : told};
}

Told Intervenes(const Shop& shop) {
  return Ctl(shop, shop.keys().CtlFlagsOf("checkout"),
             {"abort", "tcc-commits", "--yes", "--reason", "I want it back"}, {kNotPermitted});
}
Told Forgets(const Shop& shop) {
  return Ctl(shop, shop.keys().CtlFlagsOf("operator"),
             {"forget", "tcc-commits", "--yes", "--reason", "nobody must know"}, {kNotPermitted});
}
Told ListsWithoutTls(const Shop& shop) { return Ctl(shop, {}, {"list"}, {kCannotConnect}); }
// Where browsers are let in, he is asked who he is.
Told ListsWithoutCertificate(const Shop& shop) {
  return Ctl(shop, shop.keys().CtlFlagsOfNobody(), {"list"}, {kCannotConnect, kNotPermitted});
}
Told ListsAsStranger(const Shop& shop) {
  return Ctl(shop, shop.keys().CtlFlagsOfStranger(), {"list"}, {kCannotConnect});
}

}  // namespace

const std::vector<Attempt>& Attempts() {
  static const std::vector<Attempt> attempts = {
      {"refused-pose", "Payment's key is stolen, and poses as the inventory.",
       "the rules: payment may be payment alone", Poses},
      {"refused-begin", "The same key places an order.", "the rules: payment begins nothing",
       ServiceBegins},
      {"refused-elsewhere",
       "The checkout's key wants something of a service that is not the shop's.",
       "the rules: the checkout begins for order, inventory and payment", BeginsElsewhere},
      {"refused-intervene", "The checkout's key aborts an order, as an operator would.",
       "the rules: the checkout is no operator", Intervenes},
      {"refused-forget", "The operator's key removes an order from the log.",
       "the rules: that takes an admin", Forgets},
      {"refused-plain", "A stranger comes without TLS, and asks for the orders.",
       "the listener: nothing but TLS is spoken there", ListsWithoutTls},
      {"refused-no-certificate", "A stranger comes with TLS, but without a certificate.",
       "the listener: whoever shows none is not served", ListsWithoutCertificate},
      {"refused-stranger",
       "A stranger comes with a certificate that calls him operator, of a CA of his own.",
       "the handshake: it is not of the shop's CA", ListsAsStranger},
  };
  return attempts;
}

}  // namespace demo
