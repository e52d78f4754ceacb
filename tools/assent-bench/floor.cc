// The floor: what this machine can do if nothing is decided. The same processes exchange the same messages in the same frames
// over the same streams, and this process commits the same rows to the same log with the same grouping; between them there is a
// countdown per transaction and no engine: no state machine, no timers, no idempotence, no recovery.

#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>

#include "assent/v1/participant.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/log/sqlite_log.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

// Sizes of the rows that assentd writes for a transaction of two branches with small payloads.
constexpr std::size_t kSpecBytes = 120;
constexpr std::size_t kStateBytes = 110;

class Floor;

// A stream that writes whatever has gathered as one frame, one frame at a time.
template <typename In, typename Out>
class Stream : public grpc::ServerBidiReactor<In, Out> {
 public:
  Stream() = default;
  void Start() { this->StartRead(&in_); }
  void Push(const std::function<void(Out&)>& add) {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty() || count_ == limits::kMaxFrameMessagesCount) {
      waiting_.emplace_back();
      count_ = 0;
    }
    add(waiting_.back());
    ++count_;
  }
  void Kick() {
    const std::lock_guard lock(mutex_);
    if (writing_ || waiting_.empty()) return;
    out_.Clear();
    out_.Swap(&waiting_.front());
    waiting_.pop_front();
    writing_ = true;
    this->StartWrite(&out_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      this->Finish(grpc::Status::OK);
      return;
    }
    OnFrame(in_);
    in_.Clear();
    this->StartRead(&in_);
  }
  void OnWriteDone(bool) override {
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
    }
    Kick();
  }
  void OnDone() override {}  // as many as there are processes: they may stay
  virtual void OnFrame(In& frame) = 0;

 private:
  In in_;
  std::mutex mutex_;
  std::deque<Out> waiting_;
  Out out_;
  std::size_t count_ = 0;  // messages in waiting_.back()
  bool writing_ = false;
};

using SubmitBase = Stream<v1::SubmitRequestFrame, v1::SubmitReplyFrame>;
using SessionBase = Stream<v1::ParticipantFrame, v1::CoordinatorFrame>;

struct Slot {
  SubmitBase* initiator = nullptr;
  std::uint64_t request_id = 0;
  v1::TransactionSpec spec;
  std::uint64_t serial = 0;
  int phase = 0;  // 0: forward, 1: finishing
  int waiting = 0;
};

class Floor {
 public:
  explicit Floor(log::Log& log) : log_(log) {}

  void Submitted(SubmitBase* from, v1::SubmitRequestFrame& frame) {
    std::vector<log::Entry> entries;
    std::vector<std::uint64_t> serials;
    {
      const std::lock_guard lock(mutex_);
      for (v1::SubmitRequest& request : *frame.mutable_requests()) {
        const std::uint64_t serial = next_serial_++;
        Slot& slot = slots_[serial];
        slot.initiator = from;
        slot.request_id = request.request_id();
        slot.spec.Swap(request.mutable_transaction());
        slot.serial = serial;
        entries.push_back(Entry(log::EntryKind::kBegin, 1, slot));
        serials.push_back(serial);
      }
    }
    Append(std::move(entries), std::move(serials), /*phase=*/0);
  }

  void Replied(v1::ParticipantFrame& frame) {
    std::vector<log::Entry> decided, ended;
    std::vector<std::uint64_t> serials;
    {
      const std::lock_guard lock(mutex_);
      for (const v1::BranchReply& reply : frame.replies()) {
        const auto found = slots_.find(reply.command_id());
        if (found == slots_.end() || --found->second.waiting > 0) continue;
        Slot& slot = found->second;
        if (slot.phase == 0) {
          slot.phase = 1;
          decided.push_back(Entry(log::EntryKind::kUpdate, 2, slot));
          serials.push_back(slot.serial);
        } else {
          ended.push_back(Entry(log::EntryKind::kEnd, 3, slot));
          slots_.erase(found);
        }
      }
    }
    // As in the engine, an end rides with what gates.
    for (log::Entry& entry : ended) decided.push_back(std::move(entry));
    if (!decided.empty()) Append(std::move(decided), std::move(serials), /*phase=*/1);
  }

  void Joined(const std::string& service, SessionBase* session) {
    const std::lock_guard lock(mutex_);
    sessions_[service] = session;
    session->Push(
        [](v1::CoordinatorFrame& frame) { frame.mutable_welcome()->set_session_id("floor"); });
  }

 private:
  static log::Entry Entry(log::EntryKind kind, std::uint64_t version, const Slot& slot) {
    log::Entry entry;
    entry.kind = kind;
    entry.serial = slot.serial;
    entry.version = version;
    entry.state.assign(kStateBytes, 's');
    if (kind == log::EntryKind::kUpdate) return entry;
    entry.gid = slot.spec.gid();
    entry.spec.assign(kSpecBytes, 'p');
    entry.gid_may_exist = true;
    entry.outcome = 1;
    entry.finished_unix_ms = 1'700'000'000'000 + static_cast<std::int64_t>(slot.serial);
    return entry;
  }

