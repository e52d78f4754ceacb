// resolve --all: the branches of one service, wherever somebody waits for it in vain.

#include <string>
#include <utility>
#include <vector>

#include "tools/assentctl/batch.h"
#include "tools/assentctl/cause_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/resolve_text.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

// Whose branches are meant.
struct Whose {
  std::string service;
  std::string action{};  // empty: any
};

// A cause is of a service, or of none. Nothing matches: no service.
Result<Whose> FindWhose(const v1::ListRequest& which, Session& session) {
  if (!which.service().empty()) return Whose{which.service()};
  const auto found =
      session.service.ListCauses(CausesRequestOf(which), session.options.call_timeout);
  if (!found.ok()) return found.status();
  Whose whose;
  for (const v1::Cause& cause : found->causes()) {
    if (cause.service().empty()) {
      return InvalidArgument("cause " + which.cause() + " (" + cause.sentence() +
                             ") is of no service: say with --service whose branches are meant");
    }
    // Of a service as a whole there may be several.
    whose.action = whose.service.empty() ? cause.action() : whose.action;
    if (whose.action != cause.action()) whose.action.clear();
    whose.service = cause.service();
  }
  return whose;
}

// As the coordinator has it: only what is being committed or undone, or decides by what it did.
bool CanBeResolved(const v1::Transaction& transaction, const v1::Branch& branch) {
  if (branch.state() == v1::FINISHING || branch.state() == v1::UNDOING) return true;
  if (branch.state() != v1::EXECUTING) return false;
  const bool one_phase =
      transaction.branches_size() == 1 && branch.spec().protocol() == v1::TWO_PHASE;
  return transaction.state() == v1::COMMITTING || branch.spec().pivot() || one_phase;
}

class Chooser {
 public:
  Chooser(Whose whose, v1::Decision resolution)
      : whose_(std::move(whose)), resolution_(resolution) {
    chosen_.service = whose_.service;
  }

  std::vector<Target> Choose(const v1::Transaction& transaction) {
    if (transaction.state() == v1::FINISHED) return {};
    std::vector<Target> targets;
    bool unfinished = false;
    for (const v1::Branch& branch : transaction.branches()) {
      const v1::BranchSpec& spec = branch.spec();
      const bool other = !whose_.action.empty() && spec.action() != whose_.action;
      if (spec.service() != whose_.service || other || IsFinal(branch.state())) continue;
      unfinished = true;
      if (transaction.held() || !CanBeResolved(transaction, branch)) continue;
      targets.push_back({transaction.gid(), spec.branch_id()});
      ++chosen_.counts[spec.protocol()];
      const v1::Decision decision = transaction.decision();
      if (decision != v1::DECISION_UNSPECIFIED && decision != resolution_) ++chosen_.contradicting;
    }
    if (transaction.held() && unfinished) {
      ++held_;
    } else if (unfinished && targets.empty()) {
      ++undecided_;
    }
    return targets;
  }

  std::string LeftOut() const {
    std::string text;
    if (undecided_ > 0) {
      text += Grouped(undecided_) + (undecided_ == 1 ? " more is" : " more are") +
              " not decided, and left out: abort first (assentctl abort --all)\n";
    }
    if (held_ > 0) {
      text += Grouped(held_) + (held_ == 1 ? " more is" : " more are") +
              " held, and left out: there it would say how the whole was decided (assentctl "
              "resolve GID)\n";
    }
    return text;
  }

  std::string Meaning() const { return ResolveMeaning(chosen_, resolution_); }

 private:
  const Whose whose_;
  const v1::Decision resolution_;
  ManyBranches chosen_;
  std::uint64_t undecided_ = 0;
  std::uint64_t held_ = 0;
};

}  // namespace

Exit RunResolveAll(const ResolveCommand& command, Session& session) {
  const Result<Whose> whose = FindWhose(command.which, session);
  if (!whose.ok()) return session.Fail(whose.status());
  Chooser chooser(*whose, command.resolution);
  Batch batch;
  batch.verb = "resolve";
  batch.which = command.which;
  batch.intent = command.intent;
  batch.choose = [&](const v1::Transaction& one) { return chooser.Choose(one); };
  batch.request = [&](const Target& target, const v1::OperatorAction& action) -> OperatorRequest {
    v1::ResolveBranchRequest request;
    *request.mutable_action() = action;
    request.set_branch_id(target.branch_id);
    request.set_resolution(command.resolution);
    return request;
  };
  batch.left_out = [&] { return chooser.LeftOut(); };
  batch.meaning = [&] { return chooser.Meaning(); };
  batch.wanted_reason = kSeenThere;
  return RunBatch(batch, session);
}

}  // namespace assent::ctl
