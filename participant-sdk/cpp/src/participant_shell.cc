#include "participant-sdk/cpp/src/participant_shell.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <assent/limits.h>

#include "assent/v1/participant.pb.h"
#include "participant-sdk/cpp/src/version.h"

namespace assent::internal {
namespace {

// Questions per round: one frame's worth.
constexpr std::size_t kMaxQuestions = limits::kMaxFrameMessagesCount;

template <typename... Visitors>
struct Overload : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overload(Visitors...) -> Overload<Visitors...>;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

v1::Hello HelloOf(const ParticipantOptions& options, const ActionTable& actions) {
  v1::Hello hello;
  hello.set_version(1);
  hello.set_service(options.service);
  hello.set_instance(options.instance);
  for (const OfferedAction& action : actions.Actions()) {
    v1::ActionInfo* info = hello.add_actions();
    info->set_name(action.name);
    info->set_protocol(static_cast<v1::Protocol>(action.protocol));
  }
  hello.set_max_in_flight(options.max_in_flight);
  hello.set_agent(AgentName());
  return hello;
}

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

// Carries the reports of one stream to its session, for as long as the shell lives.
class ParticipantShell::Listener final : public StreamListener {
 public:
  Listener(std::weak_ptr<ParticipantShell> shell, std::size_t index, std::uint64_t connection)
      : shell_(std::move(shell)), index_(index), connection_(connection) {}

  void OnStarted() override {
    Feed([&](Session& session, Actions* actions) {
      session.OnStarted(connection_, Now(), actions);
    });
  }
  void OnMessage(google::protobuf::io::ZeroCopyInputStream* message) override {
    v1::CoordinatorFrame frame;
    const bool parsed = frame.ParseFromZeroCopyStream(message);
    Feed([&](Session& session, Actions* actions) {
      if (parsed) {
        session.OnFrame(connection_, &frame, Now(), actions);
      } else {
        session.OnMalformed(connection_, "it does not parse", actions);
      }
    });
  }
  void OnWritten() override {
    Feed([&](Session& session, Actions* actions) {
      session.OnWritten(connection_, Now(), actions);
    });
  }
  void OnClosed(const Status& why) override {
    Feed([&](Session& session, Actions* actions) {
      session.OnClosed(connection_, why, Now(), actions);
    });
  }

 private:
  template <typename Event>
  void Feed(const Event& event) {
    const std::shared_ptr<ParticipantShell> shell = shell_.lock();
    if (!shell) return;
    Todos todos;
    {
      const std::lock_guard lock(shell->mutex_);
      Actions actions;
      event(shell->links_[index_].session, &actions);
      shell->Collect(index_, std::move(actions), &todos);
    }
    shell->Do(std::move(todos));
  }

  const std::weak_ptr<ParticipantShell> shell_;
  const std::size_t index_;
  const std::uint64_t connection_;
};

ParticipantShell::ParticipantShell(ParticipantOptions options, std::vector<Endpoint> endpoints,
                                   ActionTable* actions, std::uint64_t seed)
    : options_(std::move(options)), actions_(actions), calls_(options_.max_queued_calls) {
  links_.reserve(endpoints.size());
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    Session::Options session;
    session.index = i;
    session.endpoint = endpoints[i].name;
    session.hello = HelloOf(options_, *actions_);
    session.max_in_flight = options_.max_in_flight;
    session.max_questions = kMaxQuestions;
    session.initial_backoff = options_.reconnect_initial_backoff;
    session.max_backoff = options_.reconnect_max_backoff;
    session.seed = seed + i;
    links_.emplace_back(std::move(session), &calls_);
    links_.back().dialer = std::move(endpoints[i].dialer);
  }
}

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
    const std::lock_guard lock(mutex_);
    next_questions_ = Now() + options_.question_interval;
    for (std::size_t i = 0; i < links_.size(); ++i) {
      Actions actions;
      links_[i].session.Start(Now(), &actions);
      Collect(i, std::move(actions), &todos);
    }
  }
  Do(std::move(todos));
  const std::lock_guard lock(mutex_);
  timer_ = std::make_unique<Timer>([this](SteadyTime now) { return Tick(now); });
}

Status ParticipantShell::WaitConnected(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const auto open = [&] {
    return std::any_of(links_.begin(), links_.end(),
                       [](const Link& l) { return l.session.open(); });
  };
  if (changed_.wait_for(lock, timeout, [&] { return stopping_ || open(); }) && open())
    return OkStatus();
  std::string text = stopping_ ? "the participant is stopping" : "no coordinator has welcomed us";
  for (const Link& link : links_) {
    const Status& failure = link.session.last_failure();
    text += "; " + link.session.endpoint() + ": " +
            (failure.ok() ? "no connection yet (is assentd running there?)" : failure.ToString());
  }
  return {Code::kDeadlineExceeded, text};
}

bool ParticipantShell::AllStopped() const {
  return std::all_of(links_.begin(), links_.end(), [](const Link& link) {
    return link.session.state() == Session::State::kStopped;
  });
}

void ParticipantShell::Stop() {
  const auto each = [this](const auto& feed) {
    Todos todos;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      for (std::size_t i = 0; i < links_.size(); ++i) {
        Actions actions;
        feed(links_[i].session, &actions);
        Collect(i, std::move(actions), &todos);
      }
    }
    changed_.notify_all();
    Do(std::move(todos));
  };
  each([](Session& session, Actions* actions) { session.Stop(Now(), actions); });
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, options_.stop_grace, [this] { return AllStopped(); });
  }
  each([](Session& session, Actions* actions) { session.Abandon(actions); });
  {
    // A cancelled stream reports its end without asking anybody.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return AllStopped(); });
  }
  timer_->Stop();
  workers_->Close();
}

