#pragma once

// What queues for the threads of a store over a database's server: an operation of a branch, a
// write of the service's own, the coordinator's word on a branch held here. Run in a local
// transaction, and answered only when it has ended. `Db` is what an adapter's handlers are given.

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/call.h>
#include <assent/text.h>

#include "participant-sdk/cpp/server/branch.h"

namespace assent::server {

// What a service registered for one action of one protocol.
template <typename Db>
struct Handlers {
  using Handler = std::function<Reply(Db&, const Call&)>;
  Handler forward;
  Handler finish;  // TCC only
  Handler undo;    // TCC and Saga
};
template <typename Db>
using Registry = std::map<std::pair<std::string, Protocol>, Handlers<Db>>;

// The handler of a call; null, and why, where there is none.
template <typename Db>
const typename Handlers<Db>::Handler* HandlerOf(const Registry<Db>& registry, const Call& call,
                                                std::string& why) {
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

template <typename Db>
struct Task {
  enum class Kind : std::uint8_t { kCall, kLocal, kAnswer };
  explicit Task(Kind the_kind) : kind(the_kind) {}

  const Kind kind;
  // kCall; of kAnswer the branch alone.
  Call call;
  Responder respond;
  // kLocal. Its caller waits.
  const std::function<Status(Db&)>* write = nullptr;
  std::promise<Status> promise;
  // kAnswer.
  Verdict verdict = Verdict::kUndecided;
  bool finished = false;

  int tries = 0;        // local transactions that were undone with it
  bool alone = false;   // it is to have a local transaction of its own, and may wait for locks
  bool settle = false;  // kAnswer: it is about prepared work
  Reply reply;
  Status status;

  BranchKey branch() const { return {call.gid, call.branch_id}; }
  bool has_branch() const { return kind != Kind::kLocal; }
  // PREPARE that is to leave something prepared.
  bool Prepares() const {
    return kind == Kind::kCall && call.operation == Operation::kPrepare && !call.one_phase;
  }
  // COMMIT or ROLLBACK of what is prepared.
  bool Settles() const {
    return settle || (kind == Kind::kCall && (call.operation == Operation::kCommit ||
                                              call.operation == Operation::kRollback));
  }

  // Its local transaction is durable.
  void Answer() {
    if (kind == Kind::kLocal) promise.set_value(std::move(status));
    if (kind == Kind::kCall) std::exchange(respond, nullptr)(std::move(reply));
  }
  // Certainly nothing happened.
  void NotDone(const Status& why) {
    status = why;
    reply = Reply::RetryLater(CleanText(why.ToString()));
    Answer();
  }
  // Perhaps it happened. The responder is dropped uncalled: the coordinator hears nothing, which is
  // the truth, and asks again.
  void Unknown(const Status& why) {
    respond = nullptr;
    if (kind == Kind::kLocal) {
      promise.set_value(
          UnknownOutcome("the write may or may not have been kept: " + why.message()));
    }
  }
};

// What a run of tasks has come to. Those in `done` have been answered, or dropped.
template <typename Task>
struct RunEnd {
  std::vector<std::unique_ptr<Task>> done;
  std::vector<std::unique_ptr<Task>> again;  // nothing of them is left
  std::uint64_t committed = 0;
  std::uint64_t groups = 0;
  std::uint64_t undone = 0;
  std::uint64_t unknown = 0;
};

// Puts a task that was undone with its transaction where it belongs: again, or, when it has been
// tried so often, answered.
template <typename Task>
void PutAgain(std::unique_ptr<Task> task, int max_tries, const Status& why, RunEnd<Task>& end) {
  ++end.undone;
  if (++task->tries < max_tries) {
    end.again.push_back(std::move(task));
    return;
  }
  task->NotDone(Unavailable(std::to_string(max_tries) + " times in vain: " + why.message()));
  end.done.push_back(std::move(task));
}

}  // namespace assent::server
