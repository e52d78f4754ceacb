#pragma once

// Those who ask things of the coordinator: initiators with one transaction each, and operators.
// Every answer they get is held against what is durable at that instant.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/engine/requests.h"
#include "tools/assent-sim/coordinator.h"
#include "tools/assent-sim/ledger.h"

namespace assent::sim {

class People {
 public:
  People(Sim& sim, Ledger& ledger, std::vector<Coordinator*> coordinators)
      : sim_(sim), ledger_(ledger), coordinators_(std::move(coordinators)) {}

  // Schedules the first act of every initiator.
  void Open();
  void OnInitiator(std::size_t txn);
  void OnPatienceEnds(std::size_t txn, std::uint64_t call);
  // Its own local transaction has committed, or was rolled back.
  void OnLocalEnd(std::size_t txn, bool committed);
  // One random act of an operator.
  void Operate();
  // Operators let go of what they hold.
  void ReleaseHolds();
  // Asks after every transaction once more: what is shown must be what is so.
  void AskAll();
  bool Done(std::size_t txn) const { return initiators_[txn].done; }

 private:
  struct Initiator {
    std::size_t step = 0;
    std::uint64_t call = 0;         // the last one made
    std::uint64_t outstanding = 0;  // 0: none
    std::uint64_t asked_life = 0;
    std::uint32_t tries = 0;
    bool repeated = false;
    bool unsure = false;  // something it asked for may have been done
    bool done = false;
  };

  // One that takes requests; nullptr: none does.
  Coordinator* Any();
  void Post(const std::string& gid, engine::Request request);
  void Submit(std::size_t txn, bool changed);
  void Step(std::size_t txn);
  void OnAnswer(std::size_t txn, std::uint64_t call, const Status& status,
                const core::Transaction* shown);
  void OnStepAnswer(std::size_t txn, const Status& status, const core::Transaction* shown);
  void Again(std::size_t txn);
  void Told(std::size_t txn, const Status& status, const core::Transaction* shown, const char* who);
  engine::ViewCallback Listener(std::size_t txn, std::uint64_t call);
  engine::ViewCallback Watcher(std::size_t txn, const char* who);
  void Act(std::size_t txn, engine::OperatorVerb verb);
  void ResolveSomething(std::size_t txn);
  void SettleHeld(std::size_t txn);
  void AskForForgotten(std::size_t t, std::uint64_t serial);
  void Forget(std::size_t txn);
  void Watch(std::size_t txn);
  bool AnyStale(const std::string& gid) const;

  Sim& sim_;
  Ledger& ledger_;
  const std::vector<Coordinator*> coordinators_;
  std::vector<Initiator> initiators_;
  std::vector<bool> held_;
};

}  // namespace assent::sim
