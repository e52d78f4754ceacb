#include "participant-sdk/cpp/src/participant_shell.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <assent/limits.h>
#include <assent/overload.h>

#include "assent/v1/participant.pb.h"
#include "participant-sdk/cpp/src/frame_listener.h"

namespace assent::internal {
namespace {

// Questions per round: one frame's worth.
constexpr std::size_t kMaxQuestions = limits::kMaxFrameMessagesCount;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Passes the first answer on. If the last copy of the responder goes without one, the call is
// answered "retry later": a branch must not be blocked by a resource that lost it.
class OneAnswer {
 public:
  explicit OneAnswer(Responder forward) : forward_(std::move(forward)) {}
  OneAnswer(const OneAnswer&) = delete;
  OneAnswer& operator=(const OneAnswer&) = delete;
  ~OneAnswer() { Give(Reply::RetryLater("the resource dropped the call without an answer")); }
  void Give(Reply reply) {
    if (!given_.exchange(true)) forward_(std::move(reply));
  }

 private:
  std::atomic<bool> given_{false};
  const Responder forward_;
};

}  // namespace

template <typename Event>
void ParticipantShell::Feed(std::size_t index, const Event& event) {
  Todos todos;
  {
    const MutexLock lock(mutex_);
    const auto link = links_.find(index);
    if (link == links_.end()) return;
    Actions actions;
    event(link->second.session, &actions);
    Collect(index, std::move(actions), &todos);
    const Session& session = link->second.session;
    const bool turned = std::exchange(link->second.was_open, session.open()) != session.open();
    if (turned || session.state() == Session::State::kStopped) Reconcile(&todos);
  }
  Do(std::move(todos));
}

ParticipantShell::ParticipantShell(ParticipantOptions options, Dialers dialers,
                                   ActionTable* actions, std::uint64_t seed)
    : options_(std::move(options)),
      dialers_(std::move(dialers)),
      seed_(seed),
      actions_(actions),
      calls_(options_.max_queued_calls),
      roster_(options_.endpoints) {}

ParticipantShell::~ParticipantShell() = default;

void ParticipantShell::Start() {
  workers_ = std::make_unique<WorkerPool>(
      WorkerPool::Options{options_.worker_threads, options_.max_extra_workers},
      [this](Ticket ticket) { RunOnWorker(ticket); },
      [log = options_.log](const std::string& line) {
        if (log) log(line);
      });
  Todos todos;
  {
    const MutexLock lock(mutex_);
    next_questions_ = Now() + options_.question_interval;
    Reconcile(&todos);
  }
  Do(std::move(todos));
  const MutexLock lock(mutex_);
  timer_ = std::make_unique<Timer>([this](SteadyTime now) { return Tick(now); });
}

bool ParticipantShell::AnyOpen() const {
  return std::any_of(links_.begin(), links_.end(),
                     [](const auto& link) { return link.second.session.open(); });
}

Status ParticipantShell::WaitConnected(std::chrono::milliseconds timeout) {
  const SteadyTime until = Now() + timeout;
  const MutexLock lock(mutex_);
  while (!stopping_ && !AnyOpen() && changed_.WaitUntil(mutex_, until)) {
  }
  if (AnyOpen()) return OkStatus();
  std::string text = stopping_ ? "the participant is stopping" : "no coordinator has welcomed us";
  for (const auto& [index, link] : links_) {
    const Status& failure = link.session.last_failure();
    text += "; " + link.session.endpoint() + ": " +
            (failure.ok() ? "no connection yet (is assentd running there?)" : failure.ToString());
  }
  return {Code::kDeadlineExceeded, text};
}

bool ParticipantShell::AllStopped() const {
  return std::all_of(links_.begin(), links_.end(), [](const auto& link) {
    return link.second.session.state() == Session::State::kStopped;
  });
}

ParticipantShell::Ids ParticipantShell::LinkIds() const {
  const MutexLock lock(mutex_);
  Ids ids;
  for (const auto& [index, link] : links_) ids.push_back(index);
  return ids;
}

void ParticipantShell::Stop() {
  std::map<std::uint32_t, std::shared_ptr<MapWatcher>> watchers;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;  // from here on no link comes or goes
    watchers.swap(watchers_);
  }
  changed_.NotifyAll();
  for (const auto& [log, watcher] : watchers) watcher->Shutdown();
  for (const std::size_t index : LinkIds())
    Feed(index, [](Session& session, Actions* actions) { session.Stop(Now(), actions); });
  const SteadyTime until = Now() + options_.stop_grace;
  {
    const MutexLock lock(mutex_);
    while (!AllStopped() && changed_.WaitUntil(mutex_, until)) {
    }
  }
  for (const std::size_t index : LinkIds())
    Feed(index, [](Session& session, Actions* actions) { session.Abandon(actions); });
  {
    // A cancelled stream reports its end without asking anybody.
    const MutexLock lock(mutex_);
    while (!AllStopped()) changed_.Wait(mutex_);
  }
  timer_->Stop();
  workers_->Close();
}

