#pragma once

// One stream of a participant, from its first frame to its end. There is one read and one write in
// flight; whatever has gathered while a write was under way travels in the next frame, so that load
// makes frames larger instead of more.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include <assent/thread_safety.h>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/carrier.h"
#include "coordinator/transport/session_hub.h"

namespace assent::transport {

// The stream is called under the lock, but for Finish, which is the last call and made once, by
// whoever took the pointer.
class Session final : public FrameSink, public Line, public std::enable_shared_from_this<Session> {
 public:
  Session(SessionHub& hub, FrameStream& stream, std::uint64_t number, StreamPeer peer)
      : hub_(hub),
        number_(number),
        peer_(std::move(peer.address)),
        may_serve_(std::move(peer.may_serve)),
        stays_(std::move(peer.stays)),
        stream_(&stream) {
    visitor_.address = peer_;
  }

  // Reads the first frame.
  void Begin();
  // Ends the stream once, whoever asks first.
  void Leave(const Status& status);

  void OnFrame(v1::ParticipantFrame& frame, std::size_t bytes) override;
  void OnMalformed(std::string bytes) override;
  void OnWritten() override;
  void OnClosed() override;
  // Starts a write unless one is under way.
  void Kick() override;

 private:
  Status OnHello(v1::ParticipantFrame& frame, std::size_t bytes);
  Status OnMessages(v1::ParticipantFrame& frame);
  void Ask(const v1::ParticipantFrame& frame);
  void Answer(OutcomeAnswer answer);
  void ReadOn();
  void MoveAnswers() ASSENT_REQUIRES(mutex_);  // into out_

  SessionHub& hub_;
  const std::uint64_t number_;
  const std::string peer_;
  const std::function<Status(const std::string& service)> may_serve_;
  const std::function<void(const std::string& service, StreamPeer::Told told)> stays_;
  // Set once, by the reading side, which reads them without the lock.
  InstanceId id_ = 0;  // 0: no Hello yet
  Visitor visitor_;
  std::uint32_t coordinator_id_ = 0;

  Mutex mutex_;  // taken before the switchboard's and the hub's
  FrameStream* stream_ ASSENT_GUARDED_BY(mutex_) ASSENT_PT_GUARDED_BY(mutex_);  // null: finished
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  v1::CoordinatorFrame out_ ASSENT_GUARDED_BY(mutex_);  // and the stream's while writing_
  bool welcome_ ASSENT_GUARDED_BY(mutex_) = false;      // to be written, before all else
  std::uint64_t epoch_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t cluster_version_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::deque<OutcomeAnswer> answers_ ASSENT_GUARDED_BY(mutex_);
  // Asked, and the answer not written.
  std::size_t open_questions_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool reading_paused_ ASSENT_GUARDED_BY(mutex_) = false;
  bool said_goodbye_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::transport
