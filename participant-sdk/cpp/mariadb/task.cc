#include "participant-sdk/cpp/mariadb/task.h"

namespace assent::mariadb::internal {

void PutAgain(TaskPtr task, const Status& why, RunEnd& end) {
  ++end.undone;
  if (++task->tries < limits::kMaxLocalTriesCount) {
    end.again.push_back(std::move(task));
    return;
  }
  task->NotDone(Unavailable(std::to_string(limits::kMaxLocalTriesCount) +
                            " times in vain: " + why.message()));
  end.done.push_back(std::move(task));
}

const DbHandler* Context::HandlerOf(const Call& call, std::string& why) const {
  const auto found = registry.find({call.action, call.protocol});
  if (found == registry.end()) {
    why =
        "no " + std::string(Name(call.protocol)) + " action " + call.action + " is registered here";
    return nullptr;
  }
  switch (RoleOf(call.operation)) {
    case Role::kForward: return &found->second.forward;
    case Role::kFinish: return &found->second.finish;
    case Role::kUndo: break;
  }
  return &found->second.undo;
}

}  // namespace assent::mariadb::internal
