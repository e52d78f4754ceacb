#include "participant-sdk/cpp/postgresql/executor.h"

#include <utility>

#include "participant-sdk/cpp/postgresql/group.h"
#include "participant-sdk/cpp/postgresql/two_phase.h"

namespace assent::postgresql::internal {

Executor::Executor(const Options& options, const Registry& registry, ConnectionSettings settings,
                   std::unique_ptr<Connection> first)
    : context_{options, registry},
      settings_(std::move(settings)),
      watch_(settings_, options.claim_grace),
      threads_({.database = "PostgreSQL",
                .connections = options.connections,
                .max_queued = options.max_queued,
                .max_group = options.max_group,
                .open = [this] { return Connection::Open(settings_); },
                .is_usable = [](const Connection& connection) { return !connection.broken(); },
                .run = [this](Connection& connection,
                              Tasks tasks) { return Run(connection, std::move(tasks)); }},
               std::move(first)) {}

RunEnd Executor::Run(Connection& connection, Tasks tasks) {
  const Task& task = *tasks.front();
  if (task.Settles() || task.Prepares())
    return TwoPhase(connection, context_, watch_, std::move(tasks.front())).Run();
  return Group(connection, context_, watch_, std::move(tasks)).Run();
}

}  // namespace assent::postgresql::internal
