// The floor: what this machine can do if nothing is decided. The same processes exchange the same
// messages in the same frames over the same streams, and this process commits the same rows with
// the same grouping, straight into the store. Between them is a countdown per transaction: no state
// machine, no timers, no idempotence, no checksums, no recovery.
//
//   gRPC's threads   take frames, count down, queue what is to be written
//   the writer       commits all that is queued, then releases it: commands and replies. While more
//                    is waiting it leaves the releasing to the sender, so that the next commit does
//                    not wait for it

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "assent/v1/participant.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assent-bench/floor_store.h"
#include "tools/assent-bench/floor_stream.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/shapes.h"

namespace assent::bench {
namespace {

// Records in one commit, and how long an end waits for a commit to ride with: as in assentd.
constexpr std::size_t kMaxGroup = 8192;
constexpr std::chrono::milliseconds kLazyDelay{20};
constexpr std::uint64_t kEpoch = (std::uint64_t{1} << 24) + 0x5EED;

using SubmitBase = FloorStream<v1::SubmitRequestFrame, v1::SubmitReplyFrame>;
using SessionBase = FloorStream<v1::ParticipantFrame, v1::CoordinatorFrame>;

enum class Row { kBegin, kDecide, kEnd };

struct Slot {
  std::uint64_t serial = 0;
  SubmitBase* initiator = nullptr;
  std::uint64_t request_id = 0;
  v1::TransactionSpec spec;
  Row row = Row::kBegin;  // the next, or the latest, to be written
  int waiting = 0;        // answers
};

class Floor {
 public:
  Floor(std::unique_ptr<FloorStore> store, Shape shape)
      : store_(std::move(store)),
        shape_(std::move(shape)),
        writer_([this] { Write(); }),
        sender_([this] { SendOn(); }) {}
  // Lives as long as the process.
  ~Floor() = delete;

  void Submitted(SubmitBase* from, v1::SubmitRequestFrame& frame) {
    const MutexLock lock(mutex_);
    for (v1::SubmitRequest& request : *frame.mutable_requests()) {
      Slot& slot = slots_[++last_serial_];
      slot.serial = last_serial_;
      slot.initiator = from;
      slot.request_id = request.request_id();
      slot.spec.Swap(request.mutable_transaction());
      urgent_.push_back(&slot);
    }
    wake_.NotifyOne();
  }

  void Replied(const v1::ParticipantFrame& frame) {
    const MutexLock lock(mutex_);
    const bool idle = urgent_.empty() && lazy_.empty();
    for (const v1::BranchReply& reply : frame.replies()) {
      const auto found = slots_.find(reply.command_id());
      if (found == slots_.end() || --found->second.waiting > 0) continue;
      Slot& slot = found->second;
      slot.row = slot.row == Row::kBegin ? Row::kDecide : Row::kEnd;
      (slot.row == Row::kDecide ? urgent_ : lazy_).push_back(&slot);
    }
    if (!urgent_.empty() || (idle && !lazy_.empty())) wake_.NotifyOne();
  }

  void Joined(const std::string& service, SessionBase* session) {
    {
      const MutexLock lock(mutex_);
      sessions_[service] = session;
    }
    session->Push(0, [](v1::CoordinatorFrame& frame) {
      frame.mutable_welcome()->set_session_id("session-1");
      frame.mutable_welcome()->set_coordinator_id(4711);
      frame.mutable_welcome()->set_epoch(kEpoch);
    });
    session->Kick();
  }

  void Count(v1::ServerInfo& info) {
    const MutexLock lock(mutex_);
    info.set_begun(last_serial_);
    info.set_log_records(records_);
    info.set_log_commits(commits_);
  }

 private:
  // Ends wait a little for something urgent to ride with.
  std::vector<Slot*> TakeGroup() {
    const MutexLock lock(mutex_);
    while (urgent_.empty() && lazy_.empty()) wake_.Wait(mutex_);
    const auto until = std::chrono::steady_clock::now() + kLazyDelay;
    while (urgent_.empty() && lazy_.size() < kMaxGroup && wake_.WaitUntil(mutex_, until)) {
    }
    std::vector<Slot*> group;
    group.swap(urgent_);
    group.insert(group.end(), lazy_.begin(), lazy_.end());
    lazy_.clear();
    if (group.size() > kMaxGroup) {
      urgent_.assign(group.begin() + kMaxGroup, group.end());
      group.resize(kMaxGroup);
    }
    return group;
  }

  void Write() {
    while (true) {
      std::vector<Slot*> group = TakeGroup();
      store_->Begin();
      for (const Slot* slot : group) WriteRow(*slot);
      store_->Commit();
      {
        const MutexLock lock(mutex_);
        records_ += group.size();
        ++commits_;
        if (!urgent_.empty()) {
          to_send_.insert(to_send_.end(), group.begin(), group.end());
          send_.NotifyOne();
          group.clear();
        }
      }
      Release(group);
      store_->Upkeep();
    }
  }

