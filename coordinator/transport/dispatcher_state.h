#pragma once

// What the dispatcher keeps. Only its own sources include this.

#include <algorithm>
#include <array>
#include <deque>

#include "coordinator/traffic/chooser.h"
#include "coordinator/traffic/limit.h"
#include "coordinator/traffic/tokens.h"
#include "coordinator/transport/dispatcher.h"

namespace assent::transport {

// One command.
struct Dispatcher::Entry {
  enum class State : std::uint8_t { kQueued, kOutbox, kOut };

  Command command;  // once it is out: only what names it
  std::uint64_t id = 0;
  std::size_t hash = 0;  // of its branch
  core::MonoTime expires_at{};
  std::size_t bytes = 0;
  State state = State::kQueued;
  bool held = true;  // its bytes are counted
  bool due = false;  // it is in due_, between these
  Entry* due_before = nullptr;
  Entry* due_after = nullptr;
  Service* service = nullptr;
  Lane* lane = nullptr;
  Instance* instance = nullptr;  // null: queued

  std::uint64_t key = 0;  // of a service whose policy hashes
  core::MonoTime left_at{};
  traffic::Breaker::Ticket ticket = 0;  // of its instance, and of its service
  traffic::Breaker::Ticket service_ticket = 0;
  // As it left, where its policy may send it once more.
  std::unique_ptr<Command> copy{};
  Entry* twin = nullptr;    // the other copy of a hedged command
  bool silent = false;      // the other copy has said what there is to say
  bool maybe_sent = false;  // by another copy, or to another instance
  std::uint8_t asked = 0;   // instances before this one
};

// The commands of one action that wait because no instance which offers it has room. A service that
// is dialled has one, for whatever is asked.
struct Dispatcher::Lane {
  Entries queue;
  std::vector<Variant*> variants;  // that offer it

  bool waitable() const;
};

// The instances of a service that offer the same actions.
struct Dispatcher::Variant {
  Service* service = nullptr;
  std::vector<std::pair<std::string, core::Protocol>> actions;  // sorted
  std::vector<Lane*> lanes;
  std::size_t action_bytes = 0;
  std::size_t instances = 0;
  std::size_t waitable = 0;
  // Those that are near, the others, and those that weigh nothing.
  static constexpr std::size_t kTiersCount = 3;
  std::array<std::unique_ptr<traffic::Chooser>, kTiersCount> choosers;
  // Its lanes in which something waits, by the oldest command.
  std::set<std::pair<std::uint64_t, Lane*>> ready;
};

struct Dispatcher::Instance {
  InstanceId id = 0;
  Service* service = nullptr;
  Variant* variant = nullptr;
  std::string name;
  std::string agent;
  std::string address;
  std::string source;
  core::WallTime connected_at{};
  bool session = true;
  bool draining = false;
  bool retired = false;  // and goes with the last that is out
  bool gone = false;
  Reach reach = Reach::kReady;
  Entries outbox;
  Entries out;
  std::size_t outbox_bytes = 0;
  std::size_t writing_bytes = 0;  // of a session: taken, and not known to be written
  traffic::Candidate candidate;
  std::size_t tier = 0;
  traffic::Breaker breaker;
  traffic::Limit limit{{}, 0};
  core::Micros latency{0};  // smoothed, of what was answered

  std::size_t in_flight() const { return outbox.size() + out.size(); }
  bool waitable() const { return !draining && !gone && reach != Reach::kDown; }
  traffic::Chooser& chooser() const { return *variant->choosers.at(tier); }
};

struct Dispatcher::Service {
  struct ByAction {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const int order = std::string_view(a.first).compare(b.first);
      return order != 0 ? order < 0 : a.second < b.second;
    }
  };

  std::string name;
  bool dialled = false;
  bool declared = false;  // is there without instances too
  std::string why_down;   // in words: why its targets cannot be reached
  ServiceFigures* figures = nullptr;
  std::size_t waitable = 0;
  std::size_t queued = 0;
  std::size_t held_bytes = 0;
  traffic::Policy policy;
  traffic::Breaker breaker;
  std::optional<traffic::Tokens> rate;
  std::optional<traffic::Tokens> retries;
  // What has left and may be sent to a second instance: when, and its number.
  std::deque<std::pair<core::MonoTime, std::uint64_t>> hedges;
  core::MonoTime wakes_at = core::kNever;
  std::map<std::pair<std::string, core::Protocol>, Lane, ByAction> lanes;
  std::list<Variant> variants;
  std::map<InstanceId, Instance*> instances;
};

inline bool Dispatcher::Lane::waitable() const {
  return std::any_of(variants.begin(), variants.end(),
                     [](const Variant* v) { return v->waitable > 0; });
}

inline Dispatcher::Branch::Branch(const Entry& entry)
    : gid(entry.command.gid), branch(entry.command.branch), hash(entry.hash) {}

// What became of a command, by what is remembered of it.
inline Reply ReplyAbout(const Command& command, core::AttemptResult result, std::string reason) {
  Reply reply;
  reply.gid = command.gid;
  reply.branch = command.branch;
  reply.operation = command.operation;
  reply.attempt = command.attempt;
  reply.result = result;
  reply.reason = std::move(reason);
  return reply;
}
inline Reply NotSent(const Command& command, std::string why) {
  return ReplyAbout(command, core::AttemptResult::kNotSent, std::move(why));
}

}  // namespace assent::transport
