#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace assent::bench {

// One measurement. Every process of the fleet gets it on its command line (LoadArguments), but for
// what only the parent needs.
struct Load {
  std::string workload =
      "tcc";  // tcc, 2pc, saga, order, interactive, unary, submit, rest, mixed-faults
  int branches = 2;
  int participants = 2;  // processes; branch i goes to number i modulo this
  int initiators = 1;    // processes
  int in_flight = 1024;  // closed loop: transactions under way, all initiators together
  double rate = 0;  // open loop: transactions per second, all initiators together; 0: closed loop
  int payload_bytes = 16;
  double seconds = 5;
  double warmup_seconds = 1;
  std::string wait = "decided";       // accepted, decided, completed
  std::size_t group = 256;            // order: operations that share one local commit
  std::size_t max_pending = 500'000;  // unanswered ones of an initiator; more are refused there
  bool retry = true;                  // whether an initiator repeats what was refused
  std::uint64_t count = 0;            // hold: how many transactions to begin
  std::string tls_folder;             // with the certificates of this measurement; empty: no TLS
  // postgresql://…, a role that may create databases: each measurement has one of its own. Empty:
  // SQLite in the folder.
  std::string log;

  // The parent's.
  bool tls = false;                           // mutual TLS on each connection
  int coordinators = 1;                       // that share the log
  double commit_delay_ms = 0;                 // that each commit of the database takes longer
  bool http = false;                          // that has its HTTP port; `rest` has
  std::vector<std::string> daemon_arguments;  // more flags for assentd
  std::vector<std::string> under;             // what runs the coordinator: valgrind and its words
  bool count_syscalls = false;                // the coordinator under strace
  std::string title;                          // of the progress line
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
// The service that participant process `participant` serves.
std::string ServiceName(const Load& load, int participant);
// The protocol of the workload's branches: "tcc", "2pc" or "saga".
std::string ProtocolOf(const Load& load);

// Roles of one process; each runs until told to stop (SIGTERM), or until its time is over.
int RunParticipant(const Load& load, int number, const std::vector<std::string>& endpoints,
                   const std::string& folder);
int RunUnaryParticipant(const Load& load, const std::string& address);
int RunInitiator(const Load& load, const std::vector<std::string>& endpoints);
int RunFloorCoordinator(const Load& load, const std::string& listen, const std::string& folder);
int RunUnaryFloor(const std::string& listen, const std::vector<std::string>& participants);
// An initiator of HTTP: a connection for each transaction under way.
int RunRestInitiator(const Load& load, const std::string& address);
// The HTTP port of assentd, with nothing behind it: each body is its own answer.
int RunRestFloor();
// Plain echo by gRPC, unary and over a stream; and who calls it, with `in_flight` under way
// (workload "unary" or "stream").
int RunEchoServer(const std::string& listen);
int RunEchoCaller(const Load& load, const std::string& endpoint);
// Holds `sessions` streams to the coordinator, each a connection of its own, and answers nothing.
int RunSilentSessions(int sessions, int number, const std::string& endpoint);

}  // namespace assent::bench
