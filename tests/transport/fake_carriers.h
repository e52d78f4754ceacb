#pragma once

// Carriers without a network: what was written and called can be looked at, and the test is the
// other side.

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/transport/carrier.h"
#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/switchboard.h"
#include "coordinator/transport/unary_dialer.h"

namespace assent::transport {

class FakeClock final : public Clock {
 public:
  core::MonoTime Mono() const override { return core::MonoTime(core::Millis(millis)); }
  core::WallTime Wall() const override { return core::WallTime(core::Millis(millis)); }
  std::atomic<std::int64_t> millis = 1'000'000;
};

class FakeEngine final : public Receiver {
 public:
  void OnReplies(std::vector<Reply> more) override {
    const MutexLock lock(mutex_);
    for (Reply& reply : more) replies_.push_back(std::move(reply));
  }
  void OnServiceAppeared(const std::string& service) override {
    const MutexLock lock(mutex_);
    appeared_.push_back(service);
  }
  void OnQuestion(OutcomeQuestion question, std::function<void(OutcomeAnswer)> answer) override {
    if (hold_answers) {
      const MutexLock lock(mutex_);
      return questions_.push_back(std::move(answer));
    }
    answer({question.gid, question.branch_id, Verdict::kAbort, true});
  }
  std::vector<Reply> Replies() {
    const MutexLock lock(mutex_);
    return std::exchange(replies_, {});
  }
  std::vector<std::string> Appeared() {
    const MutexLock lock(mutex_);
    return std::exchange(appeared_, {});
  }
  std::atomic<bool> hold_answers = false;

 private:
  Mutex mutex_;
  std::vector<Reply> replies_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::string> appeared_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::function<void(OutcomeAnswer)>> questions_ ASSENT_GUARDED_BY(mutex_);
};

class FakeStream final : public FrameStream {
 public:
  void Read() override {
    const MutexLock lock(mutex_);
    reading_ = true;
  }
  void Write(const v1::CoordinatorFrame& frame) override {
    const MutexLock lock(mutex_);
    frames_.push_back(frame);
    writing_ = true;
  }
  void Finish(const Status& status) override {
    const MutexLock lock(mutex_);
    finished_ = status;
  }

  // The participant's side. False: nobody reads now.
  bool Say(v1::ParticipantFrame frame) {
    if (!StopReading()) return false;
    sink->OnFrame(frame, frame.ByteSizeLong());
    return true;
  }
  bool SayBytes(const std::string& bytes) {
    v1::ParticipantFrame frame;
    if (frame.ParseFromString(bytes)) return Say(frame);
    if (!StopReading()) return false;
    sink->OnMalformed(bytes);
    return true;
  }
  // What was written; the write is done by that, if there was one.
  std::vector<v1::CoordinatorFrame> Frames() {
    std::vector<v1::CoordinatorFrame> frames;
    bool written = false;
    {
      const MutexLock lock(mutex_);
      frames.swap(frames_);
      written = std::exchange(writing_, false);
    }
    if (written) sink->OnWritten();
    return frames;
  }
  // The same, until nothing more comes.
  std::vector<v1::BranchCommand> Commands() {
    std::vector<v1::BranchCommand> commands;
    for (auto frames = Frames(); !frames.empty(); frames = Frames()) {
      for (const auto& frame : frames)
        commands.insert(commands.end(), frame.commands().begin(), frame.commands().end());
    }
    return commands;
  }
  std::optional<Status> finished() const {
    const MutexLock lock(mutex_);
    return finished_;
  }
  bool reading() const {
    const MutexLock lock(mutex_);
    return reading_;
  }

  std::shared_ptr<FrameSink> sink;  // set before anything is said

 private:
  bool StopReading() {
    const MutexLock lock(mutex_);
    return std::exchange(reading_, false) && !finished_;
  }

  mutable Mutex mutex_;
  bool reading_ ASSENT_GUARDED_BY(mutex_) = false;
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  std::optional<Status> finished_ ASSENT_GUARDED_BY(mutex_);
  std::vector<v1::CoordinatorFrame> frames_ ASSENT_GUARDED_BY(mutex_);
};

inline v1::ParticipantFrame HelloFrame(const std::string& service, std::uint32_t in_flight = 0) {
  v1::ParticipantFrame frame;
  v1::Hello& hello = *frame.mutable_hello();
  hello.set_version(1);
  hello.set_service(service);
  hello.set_instance("i");
  hello.set_max_in_flight(in_flight);
  hello.add_actions()->set_name("act");
  hello.mutable_actions(0)->set_protocol(v1::TCC);
  return frame;
}

inline v1::BranchReply DoneReply(const v1::BranchCommand& command) {
  v1::BranchReply reply;
  reply.set_gid(command.gid());
  reply.set_branch_id(command.branch_id());
  reply.set_operation(command.operation());
  reply.set_command_id(command.command_id());
  reply.set_kind(v1::BranchReply::DONE);
  return reply;
}

inline Command TryCommand(const std::string& gid, const std::string& service = "s") {
  Command command;
  command.gid = gid;
  command.branch_id = "1";
  command.operation = core::Operation::kTry;
  command.service = service;
  command.action = "act";
  command.attempt = 1;
  command.timeout = core::Millis(1000);
  return command;
}

// Calls that wait until the test ends them.
class FakeCaller final : public Caller {
 public:
  void Start(std::uint32_t, CallSink& to) override { sink = &to; }
  void Add(std::size_t target, const Endpoint& endpoint) override {
    const MutexLock lock(mutex_);
    linked_[target] = false;
    added_.push_back(target);
    endpoints_.insert_or_assign(target, endpoint);
  }
  void Remove(std::size_t target) override {
    const MutexLock lock(mutex_);
    linked_.erase(target);
    removed_.push_back(target);
  }
  bool Call(std::size_t target, std::uint64_t call, Command& command) override {
    const MutexLock lock(mutex_);
    if (!linked_.at(target)) return false;
    calls_.push_back({target, call, std::move(command)});
    return true;
  }
  void Stop() override {
    for (Made& made : Calls()) {
      CallEnd end;
      end.target = made.target;
      end.call = made.call;
      end.words = "CANCELLED: ";
      End(std::move(end));
    }
  }

