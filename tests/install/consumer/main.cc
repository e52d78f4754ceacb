#include <cstdio>

#include <assent/client.h>
#include <assent/participant.h>
#include <assent/testkit.h>

int main() {
  int stock = 10;
  int reserved = 0;
  assent::Participant inventory({.service = "inventory"});
  const auto reserve = [&](const assent::Call&) {
    return stock - reserved > 0 ? (++reserved, assent::Reply::Done())
                                : assent::Reply::Refused("sold out");
  };
  const auto deduct = [&](const assent::Call&) {
    return --reserved, --stock, assent::Reply::Done();
  };
  const auto release = [&](const assent::Call&) { return --reserved, assent::Reply::Done(); };
  inventory.Tcc("reserve", {.try_ = reserve, .confirm = deduct, .cancel = release});

  assent::testkit::Coordinator kit;
  kit.Serve(inventory);
  const auto report = kit.client().Submit(assent::Transaction().Tcc("inventory", "reserve"));
  const bool ok = report.ok() && report->committed() && stock == 9 && reserved == 0;
  std::printf("%s, stock %d\n", ok ? "committed" : report.status().ToString().c_str(), stock);
  return ok ? 0 : 1;
}
