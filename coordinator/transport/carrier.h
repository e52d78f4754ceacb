#pragma once

// What carries words: ordered streams that participants open, and calls that we make. A carrier
// moves frames or calls and never interprets. grpc_streams.h and grpc_caller.h are those of the
// daemon; the simulator and the tests have their own.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/endpoint.h"
#include "coordinator/transport/transport.h"

namespace assent::transport {

// ---- Streams

// One stream. At most one read and one write are under way; each ends with one call of the sink.
// After Finish the stream calls no more and may be gone.
class FrameStream {
 public:
  virtual ~FrameStream() = default;
  virtual void Read() = 0;
  // The frame is the stream's until then.
  virtual void Write(const v1::CoordinatorFrame& frame) = 0;
  virtual void Finish(const Status& status) = 0;
};

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // A frame of so many bytes on the wire.
  virtual void OnFrame(v1::ParticipantFrame& frame, std::size_t bytes) = 0;
  // A frame that does not parse.
  virtual void OnMalformed(std::string bytes) = 0;
  virtual void OnWritten() = 0;
  // The participant closed its side, or the stream broke. Read, Write or neither may be under way;
  // neither ends any more.
  virtual void OnClosed() = 0;
};

// Who opened a stream: the address that it came from, "ipv4:10.0.0.1:5000", and for which services
// it may speak; nothing: for all.
struct StreamPeer {
  StreamPeer(std::string from,  // NOLINT(google-explicit-constructor)
             std::function<Status(const std::string& service)> allowed = {})
      : address(std::move(from)), may_serve(std::move(allowed)) {}
  std::string address;
  std::function<Status(const std::string& service)> may_serve;
  // Once it serves: `told` hears again and again whether it still may, until it says false (it has
  // ended). Nothing: it may as long as it likes.
  using Told = std::function<bool(const Status& still)>;
  std::function<void(const std::string& service, Told told)> stays{};
};

// Where streams arrive.
class StreamDoor {
 public:
  virtual ~StreamDoor() = default;
  // `stream` outlives its Finish. Nothing is read before Read is called, which may happen in here.
  virtual std::shared_ptr<FrameSink> OnStream(FrameStream& stream, StreamPeer peer) = 0;
};

// ---- Calls

// What became of one call.
struct CallEnd {
  std::size_t target = 0;
  std::uint64_t call = 0;
  bool replied = false;
  v1::BranchReply reply;  // if replied
  std::string malformed;  // if not: what came in its place, and does not parse
  std::string words;      // if neither: what was said, by whomever. For people, never evidence
  core::Millis retry_after{0};  // with words: not before
  // In place of all that: by what this side alone knows, nothing of it left. It is given back.
  std::optional<Command> not_sent = {};
};

class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void OnConnecting(std::size_t target) = 0;
  virtual void OnConnected(std::size_t target) = 0;
  // `words`: why, as this side knows it.
  virtual void OnUnreachable(std::size_t target, const std::string& words) = 0;
  virtual void OnEnded(std::vector<CallEnd> ended) = 0;
};

// Calls to endpoints, which whoever calls numbers. No number is used twice.
class Caller {
 public:
  virtual ~Caller() = default;
  // Once, before all else.
  virtual void Start(std::uint32_t coordinator_id, CallSink& sink) = 0;
  // Connects, stays connected, and tells the sink how it stands with it. Any thread, which the sink
  // is not called by. Not after Stop.
  virtual void Add(std::size_t target, const Endpoint& endpoint) = 0;
  // Lets go of one that nothing is under way to. Any thread. The sink may hear of it once more.
  virtual void Remove(std::size_t target) = 0;
  // False: there is no connection at this moment. Nothing was handed on, the command is untouched,
  // and the sink will hear how it stands then, even if that is nothing new. True: it may arrive,
  // and the sink will hear of the end, within its timeout and a little.
  virtual bool Call(std::size_t target, std::uint64_t call, Command& command) = 0;
  // Ends every call, and returns when the sink has heard of it and will hear nothing more.
  virtual void Stop() = 0;
};

}  // namespace assent::transport
