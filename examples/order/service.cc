#include "examples/order/service.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <assent/participant.h>
#include <assent/status.h>

#include "examples/order/tripwire.h"

namespace shop {

int Serve(int argc, char** argv, const Service& service) {
  CLI::App app("The " + service.name + " service of the shop, a participant of Assent.");
  std::string database = service.name + ".db";
  std::vector<std::string> coordinators;
  std::string fault;
  std::string stop;
  app.add_option("--database", database, "its SQLite file")->capture_default_str();
  app.add_option("--coordinator", coordinators,
                 "HOST:PORT; repeat it for those that share a log; default: ASSENT_ENDPOINT");
  app.add_option("--fault", fault, "break a rule, to see the demo notice")
      ->check(CLI::IsMember(service.faults));
  app.add_option("--stop", stop, "stop the process once, at WHEN:OPERATION[:ACTION]");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  auto store = assent::sqlite::Store::Open({.path = database, .setup = service.tables});
  if (!store.ok()) {
    std::fprintf(stderr, "%s: %s\n", service.name.c_str(), store.status().ToString().c_str());
    return 1;
  }
  service.actions(**store, fault);
  const std::optional<TripPoint> point = ParseTripPoint(stop);
  if (!stop.empty() && !point) {
    std::fprintf(stderr, "--stop %s: not (before|after):OPERATION[:ACTION]\n", stop.c_str());
    return 2;
  }
  Tripwire tripwire(**store, point);

  assent::ParticipantOptions options{.service = service.name};
  options.endpoints = coordinators;
  options.log = [&service](std::string_view line) {
    std::fprintf(stderr, "%s: %.*s\n", service.name.c_str(), static_cast<int>(line.size()),
                 line.data());
  };
  assent::Participant participant(std::move(options));
  participant.Attach(tripwire);
  const assent::Status ended = participant.Run();
  if (ended.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", service.name.c_str(), ended.ToString().c_str());
  return 1;
}

assent::sqlite::DbHandler OnOrder(OrderHandler handler) {
  return [handler = std::move(handler)](assent::sqlite::Db& db, const assent::Call& call) {
    const std::optional<Order> order = FromPayload(call.payload);
    if (!order) return assent::Reply::Refused("the payload is not an order");
    return handler(db, *order);
  };
}

}  // namespace shop
