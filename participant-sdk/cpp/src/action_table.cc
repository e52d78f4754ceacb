#include "participant-sdk/cpp/src/action_table.h"

#include <cstddef>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/text.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent::internal {
namespace {

std::string Shown(Protocol protocol, const std::string& action) {
  return std::string(ProtocolName(protocol)) + ":" + CleanText(action, limits::kMaxActionNameBytes);
}

// Nobody here can tell that nothing has happened: another instance, or another version of this
// service, may have executed it, and its answer been lost. (An action that nobody offers the
// coordinator refuses by itself.)
Reply Unknown(const Call& call) {
  return Reply::RetryLater("no action " + Shown(call.protocol, call.action) +
                           " is registered here");
}

}  // namespace

void ActionTable::Mistake(const std::string& text) {
  if (status_.ok()) status_ = InvalidArgument(text);
}

void ActionTable::Insert(Protocol protocol, std::string action, Entry entry) {
  const Status name = CheckName("action", action, kActionRule);
  if (!name.ok()) return Mistake(name.message());
  if (entries_.size() >= limits::kMaxActionsPerParticipantCount) {
    return Mistake("more than " + std::to_string(limits::kMaxActionsPerParticipantCount) +
                   " actions are registered");
  }
  const std::string shown = Shown(protocol, action);
  if (!entries_.emplace(Key(protocol, std::move(action)), std::move(entry)).second) {
    Mistake("action " + shown + " is registered twice");
  }
}

void ActionTable::Add(Protocol protocol, std::string action, Handler forward, Handler finish,
                      Handler undo) {
  const std::string shown = Shown(protocol, action);
  switch (protocol) {
    case Protocol::kTwoPhase:
      if (!forward || !finish || !undo)
        Mistake(shown + " needs all of prepare, commit and rollback");
      break;
    case Protocol::kTcc:
      if (!forward || !finish || !undo) Mistake(shown + " needs all of try_, confirm and cancel");
      break;
    case Protocol::kSaga:
      if (!forward) Mistake(shown + " needs an action");
      break;
  }
  Insert(protocol, std::move(action),
         {nullptr, std::move(forward), std::move(finish), std::move(undo)});
}

void ActionTable::Attach(Resource& resource) {
  resources_.push_back(&resource);
  if (status_.ok()) status_ = resource.Registration();
  for (const OfferedAction& offered : resource.Actions()) {
    Insert(offered.protocol, offered.name, {&resource, {}, {}, {}});
  }
}

bool ActionTable::IsPlain(const Call& call) const {
  const auto entry = entries_.find(Key(call.protocol, call.action));
  return entry != entries_.end() && entry->second.resource == nullptr;
}

std::vector<OfferedAction> ActionTable::Actions() const {
  std::vector<OfferedAction> actions;
  for (const auto& [key, entry] : entries_) actions.push_back({key.second, key.first});
  return actions;
}

// Death between the two leaves the branch prepared, and the coordinator asks again: to prepare,
// which is done, or to roll back, which is possible.
Reply ActionTable::RunOnePhase(const Entry& entry, const Call& call) {
  Call two_phase = call;
  two_phase.one_phase = false;
  Reply prepared = entry.forward(two_phase);
  if (prepared.kind != Reply::Kind::kDone) return prepared;
  two_phase.operation = Operation::kCommit;
  const Reply committed = entry.finish(two_phase);
  if (committed.kind == Reply::Kind::kDone) return prepared;
  return Reply::RetryLater("prepared, but not committed: " + committed.reason,
                           committed.retry_after);
}

Reply ActionTable::Run(const Entry& entry, const Call& call) {
  const Role role = RoleOf(call.operation);
  const Handler& handler = role == Role::kForward ? entry.forward
                           : role == Role::kUndo  ? entry.undo
                                                  : entry.finish;
  if (!handler) return Reply::Done();  // a Saga step with nothing to compensate
  try {
    if (call.operation == Operation::kPrepare && call.one_phase) return RunOnePhase(entry, call);
    return handler(call);
  } catch (const std::exception& failure) {
    return Reply::RetryLater(std::string("the handler threw: ") + failure.what());
  } catch (...) {
    return Reply::RetryLater("the handler threw something that is not a std::exception");
  }
}

void ActionTable::Execute(Call call, Responder respond) {
  const auto entry = entries_.find(Key(call.protocol, call.action));
  if (entry == entries_.end()) return respond(Unknown(call));
  if (entry->second.resource != nullptr)
    return entry->second.resource->Execute(std::move(call), std::move(respond));
  respond(Run(entry->second, call));
}

std::vector<HeldBranch> ActionTable::Questions(std::size_t limit) {
  if (resources_.size() == 1) return resources_.front()->Questions(limit);
  std::vector<HeldBranch> all;
  std::map<std::pair<std::string, std::string>, Resource*> askers;
  for (Resource* resource : resources_) {
    if (all.size() >= limit) break;
    for (HeldBranch& branch : resource->Questions(limit - all.size())) {
      askers.emplace(std::pair(branch.gid, branch.branch_id), resource);
      all.push_back(std::move(branch));
    }
  }
  const MutexLock lock(mutex_);
  askers_ = std::move(askers);
  return all;
}

void ActionTable::Answer(const HeldBranch& branch, Verdict verdict, bool finished) {
  if (resources_.size() == 1) return resources_.front()->Answer(branch, verdict, finished);
  Resource* asker = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto at = askers_.find(std::pair(branch.gid, branch.branch_id));
    if (at == askers_.end()) return;  // of an earlier round; it will be asked again
    asker = at->second;
  }
  asker->Answer(branch, verdict, finished);
}

}  // namespace assent::internal
