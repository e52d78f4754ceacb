// Initiators that expect every call to succeed, and the participant that they call, in one process:
// what a rolling restart must not be noticed by. Until SIGTERM; then "calls=N failed=M" on stdout,
// before it a line for each failure, and 1 if there was one.
//
//   cluster-caller HOST:PORT,HOST:PORT,… THREADS

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <assent/client.h>
#include <assent/participant.h>

namespace {

std::atomic<bool> stopping = false;
std::atomic<int> calls = 0;
std::atomic<int> failed = 0;

void Count(const char* what, const std::string& gid, const assent::Status& status, bool committed) {
  ++calls;
  if (status.ok() && committed) return;
  ++failed;
  std::printf("%s %s: %s\n", what, gid.c_str(),
              status.ok() ? "did not commit" : status.ToString().c_str());
  std::fflush(stdout);
}

// In one call, and step by step: the second has an owner that goes away in the middle of it.
void Call(const assent::Client& client) {
  while (!stopping) {
    assent::Transaction whole;
    whole.Tcc("cinema", "seat", "row 7").Saga("cinema", "popcorn", "salted");
    const auto report = client.Submit(whole, {.wait = assent::WaitFor::kCompleted});
    Count("Submit", whole.gid(), report.status(), report.ok() && report->committed());

    assent::Transaction prepared;
    prepared.TwoPhase("cinema", "ticket", "row 7").TwoPhase("cinema", "ticket", "row 8");
    const auto both = client.Submit(prepared, {.wait = assent::WaitFor::kCompleted});
    Count("Submit of 2pc", prepared.gid(), both.status(), both.ok() && both->committed());

    assent::Transaction open_one;
    auto opened = client.Begin(open_one);
    Count("Begin", open_one.gid(), opened.status(), true);
    if (!opened.ok()) continue;
    const auto seat = opened->Tcc("cinema", "seat", "row 8");
    Count("Execute", open_one.gid(), seat.status(), seat.ok() && !seat->refused);
    const auto end = opened->Commit({.wait = assent::WaitFor::kCompleted});
    Count("Commit", open_one.gid(), end.status(), end.ok() && end->committed());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: cluster-caller HOST:PORT,… THREADS\n", stderr), 2;
  std::signal(SIGTERM, [](int) { stopping = true; });
  std::vector<std::string> endpoints;
  std::istringstream list(argv[1]);
  for (std::string endpoint; std::getline(list, endpoint, ',');) endpoints.push_back(endpoint);

  const auto done = [](const assent::Call&) { return assent::Reply::Done(); };
  assent::Participant cinema({.service = "cinema", .endpoints = endpoints});
  cinema.Tcc("seat", {.try_ = done, .confirm = done, .cancel = done});
  cinema.TwoPhase("ticket", {.prepare = done, .commit = done, .rollback = done});
  cinema.Saga("popcorn", {.action = done, .compensate = done});
  assent::Status status = cinema.Start();
  if (status.ok()) status = cinema.WaitConnected(std::chrono::seconds(30));
  if (!status.ok()) return std::fprintf(stderr, "%s\n", status.ToString().c_str()), 1;

  const assent::Client client({.endpoints = endpoints});
  std::vector<std::thread> threads;
  for (int i = 0; i < std::atoi(argv[2]); ++i) threads.emplace_back([&] { Call(client); });
  std::puts("calling");
  std::fflush(stdout);
  for (std::thread& thread : threads) thread.join();
  std::printf("calls=%d failed=%d\n", calls.load(), failed.load());
  return failed == 0 ? 0 : 1;
}
