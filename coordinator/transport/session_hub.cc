#include "coordinator/transport/session_hub.h"

#include <utility>

#include "coordinator/transport/session.h"

namespace assent::transport {
namespace {

// The host of "ipv4:10.0.0.1:5000"; of a Unix socket each user is one.
std::string HostOf(const std::string& peer) {
  return peer.starts_with("unix") ? peer : peer.substr(0, peer.rfind(':'));
}

}  // namespace

SessionHub::SessionHub(SessionHubOptions options, Switchboard& board)
    : options_(options), board_(board) {}
SessionHub::~SessionHub() = default;

std::shared_ptr<FrameSink> SessionHub::OnStream(FrameStream& stream, StreamPeer peer) {
  std::shared_ptr<Session> session;
  std::shared_ptr<Session> gives_way;
  std::string why;
  {
    const MutexLock lock(mutex_);
    const std::string address = HostOf(peer.address);
    const Silent silent{board_.clock().Mono(), address, peer.address};
    gives_way = MakeRoomFor(silent, why);
    const std::uint64_t number = next_stream_++;
    session = std::make_shared<Session>(*this, stream, number, std::move(peer));
    streams_.emplace(number, session);
    silent_.emplace(number, silent);
    silent_of_[silent.address].insert(number);
    silent_of_[silent.connection].insert(number);
  }
  if (gives_way != nullptr) gives_way->Leave(ResourceExhausted(why));
  session->Begin();
  return session;
}

// One is enough: who leaves a full connection leaves its address too.
std::shared_ptr<Session> SessionHub::MakeRoomFor(const Silent& silent, std::string& why) {
  std::uint64_t oldest = 0;
  const auto look = [&](const std::string& of, std::size_t limit) {
    mutex_.AssertHeld();
    const auto there = silent_of_.find(of);
    if (oldest != 0 || there == silent_of_.end() || there->second.size() < limit) return;
    oldest = *there->second.begin();
    why = std::to_string(there->second.size()) + " streams of " + of;
  };
  if (silent.connection != silent.address)
    look(silent.connection, options_.max_silent_per_connection_count);
  look(silent.address, options_.max_silent_per_address_count);
  if (oldest == 0 && silent_.size() >= options_.max_silent_count) {
    oldest = silent_.begin()->first;
    why = std::to_string(silent_.size()) + " streams";
  }
  if (oldest == 0) return nullptr;
  why +=
      " have not said hello yet, which is the limit, and this one had the longest time to: dial "
      "again";
  ForgetSilent(oldest);
  return streams_.at(oldest);
}

void SessionHub::Open(std::uint32_t coordinator_id, std::uint64_t epoch) {
  const MutexLock lock(mutex_);
  identity_.open = true;
  identity_.coordinator_id = coordinator_id;
  identity_.epoch = epoch;
}

void SessionHub::SetClusterVersion(std::uint64_t version) {
  const MutexLock lock(mutex_);
  identity_.cluster_version = version;
}

void SessionHub::Close() {
  std::vector<std::shared_ptr<Session>> streams;
  {
    const MutexLock lock(mutex_);
    identity_.open = false;
    for (const auto& [number, session] : streams_) streams.push_back(session);
  }
  for (const auto& session : streams)
    session->Leave(Unavailable("the coordinator is stopping: dial again"));
}

void SessionHub::Tick() {
  const core::MonoTime now = board_.clock().Mono();
  std::vector<std::shared_ptr<Session>> late;
  {
    const MutexLock lock(mutex_);
    for (const auto& [number, silent] : silent_) {
      if (silent.since + options_.hello_timeout > now) break;
      late.push_back(streams_.at(number));
    }
  }
  for (const auto& session : late) {
    session->Leave({Code::kDeadlineExceeded, "no hello came within " +
                                                 std::to_string(options_.hello_timeout.count()) +
                                                 " ms of the stream's opening"});
  }
}

std::size_t SessionHub::silent_count() const {
  const MutexLock lock(mutex_);
  return silent_.size();
}

SessionHub::Identity SessionHub::identity() const {
  const MutexLock lock(mutex_);
  return identity_;
}

void SessionHub::NoLongerSilent(std::uint64_t stream) {
  const MutexLock lock(mutex_);
  ForgetSilent(stream);
}

void SessionHub::Forget(std::uint64_t stream) {
  const MutexLock lock(mutex_);
  ForgetSilent(stream);
  streams_.erase(stream);
}

void SessionHub::ForgetSilent(std::uint64_t stream) {
  const auto silent = silent_.find(stream);
  if (silent == silent_.end()) return;
  for (const std::string& of : {silent->second.address, silent->second.connection}) {
    const auto there = silent_of_.find(of);
    if (there == silent_of_.end()) continue;  // of a Unix socket, where both are one
    there->second.erase(stream);
    if (there->second.empty()) silent_of_.erase(there);
  }
  silent_.erase(silent);
}

bool SessionHub::CountQuestions(std::ptrdiff_t change) {
  const MutexLock lock(mutex_);
  open_questions_ += static_cast<std::size_t>(change);
  return open_questions_ >= options_.max_all_open_questions_count;
}

}  // namespace assent::transport
