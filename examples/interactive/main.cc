// The interactive form: each branch's answer is seen before the next branch is chosen. One process
// plays three parts: two airlines that quote a price, and a customer who flies out with one and
// home with the other. `assentd` must run.
//
//   example-interactive [LIMIT]     gives up, and so rolls back, when the ticket out costs more
//                                   (default 400)
//
// Exit code: 0 booked, 2 rolled back because of the limit, 1 anything else.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include <assent/client.h>
#include <assent/participant.h>

namespace {

// Tickets by transaction. Kept in memory for brevity: a real airline writes its own database,
// through an adapter.
class Airline {
 public:
  Airline(std::string name, int price) : price_(price), participant_({.service = std::move(name)}) {
    participant_.Tcc("ticket",
                     {.try_ = [this](const assent::Call& call) { return Hold(call); },
                      .confirm = [this](const assent::Call& call) { return Set(call, "sold"); },
                      .cancel = [this](const assent::Call& call) { return Set(call, "free"); }});
  }

  assent::Status Open() {
    if (assent::Status status = participant_.Start(); !status.ok()) return status;
    return participant_.WaitConnected(std::chrono::seconds(10));
  }

  std::string TicketOf(const std::string& gid) {
    const std::lock_guard lock(mutex_);
    return tickets_[gid];
  }

 private:
  // The price is the branch's result: the initiator sees it before it chooses what comes next.
  assent::Reply Hold(const assent::Call& call) {
    const std::lock_guard lock(mutex_);
    std::string& ticket = tickets_[call.gid];
    if (ticket == "free") return assent::Reply::Refused("cancelled before");  // a late try
    if (ticket.empty()) ticket = "held";
    return assent::Reply::Done(std::to_string(price_));
  }
  assent::Reply Set(const assent::Call& call, const char* state) {
    const std::lock_guard lock(mutex_);
    tickets_[call.gid] = state;
    return assent::Reply::Done();
  }

  const int price_;
  std::mutex mutex_;
  std::map<std::string, std::string> tickets_;
  assent::Participant participant_;
};

int Fail(const assent::Status& status) {
  std::fprintf(stderr, "example-interactive: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int limit = argc > 1 ? std::atoi(argv[1]) : 400;
  Airline north("north-air", 380);
  Airline south("south-air", 420);
  if (const assent::Status status = north.Open(); !status.ok()) return Fail(status);
  if (const assent::Status status = south.Open(); !status.ok()) return Fail(status);

  const assent::Client client;
  auto trip = client.Begin(assent::Transaction().Label("customer", "Ada"));
  if (!trip.ok()) return Fail(trip.status());
  const std::string gid = trip->gid();

  auto outbound = trip->Tcc("north-air", "ticket", "2 September");
  if (!outbound.ok()) return Fail(outbound.status());  // `trip` goes, and is rolled back
  std::printf("%s: north-air asks %s\n", gid.c_str(), outbound->result.c_str());

  if (std::atoi(outbound->result.c_str()) > limit) {
    auto report = trip->Rollback("above the limit of " + std::to_string(limit),
                                 {.wait = assent::WaitFor::kCompleted});
    if (!report.ok()) return Fail(report.status());
    std::printf("%s: %s; north-air's ticket is %s\n", gid.c_str(),
                assent::OutcomeName(report->outcome), north.TicketOf(gid).c_str());
    return 2;
  }
  auto homeward = trip->Tcc("south-air", "ticket", "9 September");
  if (!homeward.ok()) return Fail(homeward.status());
  std::printf("%s: south-air asks %s\n", gid.c_str(), homeward->result.c_str());

  auto report = trip->Commit({.wait = assent::WaitFor::kCompleted});
  if (!report.ok()) return Fail(report.status());
  std::printf("%s: %s; tickets are %s and %s\n", gid.c_str(), assent::OutcomeName(report->outcome),
              north.TicketOf(gid).c_str(), south.TicketOf(gid).c_str());
  return report->committed() ? 0 : 1;
}
