#pragma once

// The only place where concrete classes meet: the log, the engine, the transports and the doors,
// put together in the order in which they need one another, and taken apart in the reverse.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <assent/status.h>

#include "coordinator/daemon/config.h"

namespace assent::daemon {

// Exit codes of assentd, after sysexits.h; documented in --help and docs/operating.md.
inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDamaged = 65;
inline constexpr int kExitAddressInUse = 69;
inline constexpr int kExitUnreachable = 70;
inline constexpr int kExitDataFolder = 73;
inline constexpr int kExitLogFailed = 74;
inline constexpr int kExitFenced = 75;
inline constexpr int kExitRegressed = 76;

class Server {
 public:
  explicit Server(Config config);
  ~Server();

  // Opens the log, recovers, listens, and goes on with what was unfinished. `exit_code` says which
  // kind of failure it was.
  Status Start(int& exit_code);
  // As bound: the port is filled in.
  const std::string& address() const;
  // The start-up card.
  std::string Card() const;
  // Housekeeping; call about once a second.
  void Tick();
  // Takes up what of the settings may change while it serves, and reads files again. Returns what
  // could not be read, "rules,certificates": the log says why, and what was read before counts on.
  std::string Reload(const Config& config);
  // Refuses new work.
  void BeginDrain();
  // Once nothing is left but transactions that only wait for a participant that is away: so many.
  std::optional<std::uint64_t> Drained();
  void Stop();
  // The file of a Unix socket, if there is one and it is ours. Any thread, also during Start and
  // Stop.
  void RemoveSocket();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace assent::daemon
