#pragma once

// A bidirectional stream of frames, as the participant and the submitter see it. gRPC implements it
// (grpc_dialer.cc); tests implement it without.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <assent/status.h>

namespace google::protobuf {
class MessageLite;
namespace io {
class ZeroCopyInputStream;
}
}  // namespace google::protobuf

namespace assent::internal {

// What a stream reports, one report at a time but from any thread. Never called from within a
// method of Stream.
class StreamListener {
 public:
  virtual ~StreamListener() = default;
  // There is a connection, and the first write may be started.
  virtual void OnStarted() = 0;
  virtual void OnMessage(google::protobuf::io::ZeroCopyInputStream* message) = 0;
  // The write is done; the next may be started.
  virtual void OnWritten() = 0;
  // The last report. What was written may have arrived.
  virtual void OnClosed(const Status& why) = 0;
};

// Thread-safety: every method may be called from any thread. After OnClosed they do nothing.
class Stream {
 public:
  virtual ~Stream() = default;
  // Waits for a connection, for as long as it takes (Cancel ends that too).
  virtual void Start() = 0;
  // One at a time: the first after OnStarted, the next after OnWritten.
  virtual void Write(const google::protobuf::MessageLite& frame) = 0;
  virtual void HalfClose() = 0;
  virtual void Cancel() = 0;
};

// Makes streams to one endpoint. Its destructor cancels those that are open and waits until each
// has reported OnClosed (except on the thread that reports: see OwnThread).
class Dialer {
 public:
  virtual ~Dialer() = default;
  // Not started. The stream keeps the listener until OnClosed has returned.
  virtual std::shared_ptr<Stream> Open(std::shared_ptr<StreamListener> listener) = 0;
};

// Makes streams of one method to an endpoint.
using DialerFactory = std::function<std::unique_ptr<Dialer>(const std::string& endpoint)>;

// A stream and what it came from, which goes after it.
struct Dialled {
  std::unique_ptr<Dialer> dialer;
  std::shared_ptr<Stream> stream;
};

}  // namespace assent::internal
