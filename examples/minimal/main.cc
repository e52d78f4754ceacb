// The shortest complete program: a participant and an initiator in one process. `assentd` must run.
// A real service keeps its seats in its own database: see the order example.
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include <assent/client.h>
#include <assent/participant.h>

int main() {
  std::mutex mutex;
  std::map<std::string, std::string> seats;                                    // by gid
  std::map<std::pair<std::string, assent::Operation>, assent::Reply> answers;  // first = last
  const auto set = [&](const char* state) {
    return [&, state](const assent::Call& call) {
      const std::lock_guard lock(mutex);
      const auto [answer, first] = answers.try_emplace({call.gid, call.operation});
      if (!first) return answer->second;
      std::string& seat = seats[call.gid];
      const bool late = call.operation == assent::Operation::kTry && !seat.empty();
      if (!late) seat = state;
      return answer->second = late ? assent::Reply::Refused("cancelled") : assent::Reply::Done();
    };
  };
  assent::Participant cinema({.service = "cinema"});
  cinema.Tcc("seat", {.try_ = set("held"), .confirm = set("sold"), .cancel = set("free")});
  assent::Status status = cinema.Start();
  if (status.ok()) status = cinema.WaitConnected(std::chrono::seconds(10));
  if (!status.ok()) return std::fprintf(stderr, "%s\n", status.ToString().c_str()), 1;

  assent::Transaction evening;
  evening.Tcc("cinema", "seat", "row 7").Label("film", "Metropolis");
  const auto report = assent::Client().Submit(evening, {.wait = assent::WaitFor::kCompleted});
  if (!report.ok()) return std::fprintf(stderr, "%s\n", report.status().ToString().c_str()), 1;
  std::printf("%s %s: %s\n", evening.gid().c_str(), assent::OutcomeName(report->outcome),
              seats[evening.gid()].c_str());
  return report->committed() ? 0 : 1;
}
