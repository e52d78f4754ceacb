#include <utility>

#include <assent/limits.h>

#include "proto/parse/parse.h"
#include "tests/contract/bytes.h"
#include "tests/contract/limits.h"
#include "tests/contract/session_server.h"

namespace assent::contract {

Session::Session(SessionServer* server, grpc::CallbackServerContext* context)
    : server_(server), context_(context) {}

void Session::Begin(std::shared_ptr<Session> self) {
  self_ = std::move(self);
  StartRead(&in_);
}

std::vector<std::future<Answer>> Session::Send(std::vector<v1::BranchCommand> commands) {
  std::vector<std::future<Answer>> answers;
  v1::CoordinatorFrame frame;
  const MutexLock lock(mutex_);
  for (v1::BranchCommand& command : commands) {
    command.set_command_id(++last_command_);
    std::promise<Answer> promise;
    answers.push_back(promise.get_future());
    if (gone_ || ending_) {
      promise.set_value({std::nullopt, "the stream has ended"});
      continue;
    }
    *frame.add_commands() = command;
    pending_.emplace(last_command_, Pending{std::move(command), std::move(promise)});
  }
  if (gone_ || ending_) return answers;
  queue_.push_back(BufferOf(frame.SerializeAsString()));
  WriteNext();
  return answers;
}

void Session::Write(const v1::CoordinatorFrame& frame) { WriteBytes(frame.SerializeAsString()); }

void Session::WriteBytes(const std::string& bytes) {
  const MutexLock lock(mutex_);
  if (gone_ || ending_) return;
  queue_.push_back(BufferOf(bytes));
  WriteNext();
}

void Session::WriteNext() {
  if (writing_ || queue_.empty() || finished_) return;
  writing_ = true;
  out_ = std::move(queue_.front());
  queue_.pop_front();
  StartWrite(&out_);
}

void Session::FinishIfDrained() {
  if (!ending_ || writing_ || finished_ || !queue_.empty()) return;
  finished_ = true;
  Finish(status_);
}

void Session::End(grpc::Status status) {
  {
    const MutexLock lock(mutex_);
    if (!ending_) status_ = std::move(status);
    ending_ = true;
    FinishIfDrained();
  }
  Abandon("the coordinator ended the stream");
}

void Session::Cut() {
  {
    const MutexLock lock(mutex_);
    if (!finished_) context_->TryCancel();
  }
  End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut"));
}

v1::Hello Session::hello() const {
  const MutexLock lock(mutex_);
  return hello_;
}
bool Session::welcomed() const {
  const MutexLock lock(mutex_);
  return welcomed_;
}
bool Session::ended() const {
  const MutexLock lock(mutex_);
  return gone_ || ending_;
}
bool Session::goodbye() const {
  const MutexLock lock(mutex_);
  return goodbye_;
}

void Session::OnReadDone(bool ok) {
  if (!ok) {
    {
      const MutexLock lock(mutex_);
      gone_ = true;
      if (context_->IsCancelled()) queue_.clear();
      ending_ = true;
      FinishIfDrained();
    }
    Abandon("the participant's stream ended");
    return;
  }
  std::string bytes = StringOf(in_);
  v1::ParticipantFrame frame;
  const wire::BadText bad = wire::MendText(*v1::ParticipantFrame::descriptor(), bytes);
  for (const std::string& field : bad.fields)
    server_->AddFault("text in a frame is UTF-8", field + " is not");
  if (!frame.ParseFromString(bytes)) {
    server_->AddFault("a frame is a ParticipantFrame", Printable(bytes));
    End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "bytes that are no frame"));
  } else {
    Take(frame, bytes.size());
  }
  StartRead(&in_);
}

void Session::Take(const v1::ParticipantFrame& frame, std::size_t bytes) {
  bool first = false;
  {
    const MutexLock lock(mutex_);
    first = hello_.service().empty() && !welcomed_;
    if (first && frame.has_hello()) hello_ = frame.hello();
    if (frame.goodbye()) goodbye_ = true;
  }
  if (first && !frame.has_hello()) {
    server_->AddFault("the first frame has a Hello", "it has none");
    End(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "Hello comes first"));
    return;
  }
  if (!first && frame.has_hello()) server_->AddFault("Hello comes once", "it came again");
  const int count = frame.replies_size() + frame.queries_size();
  if (count > static_cast<int>(limits::kMaxFrameMessagesCount)) {
    server_->AddFault(
        "a frame has at most " + std::to_string(limits::kMaxFrameMessagesCount) + " messages",
        std::to_string(count));
  }
  if (bytes > limits::kMaxFrameBytes) {
    server_->AddFault("a frame has at most " + std::to_string(limits::kMaxFrameBytes) + " bytes",
                      std::to_string(bytes));
  }
  v1::CoordinatorFrame out;
  if (first) {
    if (!server_->MayWelcome()) {
      End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping: dial again"));
      return;
    }
    *out.mutable_welcome() = server_->NewWelcome();
  }
  for (const v1::BranchReply& reply : frame.replies()) TakeReply(reply);
  for (const v1::OutcomeQuery& query : frame.queries())
    *out.add_answers() = server_->AnswerTo(query);
  if (first || out.answers_size() > 0) Write(out);
  if (first) {
    const MutexLock lock(mutex_);
    welcomed_ = true;
  }
}

void Session::TakeReply(const v1::BranchReply& reply) {
  Pending pending;
  {
    const MutexLock lock(mutex_);
    const auto found = pending_.find(reply.command_id());
    if (found == pending_.end()) {
      // Unlocked below: the server has a lock of its own.
      pending.command.Clear();
    } else {
      pending = std::move(found->second);
      pending_.erase(found);
    }
  }
  if (pending.command.gid().empty() && pending.command.command_id() == 0) {
    server_->AddFault("each reply answers one command of its stream, by command_id",
                      "command_id " + std::to_string(reply.command_id()) + ": " + Shown(reply));
    return;
  }
  for (Fault& fault : ReplyFaults(pending.command, reply))
    server_->AddFault(std::move(fault.expected), std::move(fault.seen));
  pending.answer.set_value({reply, ""});
}

void Session::OnWriteDone(bool ok) {
  const MutexLock lock(mutex_);
  writing_ = false;
  if (!ok) queue_.clear();
  WriteNext();
  FinishIfDrained();
}

void Session::OnDone() {
  Abandon("the stream ended");
  const std::shared_ptr<Session> last = std::move(self_);
}

void Session::Abandon(const std::string& why) {
  std::map<std::uint64_t, Pending> lost;
  {
    const MutexLock lock(mutex_);
    lost.swap(pending_);
  }
  for (auto& [id, pending] : lost) pending.answer.set_value({std::nullopt, why});
}

}  // namespace assent::contract
