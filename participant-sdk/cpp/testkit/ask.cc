#include "participant-sdk/cpp/testkit/ask.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <assent/thread_safety.h>

namespace assent::testkit {
namespace {

constexpr std::chrono::seconds kPatience{30};

}  // namespace

Result<Reply> AskOnce(Resource& resource, const Call& call) {
  // Shared with the responder, which may outlive our patience.
  struct Answer {
    Mutex mutex;
    CondVar given;
    std::optional<Reply> reply ASSENT_GUARDED_BY(mutex);
  };
  const auto answer = std::make_shared<Answer>();
  resource.Execute(call, [answer](Reply reply) {
    {
      const MutexLock lock(answer->mutex);
      if (!answer->reply) answer->reply = std::move(reply);
    }
    answer->given.NotifyAll();
  });
  const auto until = std::chrono::steady_clock::now() + kPatience;
  const MutexLock lock(answer->mutex);
  while (!answer->reply && answer->given.WaitUntil(answer->mutex, until)) {
  }
  if (!answer->reply) {
    return Status(Code::kDeadlineExceeded, Shown(call) + " was not answered within " +
                                               std::to_string(kPatience.count()) + " s");
  }
  return *answer->reply;
}

std::string Shown(const Call& call) {
  return std::string(OperationName(call.operation)) + " of branch " + call.branch_id + " of " +
         call.gid;
}

std::string Shown(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::kDone: return "done '" + reply.result + "'";
    case Reply::Kind::kDoneReadOnly: return "done, read-only '" + reply.result + "'";
    case Reply::Kind::kRefused: return "refused: " + reply.reason;
    case Reply::Kind::kRetryLater: return "retry later: " + reply.reason;
  }
  return "an answer of no known kind";
}

}  // namespace assent::testkit