  struct Made {
    std::size_t target = 0;
    std::uint64_t call = 0;
    Command command;
  };
  std::vector<Made> Calls() {
    const MutexLock lock(mutex_);
    return std::exchange(calls_, {});
  }
  // The number of the nth that was added.
  std::size_t Nth(std::size_t n) {
    const MutexLock lock(mutex_);
    return added_.at(n);
  }
  std::vector<std::size_t> removed() {
    const MutexLock lock(mutex_);
    return removed_;
  }
  void Link(std::size_t n, bool up) {
    const std::size_t target = Nth(n);
    {
      const MutexLock lock(mutex_);
      linked_[target] = up;
    }
    up ? sink->OnConnected(target) : sink->OnUnreachable(target, "cannot connect: refused");
  }
  // The channel has lost its connection, and the sink will hear of it later.
  void Unlink(std::size_t n) {
    const std::size_t target = Nth(n);
    const MutexLock lock(mutex_);
    linked_[target] = false;
  }
  void End(CallEnd end) {
    std::vector<CallEnd> ended;
    ended.push_back(std::move(end));
    sink->OnEnded(std::move(ended));
  }
  void Answer(const Made& made, const std::function<void(v1::BranchReply&)>& change = {}) {
    CallEnd end;
    end.target = made.target;
    end.call = made.call;
    end.replied = true;
    end.reply.set_gid(made.command.gid);
    end.reply.set_branch_id(made.command.branch_id);
    end.reply.set_operation(static_cast<v1::Operation>(made.command.operation));
    end.reply.set_kind(v1::BranchReply::DONE);
    if (change) change(end.reply);
    End(std::move(end));
  }

  CallSink* sink = nullptr;

 private:
  Mutex mutex_;
  std::map<std::size_t, bool> linked_ ASSENT_GUARDED_BY(mutex_);  // by target
  std::map<std::size_t, Endpoint> endpoints_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::size_t> added_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::size_t> removed_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Made> calls_ ASSENT_GUARDED_BY(mutex_);
};

// What went on, for the log.
class FakeWitness final : public Witness {
 public:
  void OnCame(const Visitor& visitor) override {
    Note(visitor.service + " came from " + visitor.address);
  }
  void OnLeft(const Visitor& visitor, const std::string& why) override {
    Note(visitor.service + " left: " + why);
  }
  void OnUnreachable(const Visitor& visitor, const std::string& why) override {
    Note(visitor.service + " unreachable: " + why);
  }
  void OnRefused(const Visitor& visitor, const std::string& why) override {
    Note("refused " + visitor.service + " of " + visitor.address + ": " + why);
  }
  std::vector<std::string> Lines() {
    const MutexLock lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  void Note(std::string line) {
    const MutexLock lock(mutex_);
    lines_.push_back(std::move(line));
  }
  Mutex mutex_;
  std::vector<std::string> lines_ ASSENT_GUARDED_BY(mutex_);
};

// A switchboard with a hub and nobody on it.
struct Exchange {
  explicit Exchange(SessionHubOptions options = {}, DispatcherLimits limits = {})
      : board(limits, engine, clock, &witness), hub(options, board) {
    hub.Open(7, 1);
  }
  ~Exchange() { hub.Close(); }

  std::shared_ptr<FakeStream> Dial(const std::string& peer = "ipv4:10.0.0.1:5000") {
    auto stream = std::make_shared<FakeStream>();
    stream->sink = hub.OnStream(*stream, peer);
    streams.push_back(stream);
    return stream;
  }
  // Dials, and says hello.
  std::shared_ptr<FakeStream> Join(const std::string& service, std::uint32_t in_flight = 0) {
    auto stream = Dial();
    stream->Say(HelloFrame(service, in_flight));
    return stream;
  }
  void Send(Command command) {
    std::vector<Command> commands;
    commands.push_back(std::move(command));
    board.Send(std::move(commands));
  }

  FakeClock clock;
  FakeEngine engine;
  FakeWitness witness;
  Switchboard board;
  std::vector<std::shared_ptr<FakeStream>> streams;
  SessionHub hub;
};

}  // namespace assent::transport
