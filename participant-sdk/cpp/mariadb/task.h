#pragma once

// What queues for the store's threads: an operation of a branch, a write of the service's own, the
// coordinator's word on a branch held here. Run in a local transaction, and answered only when it
// has ended.

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/mariadb.h>
#include <assent/text.h>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"

namespace assent::mariadb::internal {

// What a service registered for one action of one protocol.
struct Handlers {
  DbHandler forward;
  DbHandler finish;  // TCC only
  DbHandler undo;    // TCC and Saga
};
using Registry = std::map<std::pair<std::string, Protocol>, Handlers>;

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
using TaskPtr = std::unique_ptr<Task>;
using Tasks = std::vector<TaskPtr>;

// What a run of tasks has come to. Those in `done` have been answered, or dropped.
struct RunEnd {
  Tasks done;
  Tasks again;  // nothing of them is left
  std::uint64_t committed = 0;
  std::uint64_t groups = 0;
  std::uint64_t undone = 0;
  std::uint64_t unknown = 0;
};
// Puts a task that was undone with its transaction where it belongs: again, or, when it has been
// tried often enough, answered.
void PutAgain(TaskPtr task, const Status& why, RunEnd& end);

// What all runs have in common.
struct Context {
  const Options& options;
  const Registry& registry;

  Now now() const { return options.now_ms ? Now(options.now_ms()) : std::nullopt; }
  void Reach(std::string_view point) const {
    if (options.at_point) options.at_point(point);
  }
  // The handler of a call; null, and why, where there is none.
  const DbHandler* HandlerOf(const Call& call, std::string& why) const;
};

}  // namespace assent::mariadb::internal
