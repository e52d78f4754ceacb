#include "coordinator/transport/session_hub.h"

#include <utility>

#include "coordinator/transport/session.h"

namespace assent::transport {
namespace {

// The host of "ipv4:10.0.0.1:5000"; all of a Unix socket are one.
std::string HostOf(const std::string& peer) {
  if (peer.rfind("unix", 0) == 0) return "unix";
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace

SessionHub::SessionHub(SessionHubOptions options, Switchboard& board)
    : options_(options), board_(board) {}
SessionHub::~SessionHub() = default;

std::shared_ptr<FrameSink> SessionHub::OnStream(FrameStream& stream, const std::string& peer) {
  std::shared_ptr<Session> session;
  std::string too_many;
  {
    const std::lock_guard lock(mutex_);
    const std::string address = HostOf(peer);
    session = std::make_shared<Session>(*this, stream, next_stream_++, peer);
    const std::uint64_t number = next_stream_ - 1;
    const auto of_address = silent_per_address_.find(address);
    if (silent_.size() >= options_.max_silent_count) {
      too_many = std::to_string(silent_.size()) + " streams have not said hello yet";
    } else if (of_address != silent_per_address_.end() &&
               of_address->second >= options_.max_silent_per_address_count) {
      too_many = std::to_string(of_address->second) + " streams of " + address +
                 " have not said hello yet";
    } else {
      streams_.emplace(number, session);
      silent_.emplace(number, Silent{board_.clock().Mono(), address});
      ++silent_per_address_[address];
    }
  }
  if (too_many.empty()) {
    session->Begin();
  } else {
    session->Leave(ResourceExhausted(too_many + ", which is the limit: dial again"));
  }
  return session;
}

void SessionHub::Open(std::uint32_t coordinator_id, std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  identity_ = {true, coordinator_id, epoch};
}

void SessionHub::Close() {
  std::vector<std::shared_ptr<Session>> streams;
  {
    const std::lock_guard lock(mutex_);
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
    const std::lock_guard lock(mutex_);
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
  const std::lock_guard lock(mutex_);
  return silent_.size();
}

SessionHub::Identity SessionHub::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

void SessionHub::NoLongerSilent(std::uint64_t stream) {
  const std::lock_guard lock(mutex_);
  ForgetSilent(stream);
}

void SessionHub::Forget(std::uint64_t stream) {
  const std::lock_guard lock(mutex_);
  ForgetSilent(stream);
  streams_.erase(stream);
}

void SessionHub::ForgetSilent(std::uint64_t stream) {
  const auto silent = silent_.find(stream);
  if (silent == silent_.end()) return;
  const auto of_address = silent_per_address_.find(silent->second.address);
  if (--of_address->second == 0) silent_per_address_.erase(of_address);
  silent_.erase(silent);
}

bool SessionHub::CountQuestions(std::ptrdiff_t change) {
  const std::lock_guard lock(mutex_);
  open_questions_ += static_cast<std::size_t>(change);
  return open_questions_ >= options_.max_all_open_questions_count;
}

}  // namespace assent::transport
