#include "participant-sdk/cpp/mariadb/executor.h"

#include <utility>

#include "participant-sdk/cpp/mariadb/group.h"
#include "participant-sdk/cpp/mariadb/two_phase.h"

namespace assent::mariadb::internal {

Executor::Executor(const Options& options, const Registry& registry, ConnectionSettings settings,
                   std::unique_ptr<Connection> first)
    : context_{options, registry},
      settings_(std::move(settings)),
      sessions_(settings_),
      threads_({.database = "MariaDB",
                .connections = options.connections,
                .max_queued = options.max_queued,
                .max_group = options.max_group,
                .open = [this] { return Connection::Open(settings_); },
                .is_usable =
                    [](const Connection& connection) {
                      return !connection.broken() && !connection.IsStale();
                    },
                .run = [this](Connection& connection,
                              Tasks tasks) { return Run(connection, std::move(tasks)); }},
               std::move(first)) {}

RunEnd Executor::Run(Connection& connection, Tasks tasks) {
  const Task& task = *tasks.front();
  if (task.Settles() || task.Prepares())
    return TwoPhase(connection, sessions_, context_, std::move(tasks.front())).Run();
  return Group(connection, context_, std::move(tasks)).Run();
}

}  // namespace assent::mariadb::internal
