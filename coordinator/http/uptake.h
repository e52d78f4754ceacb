#pragma once

// What a caller takes of what is written to him, by what TCP knows: bytes that his kernel has
// acknowledged, which it does as long as it has room for them.
//
// Whoever takes a little now and then is slow; who takes nothing for long is gone. That the socket
// takes more of ours does not tell one from the other: it does so when a good part of it is empty.
// Nor does TCP_USER_TIMEOUT, which also runs while a caller who is there has no room.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace assent::http {

class Uptake {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The kernel has them now.
  void Sent(std::size_t bytes, TimePoint now) {
    if (taken_bytes_ == sent_bytes_) taken_at_ = now;
    sent_bytes_ += static_cast<std::int64_t>(bytes);
  }
  // Looks. All that was sent has been taken.
  bool IsWhole(int socket, TimePoint now) {
    if (taken_bytes_ == sent_bytes_) return true;
    int queued_bytes = 0;
    if (::ioctl(socket, SIOCOUTQ, &queued_bytes) != 0) queued_bytes = 0;
    const std::int64_t taken_bytes = sent_bytes_ - queued_bytes;
    if (taken_bytes > taken_bytes_) taken_at_ = now;
    taken_bytes_ = taken_bytes;
    return taken_bytes_ == sent_bytes_;
  }
  // If it is not whole: since nothing more was taken.
  TimePoint::duration StoodStill(TimePoint now) const { return now - taken_at_; }

 private:
  // Since the connection began.
  std::int64_t sent_bytes_ = 0;
  std::int64_t taken_bytes_ = 0;
  TimePoint taken_at_{};
};

}  // namespace assent::http
