#include "tools/assentctl/event_streams.h"

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assentctl/channel.h"

namespace assent::ctl {
namespace {

class Line;

// What has come of all streams, until the command's thread takes it.
class Heap {
 public:
  void Put(std::shared_ptr<Line> line, EventStreams::Heard heard) {
    const MutexLock lock(mutex_);
    heard_.emplace_back(std::move(line), std::move(heard));
    came_.NotifyAll();
  }
  // nullptr: nothing has come in time.
  std::shared_ptr<Line> Take(std::chrono::milliseconds patience, EventStreams::Heard& heard) {
    const MutexLock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (heard_.empty() && came_.WaitUntil(mutex_, until)) {
    }
    if (heard_.empty()) return nullptr;
    std::shared_ptr<Line> line = std::move(heard_.front().first);
    heard = std::move(heard_.front().second);
    heard_.pop_front();
    return line;
  }
  void Began() {
    const MutexLock lock(mutex_);
    ++open_;
  }
  void Ended(std::shared_ptr<Line> line, EventStreams::Heard heard) {
    const MutexLock lock(mutex_);
    --open_;
    heard_.emplace_back(std::move(line), std::move(heard));
    came_.NotifyAll();
  }
  bool AllEnded() {
    const MutexLock lock(mutex_);
    return open_ == 0;
  }

 private:
  Mutex mutex_;
  CondVar came_;
  std::deque<std::pair<std::shared_ptr<Line>, EventStreams::Heard>> heard_
      ASSENT_GUARDED_BY(mutex_);
  std::size_t open_ ASSENT_GUARDED_BY(mutex_) = 0;
};

// One stream. The next reply is read when the one before has been taken, so that a coordinator
// cannot make us hold more.
class Line final : public grpc::ClientReadReactor<v1::EventsReply> {
 public:
  static std::shared_ptr<Line> Start(Heap& heap, std::string endpoint,
                                     const std::shared_ptr<grpc::Channel>& channel,
                                     const v1::EventsRequest& request) {
    std::shared_ptr<Line> line(new Line(heap, std::move(endpoint), channel, request));
    line->self_ = line;
    heap.Began();
    line->stub_->async()->Events(&line->context_, &line->request_, line.get());
    line->AddHold();  // reads begin outside of reactions
    line->StartRead(&line->reply_);
    line->StartCall();
    return line;
  }
  // What was heard last has been taken.
  void ReadOn() { StartRead(&reply_); }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    heap_.Put(self_, {endpoint_, reply_, {}});
  }
  void OnDone(const grpc::Status& status) override {
    Status ended(CodeOf(status.error_code()), status.error_message());
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
      ended = Unavailable(endpoint_ + " went away: " + status.error_message());
    // The last of it is let go of by the command's thread: with it may go the last channel, and
    // whoever lets go of that joins gRPC's threads, of which this is one.
    heap_.Ended(std::move(self_), {endpoint_, std::nullopt, std::move(ended)});
  }

 private:
  Line(Heap& heap, std::string endpoint, const std::shared_ptr<grpc::Channel>& channel,
       const v1::EventsRequest& request)
      : heap_(heap),
        endpoint_(std::move(endpoint)),
        stub_(v1::TransactionService::NewStub(channel)),
        request_(request) {}

  Heap& heap_;
  const std::string endpoint_;
  const std::unique_ptr<v1::TransactionService::Stub> stub_;
  const v1::EventsRequest request_;
  grpc::ClientContext context_;
  v1::EventsReply reply_;
  std::shared_ptr<Line> self_;  // until OnDone
};

class GrpcEventStreams final : public EventStreams {
 public:
  explicit GrpcEventStreams(Dialling dialling) : dialling_(std::move(dialling)) {}
  ~GrpcEventStreams() override {
    while (!lines_.empty()) Close(lines_.begin()->first);
    while (!heap_.AllEnded()) {
      Heard heard;
      const auto line = heap_.Take(kPatience, heard);
      // Who has said something waits for us before he goes on, also to his end.
      if (line != nullptr && heard.reply.has_value()) line->ReadOn();
    }
  }

  void Open(const std::string& endpoint, const v1::EventsRequest& request) override {
    Close(endpoint);
    std::shared_ptr<grpc::Channel>& channel = channels_[endpoint];
    if (channel == nullptr) channel = MakeChannel(endpoint, dialling_);
    lines_[endpoint] = Line::Start(heap_, endpoint, channel, request);
  }
  void Close(const std::string& endpoint) override {
    const auto found = lines_.find(endpoint);
    if (found == lines_.end()) return;
    found->second->Cancel();
    if (reading_on_ == found->second) std::exchange(reading_on_, nullptr)->ReadOn();
    lines_.erase(found);
  }
  std::optional<Heard> Next(std::chrono::milliseconds patience) override {
    const auto until = std::chrono::steady_clock::now() + patience;
    if (reading_on_ != nullptr) std::exchange(reading_on_, nullptr)->ReadOn();
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      Heard heard;
      const std::shared_ptr<Line> line = heap_.Take(left, heard);
      if (line == nullptr) return std::nullopt;
      const auto open = lines_.find(heard.endpoint);
      const bool is_open = open != lines_.end() && open->second == line;
      if (heard.reply.has_value()) {
        if (is_open) {
          reading_on_ = line;
        } else {
          line->ReadOn();  // to its end
        }
      }
      if (!is_open) continue;
      if (!heard.reply.has_value()) lines_.erase(open);
      return heard;
    }
  }

 private:
  static constexpr std::chrono::milliseconds kPatience{100};

  const Dialling dialling_;
  Heap heap_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
  std::map<std::string, std::shared_ptr<Line>> lines_;
  std::shared_ptr<Line> reading_on_;  // whose reply was handed out last
};

}  // namespace

std::unique_ptr<EventStreams> MakeEventStreams(Dialling dialling) {
  return std::make_unique<GrpcEventStreams>(std::move(dialling));
}

}  // namespace assent::ctl