  void Append(std::vector<log::Entry> entries, std::vector<std::uint64_t> serials, int phase) {
    log_.Append(std::move(entries),
                [this, serials = std::move(serials), phase](const log::AppendResult& result) {
                  if (!result.status.ok()) {
                    std::fprintf(stderr, "floor: %s\n", result.status.ToString().c_str());
                    _exit(1);
                  }
                  Durable(serials, phase);
                });
  }

  void Durable(const std::vector<std::uint64_t>& serials, int phase) {
    std::map<SessionBase*, bool> sessions;
    std::map<SubmitBase*, bool> initiators;
    {
      const std::lock_guard lock(mutex_);
      for (const std::uint64_t serial : serials) {
        const auto found = slots_.find(serial);
        if (found == slots_.end()) continue;
        Slot& slot = found->second;
        slot.waiting = slot.spec.branches_size();
        int number = 0;
        for (const v1::BranchSpec& branch : slot.spec.branches()) {
          SessionBase* session = sessions_[branch.service()];
          if (session == nullptr) continue;
          sessions[session] = true;
          const std::string id = std::to_string(++number);
          session->Push([&](v1::CoordinatorFrame& frame) {
            Command(slot, branch, id, phase, *frame.add_commands());
          });
        }
        if (phase == 1) {
          initiators[slot.initiator] = true;
          slot.initiator->Push([&](v1::SubmitReplyFrame& frame) {
            v1::SubmitReply& reply = *frame.add_replies();
            reply.set_gid(slot.spec.gid());
            reply.set_state(v1::COMMITTING);
            reply.set_outcome(v1::COMMITTED);
            reply.set_request_id(slot.request_id);
          });
        }
      }
    }
    for (auto& [session, yes] : sessions) session->Kick();
    for (auto& [initiator, yes] : initiators) initiator->Kick();
  }

  static void Command(const Slot& slot, const v1::BranchSpec& branch, const std::string& id,
                      int phase, v1::BranchCommand& command) {
    const bool tcc = branch.protocol() == v1::TCC;
    command.set_gid(slot.spec.gid());
    command.set_branch_id(branch.branch_id().empty() ? id : branch.branch_id());
    command.set_operation(phase == 0 ? (tcc ? v1::TRY : v1::PREPARE)
                                     : (tcc ? v1::CONFIRM : v1::COMMIT));
    command.set_protocol(branch.protocol());
    command.set_service(branch.service());
    command.set_action(branch.action());
    command.set_payload(branch.payload());
    command.set_attempt(1);
    command.set_timeout_ms(10'000);
    command.set_coordinator_id(1);
    command.set_began_epoch(1);
    command.set_command_id(slot.serial);
  }

  log::Log& log_;
  std::mutex mutex_;
  std::uint64_t next_serial_ = 1;
  std::map<std::uint64_t, Slot> slots_;
  std::map<std::string, SessionBase*> sessions_;
};

class SubmitStream final : public SubmitBase {
 public:
  explicit SubmitStream(Floor& floor) : floor_(floor) {}
  void OnFrame(v1::SubmitRequestFrame& frame) override { floor_.Submitted(this, frame); }

 private:
  Floor& floor_;
};

class SessionStream final : public SessionBase {
 public:
  explicit SessionStream(Floor& floor) : floor_(floor) {}
  void OnFrame(v1::ParticipantFrame& frame) override {
    if (frame.has_hello()) {
      floor_.Joined(frame.hello().service(), this);
      Kick();
    }
    floor_.Replied(frame);
  }

 private:
  Floor& floor_;
};

class Submits final : public v1::TransactionService::CallbackService {
 public:
  explicit Submits(Floor& floor) : floor_(floor) {}
  grpc::ServerBidiReactor<v1::SubmitRequestFrame, v1::SubmitReplyFrame>* SubmitStream(
      grpc::CallbackServerContext*) override {
    auto* stream = new bench::SubmitStream(floor_);
    stream->Start();
    return stream;
  }

 private:
  Floor& floor_;
};

class Sessions final : public v1::ParticipantSession::CallbackService {
 public:
  explicit Sessions(Floor& floor) : floor_(floor) {}
  grpc::ServerBidiReactor<v1::ParticipantFrame, v1::CoordinatorFrame>* Connect(
      grpc::CallbackServerContext*) override {
    auto* stream = new SessionStream(floor_);
    stream->Start();
    return stream;
  }

 private:
  Floor& floor_;
};

}  // namespace

int RunFloorCoordinator(const std::string& listen, const std::string& folder) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  log::SqliteOptions options;
  std::filesystem::create_directories(folder + "/data");
  options.path = folder + "/data/floor.db";
  auto opened = log::SqliteLog::Open(options);
  if (!opened.ok() || !(*opened)->Recover([](const log::LiveRow&) { return OkStatus(); }).ok()) {
    std::fprintf(stderr, "floor: %s\n", opened.status().ToString().c_str());
    return 1;
  }
  Floor floor(**opened);
  Submits submits(floor);
  Sessions sessions(floor);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxFrameBytes));
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&submits);
  builder.RegisterService(&sessions);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("listening 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  _exit(0);  // nothing here is worth keeping
}

}  // namespace assent::bench
