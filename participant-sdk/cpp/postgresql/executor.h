#pragma once

// The threads of a store (participant-sdk/cpp/server), and what they run: Group, and TwoPhase.

#include <memory>

#include <assent/postgresql.h>

#include "participant-sdk/cpp/postgresql/task.h"
#include "participant-sdk/cpp/postgresql/watch.h"
#include "participant-sdk/cpp/server/executor.h"

namespace assent::postgresql::internal {

class Executor {
 public:
  using Threads = server::Executor<Connection, Task>;

  // `first`: as of server::Executor.
  Executor(const Options& options, const Registry& registry, ConnectionSettings settings,
           std::unique_ptr<Connection> first);

  Threads& threads() { return threads_; }

 private:
  RunEnd Run(Connection& connection, Tasks tasks);

  const Context context_;
  const ConnectionSettings settings_;
  Watch watch_;
  Threads threads_;  // last: they use the rest
};

}  // namespace assent::postgresql::internal
