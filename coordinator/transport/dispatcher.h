#pragma once

// Which command goes to which instance of a service, and when: the one place where commands wait.
// Values in, values out; no lock, clock, thread or stream. Carriers around it move frames and calls
// (switchboard.h, session_hub.h, unary_dialer.h), those of the daemon and those of the simulator.
//
//   Send ──► queued (in its action's lane) ──► outbox of an instance ──Take──► out ──► answered,
//                                                                       ended, or its slot expires
//                 └──────────────┴── expired, superseded, nobody left: certainly not sent
//
// Invariant: a command is in exactly one of these places until it has had exactly one Reply. The
// only one without is what is out on a session and has expired: its sender gave up on it at that
// moment, and asks again. What expires before it is taken is never taken. Of what waits there is
// one for each branch: a newer attempt takes the older one's place.
//
// Who of several instances is next, and how much each gets, is for the policy of the service
// (coordinator/traffic) to say. By one, a second copy of a command may be with another instance:
// whichever has the answer first gives the one Reply.
//
// Costs: each call is linear in what it hands in and what it settles. Nothing walks all commands,
// instances or services (List apart, which is for people); Wake walks the instances of a service
// one of which has to be let go, or tried.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <assent/status.h>

#include "coordinator/traffic/breaker.h"
#include "coordinator/traffic/policy.h"
#include "coordinator/transport/endpoint.h"
#include "coordinator/transport/hello.h"
#include "coordinator/transport/transport.h"

namespace assent::transport {

using InstanceId = std::uint64_t;

struct DispatcherLimits {
  std::size_t max_sessions_count = 10'000;
  std::size_t default_in_flight_count = 1024;
  std::size_t max_in_flight_count = 65'536;
  // Commands of one service that wait for room. Beyond it a command comes back kNotSent and has its
  // backoff.
  std::size_t max_queued_count = 65'536;
  // What is held of one service's commands, and of all together: waiting, and being written to a
  // stream or call.
  std::size_t max_held_bytes = std::size_t{64} << 20;
  std::size_t max_all_held_bytes = std::size_t{256} << 20;
  // What is set aside for one instance: about its next frame, so that who does not read holds up no
  // more than that.
  std::size_t max_outbox_count = 256;
  std::size_t max_outbox_bytes = std::size_t{1} << 20;
  // Different sets of actions among the instances of one service: a roll-out has two.
  std::size_t max_variants_count = 16;
  // The names of all actions of all services.
  std::size_t max_actions_bytes = std::size_t{64} << 20;
  // Services that have figures of their own; whoever dials in may call itself anything.
  std::size_t max_counted_services_count = 100;
  // Instances that a command is offered to, one after the other, where "not now" means the next.
  std::size_t max_asked_count = 4;
};

// How often participants broke the rules of the wire (each was ignored), and what was done.
struct DispatcherCounters {
  std::uint64_t stale_replies = 0;       // for a command that is not out on this instance
  std::uint64_t mismatched_replies = 0;  // its gid, branch or operation is not the command's: a lie
  std::uint64_t oversized_results = 0;
  std::uint64_t queued = 0;      // had to wait for room
  std::uint64_t superseded = 0;  // a newer attempt came while the older one waited
  std::uint64_t expired = 0;
  // Commands, instances and lanes that were looked at: what everything has cost.
  std::uint64_t steps = 0;
};

// A target that is dialled. While it connects, commands wait for it; while it is down, they are
// given back.
enum class Reach : std::uint8_t { kConnecting, kReady, kDown };

class Dispatcher {
 public:
  // What a call has brought about, for whoever called to pass on.
  struct Effects {
    std::vector<Reply> replies;
    std::vector<InstanceId> touched;    // there is something to take
    std::vector<std::string> appeared;  // services: what could not be sent can be
    std::vector<InstanceId> gone;       // were retired, and nothing is out on them any more
  };
  struct ReachChange {
    Reach before = Reach::kReady;
    Visitor who;
  };
  struct Outgoing {
    std::uint64_t command_id = 0;
    Command command;
  };

  explicit Dispatcher(DispatcherLimits limits = {});
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;
  ~Dispatcher();

  // It is so late, for whatever is called next.
  void At(core::MonoTime now) { now_ = std::max(now_, now); }

  // ---- Policies

  // Until then all have the usual ones. Services that are treated otherwise than before begin anew.
  void SetPolicies(std::shared_ptr<const traffic::Policies> policies, Effects& effects);
  // Of the instances of `service` that are called `instance`, or are there, or of the service as a
  // whole, if that is empty. So many there were.
  std::size_t HoldBreakers(const std::string& service, const std::string& instance,
                           traffic::Breaker::Held held, Effects& effects);
  // Does what it was time for: sends to a second instance, tries who was left alone, lets more
  // through.
  void Wake(Effects& effects);
  // When there is something to wake for. kNever: nothing.
  core::MonoTime next_wake() const {
    return wakes_.empty() ? core::kNever : wakes_.begin()->first.first;
  }

