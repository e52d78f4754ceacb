#include "participant-sdk/cpp/src/submitter.h"

#include <chrono>
#include <memory>
#include <utility>
#include <variant>

#include <assent/overload.h>

#include "participant-sdk/cpp/src/frame_listener.h"

namespace assent::internal {
namespace {

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

Submitter::Submitter(SubmitQueue::Options options, DialerFactory make_dialer)
    : make_dialer_(std::move(make_dialer)), queue_(std::move(options)) {}

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

void Submitter::SetRoutes(std::uint64_t number, const RoutesPtr& routes,
                          const std::vector<std::string>& gone) {
  Feed([&](SubmitQueue& queue, SubmitQueue::Actions* actions) {
    mutex_.AssertHeld();
    const bool newest = number >= routes_number_;
    if (newest) routes_number_ = number;
    queue.SetRoutes(newest ? routes : queue.routes(), gone, Now(), actions);
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

void Submitter::Open(const SubmitQueue::Dial& dial) {
  Dialled& dialled = streams_[dial.connection];
  dialled.dialer = make_dialer_(dial.endpoint);
  dialled.stream = dialled.dialer->Open(MakeListener<v1::SubmitReplyFrame>(
      dial.connection, [weak = weak_from_this()](const auto& event) {
        if (const auto self = weak.lock()) self->Feed(event);
      }));
}

Submitter::Todo Submitter::TodoOf(SubmitQueue::Action action) {
  Todo todo;
  std::visit(Overload{
                 [](const SubmitQueue::Complete&) {},
                 [&](const auto& of_stream) {
                   mutex_.AssertHeld();
                   todo.stream = streams_.at(of_stream.connection).stream;
                 },
             },
             action);
  todo.action = std::move(action);
  return todo;
}

Submitter::Todos Submitter::Collect(SubmitQueue::Actions actions) {
  Todos todos;
  todos.reserve(actions.size());
  for (SubmitQueue::Action& action : actions) {
    if (const auto* dial = std::get_if<SubmitQueue::Dial>(&action)) Open(*dial);
    todos.push_back(TodoOf(std::move(action)));
  }
  for (auto at = streams_.begin(); streams_.size() > queue_.connected_count();) {
    const auto stream = at++;
    if (queue_.Uses(stream->first)) continue;
    todos.push_back({nullptr, {}, std::move(stream->second)});
    streams_.erase(stream);
  }
  return todos;
}

void Submitter::Do(Todos todos) {
  for (Todo& todo : todos) {
    if (todo.ended.stream) continue;  // its dialer goes with the list
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
