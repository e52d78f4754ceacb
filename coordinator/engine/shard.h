#pragma once

// A shard owns transactions and moves them on: it drains what has come in, applies it to the state
// machines, hands all records of the turn to the log as one batch, and performs each effect when
// the log says that what justifies it is durable. It is single-threaded and has no clock, no thread
// and no socket of its own (ShardPorts), so that the simulator runs it unchanged.
//
// The turn binds the parts, each of which can be read alone: Live (one transaction), Writes (what
// the log has to take), Audience (who may be told), History (what only the log knows), Waiting
// (whose participant is away), Census (figures and lists), Teller (events), Holding (a slot).
//
// Invariant: there are two ways for an effect out of a shard, and both are in Writes.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/random.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/census.h"
#include "coordinator/engine/history.h"
#include "coordinator/engine/holding.h"
#include "coordinator/engine/ports.h"
#include "coordinator/engine/requests.h"
#include "coordinator/engine/spans.h"
#include "coordinator/engine/teller.h"
#include "coordinator/engine/waiting.h"
#include "coordinator/engine/writes.h"

namespace assent::engine {

class Shard {
 public:
  Shard(ShardOptions options, ShardPorts& ports);
  ~Shard();

  // The log has been joined; slots come by TakeUpRequest.
  void Start(const log::Joined& joined);

  // One turn: any number of Handle, then EndTurn.
  void Handle(Request&& request, core::MonoTime mono, core::WallTime wall);
  void EndTurn(core::MonoTime mono, core::WallTime wall);

  // When EndTurn is next of use without anything having come in.
  core::MonoTime Wakeup() const;
  std::size_t live_count() const;
  // From any thread.
  ShardStats Stats() const;

 private:
  void On(BeginRequest&& request);
  void On(ExecuteRequest&& request);
  void On(CloseRequest&& request);
  void On(OperatorRequest&& request);
  void On(GetRequest&& request);
  void On(WaitRequest&& request);
  void On(WatchRequest&& request);
  void On(ForgetRequest&& request);
  void On(SliceRequest&& request);
  void On(RepliesRequest&& request);
  void On(GiveWayRequest&& request);
  void On(ServiceAppearedRequest&& request);
  void On(QuestionRequest&& request);
  void On(AppendedRequest&& request);
  void On(FoundRequest&& request);
  void On(TakeUpRequest&& request);
  void On(RaiseRequest&& request);
  void On(GiveUpRequest&& request);

  // ---- Slots, and who is in them (shard_slots.cc).
  // nullptr: it is another coordinator's.
  Holding* HoldingOf(std::string_view gid);
  // Takes it up, if it has only been adopted. nullptr: it is not here.
  Live* FindLive(std::string_view gid);
  Live* FindLive(Holding& holding, std::string_view gid);
  Live& AddLive(Holding& holding, core::Transaction txn, std::uint64_t serial);
  void Remove(Live& live);
  // nullptr: the row makes no sense, and was set aside.
  Live* TakeUp(Holding& holding, Adopted::Row& row);
  // Its row is no concern of holding.adopted any more.
  void Take(Holding& holding, Adopted::Row& row);
  // One row that cannot be carried on stays in the log as it is, is named to whoever asks for it,
  // and stops nobody else.
  void SetAside(Holding& holding, std::uint64_t serial, std::string_view gid,
                const std::string& why);
  void RecoverSome();
  bool MayRecoverSome() const { return !recovering_.empty() && !writes_.behind(); }
  // Moves on those slots that are given up.
  void PartSome();
  core::MonoTime NextParting() const;
  void Close(Holding& holding);
  std::size_t ForsakeSome(Holding& holding, std::size_t most);
  void Forsake(Live& live);

  // ---- Steps (shard.cc).
  core::Now Now() const { return {mono_, wall_, 0}; }
  // Applies an event and files what comes of it. The status is the step's.
  Status Apply(Live& live, const core::Event& event);
  void Release(Live& live, const std::vector<core::Effect>& effects);
  void Perform(Live& live, const core::Send& send);
  void Perform(Live& live, const core::Announce& announce);
  void MarkChanged(Live& live);
  void Count(Live& live);
  void TellWritten(const Live& live, core::MonoTime handed_over) const;
  void Alert(Live& live);
  void FireTimers();
  void WakeSome();
  void BeginRefused(Live& live, const Status& status);
  // `transactions` is 1 of one that comes to be here.
  void Attach(Live& live, std::size_t bytes, std::size_t transactions = 0);
  Status CheckRoom(std::size_t bytes) const;
  // Whether the initiator may have so much more.
  Status CheckAllowance(const Initiators::Name& initiator, const Allowance& allowance,
                        std::size_t transactions, std::size_t bytes) const;

  // ---- Requests (shard_requests.cc).
  // False: `request` has been answered, or waits until it is known whose its gid is. `live` is
  // nullptr for what only the log knows.
  template <typename R>
  bool Admit(R& request, const std::string& gid, Live*& live);
  Status MayBegin(const Holding* holding, const BeginRequest& request) const;
  void AddWaiter(Live& live, Waiter waiter) {
    live.audience.Add(std::move(waiter), live.txn, Now());
  }
  void Look(Lookup lookup);
  static Status Elsewhere(const std::string& gid);
  void Refuse(Request& request, const Status& status) const;
  // The branch waits for rows that `holder` has prepared, says its participant.
  void AskToGiveWay(const Live& live, core::BranchIndex branch, std::string holder);

  const ShardOptions options_;
  ShardPorts& ports_;
  std::uint64_t epoch_ = 0;
  Slot slots_count_ = 1;
  core::MonoTime mono_{};
  core::WallTime wall_{};
  SplitMix64 random_;
  bool dead_ = false;  // Fatal was called

  std::vector<std::unique_ptr<Holding>> holdings_;  // by slot
  std::vector<Holding*> recovering_;                // those with rows that have not been taken up
  std::vector<Holding*> parting_;
  std::size_t live_bytes_ = 0;
  TimerQueue timers_;
  Writes writes_;
  History history_;
  Waiting waiting_;
  Census census_;
  const Spans spans_;
  const Teller teller_;
  absl::btree_map<std::uint64_t, Live*> changed_;  // those who are watched, by serial
  std::vector<transport::Command> outgoing_;
  std::size_t sent_count_ = 0;  // in the last turn that sent
};

}  // namespace assent::engine
