#pragma once

// A TCP proxy that misbehaves on request: between initiators or participants and the coordinator,
// and between it and a participant that it dials. One listening port for each ("link"), one epoll
// thread for all.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace assent::crash {

struct Trouble {
  enum class Kind : std::uint8_t { kNone, kDelay, kCut, kHalfClose, kBlackHole, kThrottle };
  Kind kind = Kind::kNone;
  std::chrono::milliseconds lasts{0};
  std::chrono::milliseconds delay{0};  // kDelay: of every byte
  std::int64_t bytes_per_second = 0;   // kThrottle: each way
  bool upstream =
      true;  // kHalfClose, kBlackHole: which way, as seen by who dials (the other one goes on)
  bool cut_after = false;  // kBlackHole: ends with a reset instead of with late delivery
};
const char* TroubleName(Trouble::Kind kind);

class Proxy {
 public:
  static constexpr int kAll = -1;
  // One link to each of these ports of 127.0.0.1.
  explicit Proxy(const std::vector<std::uint16_t>& targets);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // "127.0.0.1:PORT" of a link.
  std::string Endpoint(int link) const;
  // On one connection of a link (`pick` chooses), on a whole link with what is dialled meanwhile,
  // or on all links. kCut and kHalfClose strike at once; a cut link refuses new connections while
  // it lasts.
  void StrikeConnection(int link, std::uint64_t pick, Trouble trouble);
  void StrikeLink(int link, Trouble trouble);
  // Ends all troubles. What was held back is delivered.
  void Heal();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace assent::crash
