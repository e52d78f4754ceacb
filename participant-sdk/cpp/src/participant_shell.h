#pragma once

// What turns the pure sessions into a running participant: threads, streams, time. Free of gRPC:
// the dialers are given.
//
// The mutex is held only while the call table and the sessions are fed. What they want done is
// collected into a list and done after the mutex is released, so neither user code nor a stream is
// ever called under it. At most one write per session is under way, so the order of two writes
// cannot be confused.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include <assent/call.h>
#include <assent/participant.h>
#include <assent/resource.h>
#include <assent/status.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/action_table.h"
#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/map_watcher.h"
#include "participant-sdk/cpp/src/roster.h"
#include "participant-sdk/cpp/src/session.h"
#include "participant-sdk/cpp/src/stream.h"
#include "participant-sdk/cpp/src/timer.h"
#include "participant-sdk/cpp/src/worker_pool.h"

namespace assent::internal {

class ParticipantShell : public std::enable_shared_from_this<ParticipantShell> {
 public:
  struct Dialers {
    DialerFactory session;
    DialerFactory watch;  // of ClusterService.Watch
  };
  // `options` are complete (no defaults left to fill in) and valid. `actions` outlives the shell.
  ParticipantShell(ParticipantOptions options, Dialers dialers, ActionTable* actions,
                   std::uint64_t seed);
  ~ParticipantShell();

  void Start();
  Status WaitConnected(std::chrono::milliseconds timeout);
  void Stop();
  // After Stop: when it returns, no thread of ours runs user code any more. Waits for handlers that
  // still run.
  void Join();
  ParticipantStats Stats() const;

 private:
  struct Link {
    Link(Session::Options options, CallTable* calls) : session(std::move(options), calls) {}
    Session session;
    std::unique_ptr<Dialer> dialer;
    std::shared_ptr<Stream> stream;  // of the latest dial
    bool was_open = false;           // when last looked at
    bool ask = false;                // newly welcomed: its questions are due
  };
  // Something to be done without the mutex.
  struct Execute {
    Ticket ticket;
    Call call;
  };
  struct Enqueue {
    Ticket ticket;
  };
  struct StartStream {};
  struct WatchCluster {  // of which a coordinator has said that it is one
    std::uint32_t coordinator_id;
    std::string endpoint;
  };
  struct Discard {  // waits for its streams, which have ended
    std::unique_ptr<Dialer> dialer;
  };
  struct Todo {
    std::shared_ptr<Stream> stream;
    std::variant<StartStream, act::Send, act::HalfClose, act::Cancel, Execute, Enqueue,
                 act::Deliver, act::Log, WatchCluster, Discard>
        what;
  };
  using Todos = std::vector<Todo>;
  using Ids = std::vector<std::size_t>;

  // event(session, &actions), and then what session `index` wants.
  template <typename Event>
  void Feed(std::size_t index, const Event& event) ASSENT_EXCLUDES(mutex_);
  // Turns what session `index` wants into things to do.
  void Collect(std::size_t index, Actions actions, Todos* todos) ASSENT_REQUIRES(mutex_);
  // The call may run: hands it to a worker or a resource, or finishes it unrun.
  void Begin(Ticket ticket, Todos* todos) ASSENT_REQUIRES(mutex_);
  void FinishLocked(Ticket ticket, const Reply& reply, Todos* todos) ASSENT_REQUIRES(mutex_);
  // Nothing when nobody waits for it any more, or when it has waited too long.
  std::optional<Call> TakeLocked(Ticket ticket) ASSENT_REQUIRES(mutex_);
  void Do(Todos todos) ASSENT_EXCLUDES(mutex_);
  void Perform(Execute execute);
  void RunOnWorker(Ticket ticket);
  void Finish(Ticket ticket, const Reply& reply);
  SteadyTime Tick(SteadyTime now);
  // Asks the resources and spreads their questions. `due`: whose questions are.
  void AskQuestions(const Ids& due, std::uint64_t round) ASSENT_EXCLUDES(mutex_);
  Ids ToAsk(const HeldBranch& branch, const Ids& due, std::uint64_t round) const
      ASSENT_REQUIRES(mutex_);
  bool AnyOpen() const ASSENT_REQUIRES(mutex_);
  bool AllStopped() const ASSENT_REQUIRES(mutex_);
  Ids LinkIds() const ASSENT_EXCLUDES(mutex_);

  // The coordinators (participant_links.cc).
  void AddLink(const std::string& endpoint, Todos* todos) ASSENT_REQUIRES(mutex_);
  // Some link has opened, closed or stopped, or a map has changed.
  void Reconcile(Todos* todos) ASSENT_REQUIRES(mutex_);
  void RemoveStopped(Todos* todos) ASSENT_REQUIRES(mutex_);
  void ShareInFlight() ASSENT_REQUIRES(mutex_);
  void Watch(const WatchCluster& cluster) ASSENT_EXCLUDES(mutex_);
  void OnNews(const MapWatcher::News& news) ASSENT_EXCLUDES(mutex_);

  const ParticipantOptions options_;
  const Dialers dialers_;
  const std::uint64_t seed_;
  ActionTable* const actions_;

  mutable Mutex mutex_;
  CondVar changed_;  // some session's state
  CallTable calls_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::size_t, Link> links_ ASSENT_GUARDED_BY(mutex_);  // by an index used once
  std::size_t next_link_ ASSENT_GUARDED_BY(mutex_) = 0;
  Session::Counters of_removed_ ASSENT_GUARDED_BY(mutex_);
  Roster roster_ ASSENT_GUARDED_BY(mutex_);
  // By coordinator_id: a participant may serve several logs.
  std::map<std::uint32_t, std::shared_ptr<MapWatcher>> watchers_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint32_t, std::uint64_t> news_numbers_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint32_t, std::string> known_members_ ASSENT_GUARDED_BY(mutex_);  // as logged
  std::uint64_t question_rounds_ ASSENT_GUARDED_BY(mutex_) = 0;
  SteadyTime next_questions_ ASSENT_GUARDED_BY(mutex_){};
  // When the timer will tick by itself.
  SteadyTime timer_due_ ASSENT_GUARDED_BY(mutex_) = SteadyTime::min();
  std::size_t running_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;

  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<Timer> timer_;  // set by Start, under the mutex
};

}  // namespace assent::internal
