#pragma once

// Who comes in. The listening sockets are ours, not gRPC's: it gives up listening for good when it
// has once found no descriptor for a connection. One thread accepts, counts, and hands over to gRPC
// whoever has said something.
//
// Invariant: the connections that there are never take the descriptors that the log needs, and
// nobody is turned away for good: where there is room again, the next one gets in.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <sys/socket.h>
#include <sys/types.h>

#include "coordinator/security/guard.h"

namespace assent::daemon {

struct AcceptorOptions {
  // Connections in all, and from one address (an IPv6 network of 64 bits counts as one, and so does
  // each user of a Unix socket; 0: half of all). Who comes then takes the place of the one that has
  // been silent longest, or is turned away.
  std::size_t max_connections_count = 12'000;
  std::size_t max_connections_per_address_count = 0;
  // Whoever comes over TCP begins TLS with his first byte, or is told so and turned away.
  bool tls = false;
  // Who says nothing for so long after connecting is turned away.
  std::chrono::milliseconds first_byte_timeout{10'000};
  // nullptr: nobody is a stranger.
  security::Guard* guard = nullptr;
};

// Of strangers: connections, where somebody is asked who he is, that have had no call admitted (of
// a Unix socket those of a user who has had none). gRPC keeps what they send until it knows what it
// is, some of it without counting. So one by TCP that has sent more than its share is ended, as is
// the one that has sent most when all together have sent more than theirs; and at a limit on
// connections the oldest of them makes room.
inline constexpr std::uint64_t kMaxStrangerBytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kMaxStrangersBytes = std::uint64_t{256} << 20;
// So long a connection may take until its first call is admitted before it makes room for others;
// and where its address has more of them than the one that comes. So many, the oldest, are looked
// at for that.
inline constexpr std::chrono::milliseconds kStrangerGrace{10'000};
inline constexpr std::chrono::milliseconds kCrowdGrace{1'000};
inline constexpr std::size_t kCrowdLookedAtCount = 256;

// So that peers cannot take the descriptors that the log, libraries and dialled participants need.
// Raises the limit on open files as far as this process may, and lowers the options to what it
// leaves; `reserve` descriptors stay free. False: they were lowered.
bool FitToFileLimit(std::size_t reserve, AcceptorOptions& options);

class Acceptor {
 public:
  // Takes the descriptor of a connection, non-blocking, that has something to read.
  using HandOver = std::function<void(int descriptor)>;

  // Accepts from `listeners` until it is destroyed; they outlive it.
  Acceptor(AcceptorOptions options, const std::vector<int>& listeners, HandOver hand_over);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Other limits from now on: who is connected stays. Any thread.
  void SetLimits(const AcceptorOptions& options);

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    std::string address;
    bool is_tcp = false;         // else by a Unix socket
    ino_t inode = 0;             // a descriptor with another one is another socket
    std::uint64_t silent = 0;    // its key in silent_; 0: handed over
    std::uint64_t stranger = 0;  // its key in strangers_; 0: none, or not handed over yet
    std::string peer;            // as gRPC names it; empty: is never a stranger
    std::uint64_t since = 0;     // of a stranger: what Strangers said of it
  };
  struct Silent {
    int descriptor = -1;
    Clock::time_point since{};
  };
  struct TurnedAway {
    std::uint64_t in_all = 0;
    std::uint64_t by_address = 0;
    std::uint64_t for_descriptors = 0;
    std::uint64_t silent = 0;
    std::uint64_t without_tls = 0;
    std::uint64_t strangers = 0;
    std::uint64_t sum() const {
      return in_all + by_address + for_descriptors + silent + without_tls + strangers;
    }
  };

  void Run();
  void Accept(int listener);
  // False: nobody could be let in, and nobody turned away either.
  bool AcceptWithoutDescriptors(int listener);
  void Arrived(int descriptor, const sockaddr_storage& peer);
  bool MakeRoom(const std::string& address);
  // Of this address, or of any.
  bool EvictSilent(const std::string* address);
  // The oldest stranger, of this address or of any.
  bool EvictStranger(const std::string* address);
  // One of an address that has more connections than this one would have with one more.
  bool EvictOneOfMany(const std::string& newcomer);
  bool EvictStranger(std::chrono::milliseconds grace, std::size_t looked_at,
                     const std::function<bool(const Connection&)>& is_one);
  void LookAtStrangers();
  void EndStranger(int descriptor);
  bool Spoke(int descriptor);
  void TellOfTls(int descriptor);
  void Forget(int descriptor);
  void Close(int descriptor);
  void EndSilent(Clock::time_point now);
  // Forgets connections that gRPC has closed. It does not say so; their descriptor is another
  // socket's, or none.
  void Sweep();
  void SweepAtALimit();
  void Report(Clock::time_point now);
  void Listen(bool on);
  std::size_t CountOf(const std::string& address) const;

  const AcceptorOptions options_;
  std::atomic<std::size_t> max_count_;
  std::atomic<std::size_t> max_per_address_count_;
  const std::vector<int> listeners_;
  const HandOver hand_over_;
  int epoll_ = -1;
  int wake_ = -1;
  int spare_ = -1;  // a descriptor to give, so that one can be told that there is none

  // The thread's.
  std::unordered_map<int, Connection> connections_;
  std::unordered_map<std::string, std::size_t> by_address_;
  std::map<std::uint64_t, Silent> silent_;     // the oldest first
  std::map<std::uint64_t, Silent> strangers_;  // the same; since when they were handed over
  std::uint64_t next_silent_ = 1;
  Clock::time_point swept_at_{};
  Clock::time_point strangers_at_{};  // when they are looked at next
  Clock::time_point listen_at_{};     // not listening until then; 0: listening
  TurnedAway turned_away_;            // since it was last said
  bool said_ = false;                 // that some are turned away
  Clock::time_point said_at_{};
  std::thread thread_;
};

}  // namespace assent::daemon