  void WriteRow(const Slot& slot) {
    switch (slot.row) {
      case Row::kBegin:
        return store_->InsertLive(slot.serial, slot.spec.gid(), shape_.spec, shape_.begun);
      case Row::kDecide: return store_->UpdateLive(slot.serial, slot.spec.gid(), shape_.decided);
      case Row::kEnd:
        return store_->Finish(slot.serial, slot.spec.gid(), shape_.spec, shape_.finished);
    }
  }

  void SendOn() {
    while (true) {
      std::vector<Slot*> group;
      {
        const MutexLock lock(mutex_);
        while (to_send_.empty()) send_.Wait(mutex_);
        group.swap(to_send_);
      }
      Release(group);
    }
  }

  // What is durable may be heard.
  void Release(const std::vector<Slot*>& group) {
    std::unordered_map<SessionBase*, bool> sessions;
    std::unordered_map<SubmitBase*, bool> initiators;
    std::vector<std::uint64_t> ended;
    std::unordered_map<std::string, SessionBase*> known;
    {
      const MutexLock lock(mutex_);
      known = sessions_;
      // Before the first command leaves, for the answers come on other threads.
      for (Slot* slot : group) slot->waiting = slot->spec.branches_size();
    }
    for (Slot* slot : group) {
      if (slot->row == Row::kEnd) {
        ended.push_back(slot->serial);
        continue;
      }
      const Row row = slot->row;
      if (row == Row::kDecide) {
        initiators[slot->initiator] = true;
        Answer(*slot);
      }
      // The last command may be answered, and the slot changed, at once: so the count is held up
      // until all have left.
      const int count = slot->spec.branches_size();
      for (int i = 0; i < count; ++i) {
        SessionBase* session = known[slot->spec.branches(i).service()];
        if (session == nullptr) continue;
        sessions[session] = true;
        session->Push(
            slot->spec.branches(i).payload().size() + 128,
            [&](v1::CoordinatorFrame& frame) { Command(*slot, i, row, *frame.add_commands()); });
      }
    }
    if (!ended.empty()) {
      const MutexLock lock(mutex_);
      for (const std::uint64_t serial : ended) slots_.erase(serial);
    }
    for (auto& [initiator, yes] : initiators) initiator->Kick();
    for (auto& [session, yes] : sessions) session->Kick();
  }

  static void Answer(const Slot& slot) {
    slot.initiator->Push(64, [&](v1::SubmitReplyFrame& frame) {
      v1::SubmitReply& reply = *frame.add_replies();
      reply.set_gid(slot.spec.gid());
      reply.set_state(v1::COMMITTING);
      reply.set_outcome(v1::COMMITTED);
      reply.set_request_id(slot.request_id);
    });
  }

  static void Command(const Slot& slot, int number, Row row, v1::BranchCommand& command) {
    const v1::BranchSpec& branch = slot.spec.branches(number);
    const bool tcc = branch.protocol() == v1::TCC;
    command.set_gid(slot.spec.gid());
    command.set_branch_id(branch.branch_id().empty() ? std::to_string(number + 1)
                                                     : branch.branch_id());
    command.set_operation(row == Row::kBegin ? (tcc ? v1::TRY : v1::PREPARE)
                                             : (tcc ? v1::CONFIRM : v1::COMMIT));
    command.set_protocol(branch.protocol());
    command.set_service(branch.service());
    command.set_action(branch.action());
    command.set_payload(branch.payload());
    command.set_attempt(1);
    command.set_timeout_ms(10'000);
    command.set_coordinator_id(4711);
    command.set_began_epoch(kEpoch);
    command.set_command_id(slot.serial);
  }

  const std::unique_ptr<FloorStore> store_;  // the writer's
  const Shape shape_;

  Mutex mutex_;  // also of `row` and `waiting` of slots that are on their way
  CondVar wake_;
  CondVar send_;
  std::uint64_t last_serial_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t records_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t commits_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::uint64_t, Slot> slots_ ASSENT_GUARDED_BY(mutex_);
  std::unordered_map<std::string, SessionBase*> sessions_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Slot*> urgent_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Slot*> lazy_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Slot*> to_send_ ASSENT_GUARDED_BY(mutex_);
  std::thread writer_;
  std::thread sender_;
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
    if (frame.has_hello()) floor_.Joined(frame.hello().service(), this);
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
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::ServerInfo* info) override {
    floor_.Count(*info);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
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

int RunFloorCoordinator(const Load& load, const std::string& listen, const std::string& folder) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::filesystem::create_directories(folder + "/data");
  std::unique_ptr<FloorStore> store;
  if (load.log.empty()) {
    store = std::make_unique<SqliteFloor>(folder + "/data/floor.db");
  } else {
    store = OpenPostgresFloor(load.log);
  }
  auto& floor = *new Floor(std::move(store), ShapeOf(load));
  Submits submits(floor);
  Sessions sessions(floor);
  grpc::ServerBuilder builder;
  int port = 0;
  // As assentd sets them.
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxFrameBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 15'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
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
