#pragma once

// The tasks of this adapter (participant-sdk/cpp/server), and what their runs have in common.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/postgresql.h>

#include "participant-sdk/cpp/postgresql/barrier_rows.h"
#include "participant-sdk/cpp/server/task.h"

namespace assent::postgresql::internal {

using Handlers = server::Handlers<Db>;
using Registry = server::Registry<Db>;
struct Task : server::Task<Db> {
  using server::Task<Db>::Task;
  // What the database said against it at COMMIT: it is refused, and its handler does not run.
  std::optional<std::string> refusal;
};
using TaskPtr = std::unique_ptr<Task>;
using Tasks = std::vector<TaskPtr>;
using RunEnd = server::RunEnd<Task>;

inline void PutAgain(TaskPtr task, const Status& why, RunEnd& end) {
  server::PutAgain(std::move(task), limits::kMaxLocalTriesCount, why, end);
}

// What all runs have in common.
struct Context {
  const Options& options;
  const Registry& registry;

  Now now() const { return options.now_ms ? Now(options.now_ms()) : std::nullopt; }
  void Reach(std::string_view point) const {
    if (options.at_point) options.at_point(point);
  }
  const char* begin() const;  // BEGIN with the isolation
  const DbHandler* HandlerOf(const Call& call, std::string& why) const {
    return server::HandlerOf(registry, call, why);
  }
};

}  // namespace assent::postgresql::internal
