#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace assent::bench {

// One measurement. Every process of the fleet gets it on its command line.
struct Load {
  std::string workload = "tcc";  // tcc, 2pc, saga, order, interactive, unary, mixed-faults
  int branches = 2;
  int participants = 2;  // processes; branch i goes to number i modulo this
  int initiators = 1;    // processes
  int in_flight = 1024;  // closed loop: transactions under way, all initiators together
  double rate = 0;  // open loop: transactions per second, all initiators together; 0: closed loop
  int payload_bytes = 16;
  double seconds = 5;
  double warmup_seconds = 1;
  std::string wait = "decided";  // decided, completed
};

// Lets measured time pass: here the clock is what is waited for.
inline void PassUntil(std::chrono::steady_clock::time_point when) {
  std::this_thread::sleep_until(when);  // tidy: allow(sleep) a measurement takes its time
}
inline void Pass(std::chrono::duration<double> time) {
  PassUntil(std::chrono::steady_clock::now() +
            std::chrono::duration_cast<std::chrono::steady_clock::duration>(time));
}

std::vector<std::string> LoadArguments(const Load& load);
std::string ServiceName(int participant);
// The protocol of a branch of this workload: "tcc", "2pc" or "saga".
std::string ProtocolOf(const Load& load);

// Roles of one process; each runs until told to stop (SIGTERM), or until its time is over.
int RunParticipant(const Load& load, int number, const std::string& endpoint,
                   const std::string& folder);
int RunUnaryParticipant(const std::string& address);
int RunInitiator(const Load& load, const std::string& endpoint);
int RunFloorCoordinator(const std::string& listen, const std::string& folder);

}  // namespace assent::bench