void ParticipantShell::Join() {
  timer_->Stop();
  std::vector<std::unique_ptr<Dialer>> dialers;  // each waits for its streams, without the mutex
  {
    const MutexLock lock(mutex_);
    for (auto& [index, link] : links_) dialers.push_back(std::move(link.dialer));
  }
  dialers.clear();
  workers_->Join();
}

ParticipantStats ParticipantShell::Stats() const {
  ParticipantStats stats;
  const MutexLock lock(mutex_);
  const auto add = [&stats](const Session::Counters& counters) {
    stats.commands += counters.commands;
    stats.joined += counters.joined;
    stats.stale_commands += counters.stale_commands;
    stats.replies += counters.replies;
    stats.dropped_replies += counters.dropped_replies;
    stats.connections += counters.connections;
  };
  add(of_removed_);
  for (const auto& [index, link] : links_) {
    stats.connected += link.session.open() ? 1 : 0;
    add(link.session.counters());
  }
  stats.running_calls = running_;
  stats.queued_calls = calls_.size() - running_;
  return stats;
}

// ------------------------------------------------------------------------------------------------
// under the mutex

std::optional<Call> ParticipantShell::TakeLocked(Ticket ticket) {
  std::optional<Call> call = calls_.Take(ticket, Now(), [this](const Waiter& waiter) {
    mutex_.AssertHeld();
    const auto link = links_.find(waiter.session);
    return link != links_.end() && link->second.session.Alive(waiter);
  });
  if (call) ++running_;
  return call;
}

void ParticipantShell::Collect(std::size_t index, Actions actions, Todos* todos) {
  Link& link = links_.at(index);
  bool state_changed = false;
  for (Action& action : actions) {
    std::visit(Overload{
                   [&](act::Dial& dial) {
                     link.stream = link.dialer->Open(MakeListener<v1::CoordinatorFrame>(
                         dial.connection, [weak = weak_from_this(), index](const auto& event) {
                           if (const auto self = weak.lock()) self->Feed(index, event);
                         }));
                     todos->push_back({link.stream, StartStream{}});
                   },
                   [&](act::Send& send) {
                     todos->push_back({link.stream, std::move(send)});
                   },
                   [&](act::HalfClose& half_close) {
                     todos->push_back({link.stream, half_close});
                   },
                   [&](act::Cancel& cancel) {
                     todos->push_back({link.stream, cancel});
                   },
                   [&](act::Run& run) {
                     mutex_.AssertHeld();
                     Begin(run.ticket, todos);
                   },
                   [&](act::Deliver& deliver) {
                     todos->push_back({nullptr, std::move(deliver)});
                   },
                   [&](act::Ask&) {
                     link.ask = true;
                     if (link.session.clustered()) {
                       todos->push_back({nullptr, WatchCluster{link.session.coordinator_id(),
                                                               link.session.endpoint()}});
                     }
                   },
                   [&](act::Log& line) {
                     state_changed = true;
                     todos->push_back({nullptr, std::move(line)});
                   },
               },
               action);
  }
  if (state_changed || link.session.state() == Session::State::kStopped) changed_.NotifyAll();
  if (timer_ && (link.ask || link.session.Due() < timer_due_)) timer_->Wake();
}

void ParticipantShell::Begin(Ticket ticket, Todos* todos) {
  if (actions_->IsPlain(calls_.Peek(ticket))) {
    todos->push_back({nullptr, Enqueue{ticket}});
    return;
  }
  std::optional<Call> call = TakeLocked(ticket);
  if (!call)
    return FinishLocked(
        ticket, Reply::RetryLater("it waited too long for its branch's other operation"), todos);
  todos->push_back({nullptr, Execute{ticket, std::move(*call)}});
}

void ParticipantShell::FinishLocked(Ticket ticket, const Reply& reply, Todos* todos) {
  const CallTable::Finished finished = calls_.Finish(ticket);
  for (const Waiter& waiter : finished.waiters) {
    const auto link = links_.find(waiter.session);
    if (link == links_.end()) {
      ++of_removed_.dropped_replies;
      continue;
    }
    Actions actions;
    link->second.session.Answer(waiter, finished.gid, finished.branch_id, finished.operation, reply,
                                Now(), &actions);
    Collect(waiter.session, std::move(actions), todos);
  }
  if (finished.next) Begin(*finished.next, todos);
}

