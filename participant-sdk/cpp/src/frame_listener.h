#pragma once

// From the reports of one stream to the events of the state machine that the stream belongs to.

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/stream.h"

namespace assent::internal {

// `feed(event)` calls event(machine, &actions) under the lock of the machine's shell, if that still
// lives, and does what the machine wants.
template <typename Frame, typename Feed>
class FrameListener final : public StreamListener {
 public:
  FrameListener(std::uint64_t connection, Feed feed)
      : connection_(connection), feed_(std::move(feed)) {}

  void OnStarted() override {
    feed_([&](auto& machine, auto* out) { machine.OnStarted(connection_, Now(), out); });
  }
  void OnMessage(google::protobuf::io::ZeroCopyInputStream* message) override {
    Frame frame;
    const bool parsed = frame.ParseFromZeroCopyStream(message);
    feed_([&](auto& machine, auto* out) {
      if (parsed) {
        machine.OnFrame(connection_, &frame, Now(), out);
      } else {
        machine.OnMalformed(connection_, "it does not parse", out);
      }
    });
  }
  void OnWritten() override {
    feed_([&](auto& machine, auto* out) { machine.OnWritten(connection_, Now(), out); });
  }
  void OnClosed(const Status& why) override {
    feed_([&](auto& machine, auto* out) { machine.OnClosed(connection_, why, Now(), out); });
  }

 private:
  static SteadyTime Now() { return std::chrono::steady_clock::now(); }

  const std::uint64_t connection_;
  const Feed feed_;
};

template <typename Frame, typename Feed>
std::shared_ptr<StreamListener> MakeListener(std::uint64_t connection, Feed feed) {
  return std::make_shared<FrameListener<Frame, Feed>>(connection, std::move(feed));
}

}  // namespace assent::internal
