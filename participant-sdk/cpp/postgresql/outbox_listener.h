#pragma once

// Hears what publishers notify, on a connection of its own.

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <libpq-fe.h>

namespace assent::postgresql::internal {

class OutboxListener {
 public:
  // `news` is called on a thread of this. While there is no connection nobody is told, and the
  // connection is tried again each second: whoever is told looks now and then anyway.
  OutboxListener(std::string connection, std::function<void()> news);
  ~OutboxListener();
  OutboxListener(const OutboxListener&) = delete;
  OutboxListener& operator=(const OutboxListener&) = delete;

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  using Held = std::unique_ptr<PGconn, Finish>;

  void Loop();
  Held Connect() const;
  // Until the connection is lost. False: it is to end.
  bool Hear(PGconn* connection) const;
  // Waits for the end, or for so long. False: the end.
  bool Rest(std::chrono::milliseconds time) const;

  const std::string connection_;
  const std::function<void()> news_;
  std::array<int, 2> stop_ = {-1, -1};  // a pipe: its other end is closed to end the loop
  std::thread thread_;
};

}  // namespace assent::postgresql::internal
