#include "participant-sdk/cpp/src/submitter.h"

#include <chrono>
#include <memory>
#include <utility>
#include <variant>

#include "participant-sdk/cpp/src/frame_listener.h"

namespace assent::internal {
namespace {

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

Submitter::Submitter(SubmitQueue::Options options, std::unique_ptr<Dialer> dialer)
    : queue_(std::move(options)), dialer_(std::move(dialer)) {}

Submitter::~Submitter() = default;

// The timer holds no reference: it would keep us alive for ever.
void Submitter::Start() {
  const MutexLock lock(mutex_);  // its first tick comes at once, and looks at timer_
  timer_ = std::make_unique<Timer>([weak = weak_from_this()](SteadyTime now) {
    const std::shared_ptr<Submitter> self = weak.lock();
    return self ? self->Tick(now) : SteadyTime::max();
  });
}

SteadyTime Submitter::Tick(SteadyTime now) {
  Feed([now](SubmitQueue& queue, SubmitQueue::Actions* actions) { queue.OnTick(now, actions); });
  const MutexLock lock(mutex_);
  timer_due_ = queue_.Due();
  return timer_due_;
}

void Submitter::Submit(v1::SubmitRequest request, Connection::ReportCallback done,
                       SteadyTime deadline) {
  Feed([&](SubmitQueue& queue, SubmitQueue::Actions* actions) {
    queue.Submit(std::move(request), std::move(done), deadline, Now(), actions);
  });
}

void Submitter::Shutdown() {
  Feed([](SubmitQueue& queue, SubmitQueue::Actions* actions) { queue.Shutdown(actions); });
}

template <typename Event>
void Submitter::Feed(const Event& event) {
  Todos todos;
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    SubmitQueue::Actions actions;
    event(queue_, &actions);
    todos = Collect(std::move(actions));
    // A due time that moves nearer must be told to the timer; one that moves away costs it an idle
    // tick.
    wake = timer_ && queue_.Due() < timer_due_;
    if (wake) timer_due_ = queue_.Due();
  }
  if (wake) timer_->Wake();
  Do(std::move(todos));
}

Submitter::Todos Submitter::Collect(SubmitQueue::Actions actions) {
  Todos todos;
  todos.reserve(actions.size());
  for (SubmitQueue::Action& action : actions) {
    if (const auto* dial = std::get_if<SubmitQueue::Dial>(&action)) {
      stream_ = dialer_->Open(MakeListener<v1::SubmitReplyFrame>(
          dial->connection, [weak = weak_from_this()](const auto& event) {
            if (const auto self = weak.lock()) self->Feed(event);
          }));
    }
    todos.push_back({stream_, std::move(action)});
  }
  return todos;
}

void Submitter::Do(Todos todos) {
  for (Todo& todo : todos) {
    if (std::holds_alternative<SubmitQueue::Dial>(todo.action)) {
      todo.stream->Start();
    } else if (auto* send = std::get_if<SubmitQueue::Send>(&todo.action)) {
      todo.stream->Write(send->frame);
    } else if (std::holds_alternative<SubmitQueue::Cancel>(todo.action)) {
      todo.stream->Cancel();
    } else if (auto* complete = std::get_if<SubmitQueue::Complete>(&todo.action)) {
      complete->done(std::move(complete->result));
    }
  }
}

}  // namespace assent::internal