void ParticipantShell::Join() {
  timer_->Stop();
  for (Link& link : links_) link.dialer.reset();
  workers_->Join();
}

ParticipantStats ParticipantShell::Stats() const {
  ParticipantStats stats;
  const std::lock_guard lock(mutex_);
  for (const Link& link : links_) {
    const Session::Counters& counters = link.session.counters();
    stats.connected += link.session.open() ? 1 : 0;
    stats.commands += counters.commands;
    stats.joined += counters.joined;
    stats.replies += counters.replies;
    stats.dropped_replies += counters.dropped_replies;
    stats.connections += counters.connections;
  }
  stats.running_calls = running_;
  stats.queued_calls = calls_.size() - running_;
  return stats;
}

// ------------------------------------------------------------------------------------------------
// under the mutex

bool ParticipantShell::Alive(const Waiter& waiter) const {
  return links_[waiter.session].session.Alive(waiter);
}

void ParticipantShell::Collect(std::size_t index, Actions actions, Todos* todos) {
  Link& link = links_[index];
  bool state_changed = false;
  for (Action& action : actions) {
    std::visit(Overload{
                   [&](act::Dial& dial) {
                     link.stream = link.dialer->Open(
                         std::make_shared<Listener>(weak_from_this(), index, dial.connection));
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
                   [&](act::Run& run) { Begin(run.ticket, todos); },
                   [&](act::Deliver& deliver) {
                     todos->push_back({nullptr, std::move(deliver)});
                   },
                   [&](act::Ask&) { link.ask = true; },
                   [&](act::Log& line) {
                     state_changed = true;
                     todos->push_back({nullptr, std::move(line)});
                   },
               },
               action);
  }
  if (state_changed || link.session.state() == Session::State::kStopped) changed_.notify_all();
  if (timer_ && (link.ask || link.session.Due() < timer_due_)) timer_->Wake();
}

void ParticipantShell::Begin(Ticket ticket, Todos* todos) {
  if (actions_->IsPlain(calls_.Peek(ticket))) {
    todos->push_back({nullptr, Enqueue{ticket}});
    return;
  }
  bool expired = false;
  std::optional<Call> call = calls_.Take(
      ticket, Now(), [this](const Waiter& w) { return Alive(w); }, &expired);
  if (!call)
    return FinishLocked(
        ticket, Reply::RetryLater("it waited too long for its branch's other operation"), todos);
  ++running_;
  todos->push_back({nullptr, Execute{ticket, std::move(*call)}});
}

void ParticipantShell::FinishLocked(Ticket ticket, const Reply& reply, Todos* todos) {
  const CallTable::Finished finished = calls_.Finish(ticket);
  for (const Waiter& waiter : finished.waiters) {
    Actions actions;
    links_[waiter.session].session.Answer(waiter, finished.gid, finished.branch_id,
                                          finished.operation, reply, Now(), &actions);
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
    const std::lock_guard lock(mutex_);
    bool expired = false;
    call = calls_.Take(
        ticket, Now(), [this](const Waiter& w) { return Alive(w); }, &expired);
    if (call) {
      ++running_;
    } else {
      FinishLocked(ticket, Reply::RetryLater("it waited too long for a worker thread"), &todos);
    }
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
    const std::lock_guard lock(mutex_);
    --running_;
    FinishLocked(ticket, reply, &todos);
  }
  Do(std::move(todos));
}

SteadyTime ParticipantShell::Tick(SteadyTime now) {
  Todos todos;
  std::vector<bool> ask_to(links_.size(), false);
  bool ask = false;
  SteadyTime due = SteadyTime::max();
  {
    const std::lock_guard lock(mutex_);
    const bool round = !stopping_ && now >= next_questions_;
    if (round) next_questions_ = now + options_.question_interval;
    for (std::size_t i = 0; i < links_.size(); ++i) {
      Link& link = links_[i];
      Actions actions;
      link.session.OnTick(now, &actions);
      Collect(i, std::move(actions), &todos);
      ask_to[i] = (std::exchange(link.ask, false) || round) && link.session.open();
      ask = ask || ask_to[i];
      due = std::min(due, link.session.Due());
    }
    if (!stopping_) due = std::min(due, next_questions_);
    timer_due_ = due;
  }
  Do(std::move(todos));
  if (ask) AskQuestions(ask_to);
  return due;
}

// A question goes to the coordinator that began the transaction, if it is connected; otherwise to
// all that are, since one of them may have taken over.
void ParticipantShell::AskQuestions(const std::vector<bool>& to) {
  const std::vector<HeldBranch> held = actions_->Questions(kMaxQuestions);
  if (held.empty()) return;
  Todos todos;
  {
    const std::lock_guard lock(mutex_);
    const auto owner_connected = [this](const HeldBranch& branch) {
      return std::any_of(links_.begin(), links_.end(), [&](const Link& link) {
        return link.session.open() && link.session.coordinator_id() == branch.coordinator_id;
      });
    };
    for (std::size_t i = 0; i < links_.size(); ++i) {
      if (!to[i]) continue;
      std::vector<HeldBranch> mine;
      for (const HeldBranch& branch : held) {
        if (branch.coordinator_id == links_[i].session.coordinator_id() || !owner_connected(branch))
          mine.push_back(branch);
      }
      Actions actions;
      links_[i].session.Question(mine, Now(), &actions);
      Collect(i, std::move(actions), &todos);
    }
  }
  Do(std::move(todos));
}

}  // namespace assent::internal