  // ---- Instances

  // A session that said Hello; or why not (kInvalidArgument, kFailedPrecondition,
  // kResourceExhausted).
  Status Attach(InstanceId id, const SessionHello& hello, const std::string& address,
                core::WallTime now, Effects& effects);
  // A service that is dialled, though nobody knows yet where. `why`: for people.
  void Declare(const std::string& service, const std::string& why);
  // A target of a service that is dialled. It is connecting.
  void AddDialled(InstanceId id, const std::string& service, const Endpoint& endpoint,
                  std::size_t max_in_flight, Effects& effects);
  // By what a target is known has changed.
  void SetSource(InstanceId id, const std::string& source);
  // `why`: for people, why it is down. What has changed, if anything has.
  std::optional<ReachChange> SetReach(InstanceId id, Reach reach, const std::string& why,
                                      core::WallTime now, Effects& effects);
  // A target is named no more: no new commands, and it goes when what is out has ended. How it
  // stood, if it was there.
  std::optional<ReachChange> Retire(InstanceId id, Effects& effects);
  // Said goodbye: no new commands; what is out may still be answered.
  void Drain(InstanceId id, Effects& effects);
  // Gone: what is out is unknown; what was not taken goes to another instance, or was not sent.
  void Detach(InstanceId id, Effects& effects);

  // ---- Commands

  void Send(std::vector<Command> commands, Effects& effects);
  // What to write or call now: at most `max_count` and `max_bytes` (one alone may be larger). Also
  // says that what was taken before by this session has been written.
  std::vector<Outgoing> Take(InstanceId id, std::size_t max_count, std::size_t max_bytes,
                             Effects& effects);
  // A command that was taken and not handed on: nothing of it left.
  void Return(InstanceId id, Outgoing outgoing, Effects& effects);
  // Checked against what is out.
  void OnReplies(InstanceId id, std::vector<SessionReply> replies, Effects& effects);
  // The call of a command is over. Without an answer before, what became of it is unknown, and it
  // is not asked again before `retry_after`.
  void End(InstanceId id, std::uint64_t command_id, const std::string& why, Effects& effects,
           core::Millis retry_after = core::Millis(0));
  // Settles at most `max_count` of what has expired. True: there is more.
  bool Expire(std::size_t max_count, Effects& effects);

  // ---- Looking

  std::vector<ServiceInfo> List(const std::string& prefix) const;
  const DispatcherCounters& counters() const { return counters_; }
  // By name; linear in services and instances.
  std::vector<ServiceFigures> Figures() const;
  std::size_t session_count() const { return sessions_; }
  std::size_t held_bytes() const { return held_bytes_; }

 private:
  struct Service;
  struct Instance;
  struct Lane;
  struct Variant;
  struct Entry;
  using Entries = std::list<Entry>;
  // Finds what waits for a branch.
  struct Branch {
    explicit Branch(const Command& command)
        : gid(command.gid),
          branch(command.branch),
          hash(std::hash<std::string_view>()(gid) * 31 + branch) {}
    explicit Branch(const Entry& entry);

    std::string_view gid;
    core::BranchIndex branch;
    std::size_t hash;
  };
  struct ByBranch {
    using is_transparent = void;
    static Branch Of(const Entry* entry) { return Branch(*entry); }
    static const Branch& Of(const Branch& branch) { return branch; }
    template <typename A>
    std::size_t operator()(const A& a) const {
      return Of(a).hash;
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Of(a).branch == Of(b).branch && Of(a).gid == Of(b).gid;
    }
  };

  // Those whose senders give up at one moment, in the order in which they came.
  struct Due {
    Entry* first = nullptr;
    Entry* last = nullptr;
  };

  // dispatcher.cc: commands
  void One(Command& command, Effects& effects);
  bool Supersede(const Lane& lane, const Branch& branch, Command& command, Effects& effects);
  // Nothing that keeps it from leaving at once is the service's.
  static bool Admits(const Service& service);
  Instance* Pick(const Lane& lane, std::uint64_t key);
  // The entry at `at` in `from` waits: gives it to an instance with room, or to its lane.
  void Place(Entries& from, Entries::iterator at, bool front, Effects& effects);
  void Assign(Instance& instance, Entries& from, Entries::iterator at, Effects& effects);
  // A command that waits from now on, of which this is known: alone in a list, for a place.
  Entries Accept(Entry known);
  // One that is out waits again, as it left: alone in a list, for a place.
  Entries TakeBack(Entries::iterator at, Command command, traffic::CallEnd end);
  // The lane's oldest command.
  void AssignHead(Lane& lane, Instance& instance, Effects& effects);
  // Takes from the lanes what this instance has room for.
  void Fill(Instance& instance, Effects& effects);
  // Something of it has ended: there is room for more, or it was the last.
  void Settle(Instance& instance, Effects& effects);
  static void SetHead(Lane& lane, std::uint64_t old_head);
  void SetDue(Entry& entry, core::MonoTime expires_at);
  void NotDue(Entry& entry);
  // Forgets it, wherever it is. `end`: of what had left.
  void Erase(Entries::iterator at, traffic::CallEnd end = traffic::CallEnd::kNeutral);
  void Release(Service& service, std::size_t bytes);
  static Reply Lost(const Entry& entry);
  void Answer(Entries::iterator at, SessionReply& reply, Effects& effects);
  bool ExpireSome(std::size_t max_count, Effects& effects);
  // It had left, and this came of it.
  static void Count(const Entry& entry, core::AttemptResult result);
  // Its time is over before it was taken.
  void GiveUp(Entries::iterator at, Effects& effects);
  void GiveBack(Lane& lane, Effects& effects);

