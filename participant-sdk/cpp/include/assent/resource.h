#pragma once

// What an adapter implements: something that executes branches against a database of its own and
// may hold prepared work whose outcome it must learn. Participant::Attach wires it to the
// coordinator.

#include <cstdint>
#include <string>
#include <vector>

#include <assent/call.h>
#include <assent/states.h>
#include <assent/status.h>

namespace assent {

// A branch that a resource holds and wants to know about.
struct HeldBranch {
  std::string gid;
  std::string branch_id;
  std::uint32_t coordinator_id = 0;
  std::uint64_t began_epoch = 0;
};

struct OfferedAction {
  std::string name;
  Protocol protocol = Protocol::kSaga;
};

// Thread-safety: every method may be called from any thread. No method may block for long; Execute
// answers through its responder.
class Resource {
 public:
  virtual ~Resource() = default;
  // The actions it serves. Read once, when attached.
  virtual std::vector<OfferedAction> Actions() const = 0;
  // What is wrong with what was registered; Participant::Start says it.
  virtual Status Registration() const { return OkStatus(); }
  // Executes one operation and answers once through `respond`.
  virtual void Execute(Call call, Responder respond) = 0;
  // Branches to ask the coordinator about: prepared and undecided for a while, and old barrier rows
  // that could be removed. Asked on every (re)connection and periodically. At most `limit`.
  virtual std::vector<HeldBranch> Questions(std::size_t limit) = 0;
  // The coordinator's answer to one of them. `finished`: no command for this gid will ever be sent
  // again.
  virtual void Answer(const HeldBranch& branch, Verdict verdict, bool finished) = 0;
};

}  // namespace assent