// ------------------------------------------------------------------------------------------------
// without the mutex

void ParticipantShell::Do(Todos todos) {
  for (Todo& todo : todos) {
    std::visit(Overload{
                   [&](StartStream&) { todo.stream->Start(); },
                   [&](act::Send& send) { todo.stream->Write(send.frame); },
                   [&](act::HalfClose&) { todo.stream->HalfClose(); },
                   [&](act::Cancel&) { todo.stream->Cancel(); },
                   [&](Execute& execute) { Perform(std::move(execute)); },
                   [&](Enqueue& enqueue) { workers_->Push(enqueue.ticket); },
                   [&](act::Deliver& deliver) {
                     actions_->Answer(deliver.branch, deliver.verdict, deliver.finished);
                   },
                   [&](act::Log& line) {
                     if (options_.log) options_.log(line.line);
                   },
                   [&](WatchCluster& cluster) { Watch(cluster); },
                   [&](Discard& discard) { discard.dialer.reset(); },
               },
               todo.what);
  }
}

void ParticipantShell::Perform(Execute execute) {
  auto once = std::make_shared<OneAnswer>(
      [shell = weak_from_this(), ticket = execute.ticket](const Reply& reply) {
        if (const auto alive = shell.lock()) alive->Finish(ticket, reply);
      });
  actions_->Execute(std::move(execute.call),
                    [once = std::move(once)](Reply reply) { once->Give(std::move(reply)); });
}

void ParticipantShell::RunOnWorker(Ticket ticket) {
  std::optional<Call> call;
  Todos todos;
  {
    const MutexLock lock(mutex_);
    call = TakeLocked(ticket);
    if (!call)
      FinishLocked(ticket, Reply::RetryLater("it waited too long for a worker thread"), &todos);
  }
  Do(std::move(todos));
  if (!call) return;
  Reply answer;
  actions_->Execute(std::move(*call), [&answer](Reply reply) { answer = std::move(reply); });
  Finish(ticket, answer);
}

void ParticipantShell::Finish(Ticket ticket, const Reply& reply) {
  Todos todos;
  {
    const MutexLock lock(mutex_);
    --running_;
    FinishLocked(ticket, reply, &todos);
  }
  Do(std::move(todos));
}

SteadyTime ParticipantShell::Tick(SteadyTime now) {
  Todos todos;
  Ids ask;
  SteadyTime due = SteadyTime::max();
  std::uint64_t round_number = 0;
  {
    const MutexLock lock(mutex_);
    const bool round = !stopping_ && now >= next_questions_;
    if (round) {
      next_questions_ = now + options_.question_interval;
      ++question_rounds_;
    }
    round_number = question_rounds_;
    for (auto& [index, link] : links_) {
      Actions actions;
      link.session.OnTick(now, &actions);
      Collect(index, std::move(actions), &todos);
      if ((std::exchange(link.ask, false) || round) && link.session.open()) ask.push_back(index);
      due = std::min(due, link.session.Due());
    }
    if (!stopping_) due = std::min(due, next_questions_);
    timer_due_ = due;
  }
  Do(std::move(todos));
  if (!ask.empty()) AskQuestions(ask, round_number);
  return due;
}

// One of the coordinators that share the transaction's log is asked, another one next round: any
// of them can find the answer. Those that were welcomed just now are asked by themselves only if
// nobody else was before. If none of that log is connected, all that are.
ParticipantShell::Ids ParticipantShell::ToAsk(const HeldBranch& branch, const Ids& due,
                                              std::uint64_t round) const {
  Ids of_log;
  for (const auto& [index, link] : links_) {
    if (link.session.open() && link.session.coordinator_id() == branch.coordinator_id)
      of_log.push_back(index);
  }
  if (of_log.empty()) return due;
  const bool all_due = std::includes(due.begin(), due.end(), of_log.begin(), of_log.end());
  if (!all_due) return {};
  return {of_log[round % of_log.size()]};
}

void ParticipantShell::AskQuestions(const Ids& due, std::uint64_t round) {
  const std::vector<HeldBranch> held = actions_->Questions(kMaxQuestions);
  std::map<std::size_t, std::vector<HeldBranch>> questions;
  {
    const MutexLock lock(mutex_);
    for (const HeldBranch& branch : held) {
      for (const std::size_t index : ToAsk(branch, due, round)) questions[index].push_back(branch);
    }
  }
  for (const auto& question : questions) {
    Feed(question.first, [&](Session& session, Actions* actions) {
      session.Question(question.second, Now(), actions);
    });
  }
}

}  // namespace assent::internal