  // dispatcher_instances.cc: instances
  Status CheckRoom(const SessionHello& hello, const Service* service) const;
  ServiceFigures& FiguresOf(const std::string& service);
  Variant& VariantOf(Service& service, std::vector<std::pair<std::string, core::Protocol>> actions);
  void RemoveVariant(Variant& variant);
  static Visitor VisitorOf(const Instance& instance);
  Instance& Add(InstanceId id, Service& service, Variant& variant, std::size_t max_in_flight);
  void Refresh(Instance& instance);
  void Begin(Instance& instance);
  // It can be waited for from now on.
  static void Gain(Instance& instance, Effects& effects);
  // It gets nothing new, and nobody waits for it if `lost`: what is set aside for it goes
  // elsewhere.
  void Withdraw(Instance& instance, bool lost, Effects& effects);
  static Lane* LaneOf(Service& service, const Command& command);
  Reply Absent(const Service* service, const Command& command) const;

  // dispatcher_traffic.cc: policies
  // What came of one copy of a command: passed on, unless another copy may say more, or has said
  // it.
  void Conclude(Entry& entry, Reply reply, Effects& effects);
  // Asks another instance, which has room, in the place of the one that said "not now".
  bool AskNext(Entries::iterator at, const SessionReply& reply, Effects& effects);
  // Sends what has had no answer for long to a second instance too.
  void Hedge(Service& service, Effects& effects);
  // Not the one that it is with.
  Instance* PickOther(const Entry& entry);
  void KeepCopy(Entry& entry);
  Service& ServiceOf(const std::string& name);
  void Treat(Service& service);
  void MakeChoosers(Variant& variant);
  // It joins those of its variant.
  void Join(Instance& instance);
  bool MayRetry(Service& service);
  static std::string OverBudget(const Service& service);
  // What of its breakers people have to know when something waited in vain.
  static std::string Held(const Service& service);
  static std::uint64_t KeyOf(const traffic::Policy& policy, const Command& command);
  // It is given to an instance, and is with it no more.
  void Leave(Entry& entry);
  void Left(Entry& entry, traffic::CallEnd end);
  // Breakers have changed: what waits for one that is open goes elsewhere, or may go on.
  void React(Effects& effects);
  // Gives what waits to whoever has room.
  void Pump(Service& service, Effects& effects);
  void WakeService(Service& service, Effects& effects);
  void Plan(Service& service, core::MonoTime at);
  const traffic::Policy& PolicyOf(const std::string& service) const;
  static Reply NoSuchAction(const Service& service, bool known, const Command& command);

  const DispatcherLimits limits_;
  DispatcherCounters counters_;
  core::MonoTime now_{};
  std::shared_ptr<const traffic::Policies> policies_;
  std::uint64_t random_ = 0;
  // By name where they wake at the same time: the same events have the same effects.
  std::map<std::pair<core::MonoTime, std::string_view>, Service*> wakes_;
  // Whose breakers have changed since they were last looked at.
  std::vector<InstanceId> changed_;
  std::vector<Service*> changed_services_;
  std::map<std::string, ServiceFigures> figures_;  // they stay when their services go
  std::uint64_t next_command_id_ = 1;
  std::uint64_t next_use_ = 1;
  std::size_t sessions_ = 0;
  std::size_t held_bytes_ = 0;
  std::size_t actions_bytes_ = 0;
  std::map<std::string, Service> services_;
  std::unordered_map<InstanceId, std::unique_ptr<Instance>> instances_;
  absl::flat_hash_map<std::uint64_t, Entries::iterator> entries_;  // by command id
  // What waits, and what is out on sessions; by when its sender gives up on it.
  std::map<core::MonoTime, Due> due_;
  // What waits: one for each branch.
  absl::flat_hash_set<Entry*, ByBranch, ByBranch> waiting_;
};

}  // namespace assent::transport
