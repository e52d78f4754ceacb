#pragma once

// The sockets: HTTP/1.1 on a few threads, whoever waits holds none of them.
//
// Invariant: what a connection makes us hold is bounded, by limits.h and by what the service
// counts; and whoever is turned away is told why, as long as there is room for telling.

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "coordinator/http/exchange.h"
#include "coordinator/http/ledger.h"

struct ssl_ctx_st;

namespace assent::http {

struct DoorOptions {
  // In all, and from one address; 0: half of all.
  std::size_t max_connections_count = 8192;
  std::size_t max_connections_per_address_count = 0;
  // With what the next connection speaks TLS; empty: without.
  std::function<std::shared_ptr<ssl_ctx_st>()> tls = {};
};

class Door {
 public:
  // Listens on sockets of TCP, which stay their owner's, until it is closed. Whoever is asked
  // outlives it.
  Door(const DoorOptions& options, const std::vector<int>& listeners, Taker& taker);
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // Nobody comes in any more; who waits is told that this coordinator is stopping, and everything
  // is over when it returns, within a second. Idempotent.
  void Close();
  // From any thread.
  DoorFigures Figures() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace assent::http
