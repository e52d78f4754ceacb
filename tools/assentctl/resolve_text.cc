#include "tools/assentctl/resolve_text.h"

#include "tools/assentctl/branch_view.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

struct Meaning {
  const char* happened;  // what is declared
  const char* if_not;    // what the person has to see to, should it not be so
};

Meaning MeaningOf(v1::Protocol protocol, bool commit) {
  if (protocol == v1::TWO_PHASE) {
    return commit ? Meaning{"has committed what it prepared",
                            "commit it there by hand, or it stays prepared and keeps its locks"}
                  : Meaning{"has rolled back what it prepared",
                            "roll it back there by hand, or it stays prepared and keeps its locks"};
  }
  if (protocol == v1::TCC) {
    return commit ? Meaning{"has confirmed (consumed) what it reserved",
                            "confirm it there by hand, or it stays reserved"}
                  : Meaning{"has cancelled (released) what it reserved",
                            "cancel it there by hand, or it stays reserved"};
  }
  if (protocol == v1::SAGA) {
    return commit ? Meaning{"keeps the effect of this step",
                            "run the step there by hand, or its effect is missing"}
                  : Meaning{"has undone the effect of this step",
                            "undo it there by hand, or the effect stays"};
  }
  // A newer daemon's protocol.
  return commit ? Meaning{"has carried its part out", "carry it out there by hand"}
                : Meaning{"has undone its part", "undo it there by hand"};
}

// Of one that is held.
bool DecidesAll(const v1::Transaction& transaction) { return transaction.held(); }

}  // namespace

std::string ResolveMeaning(const v1::Transaction& transaction, const v1::Branch& branch,
                           v1::Decision resolution) {
  const bool commit = resolution == v1::DECISION_COMMIT;
  const Meaning meaning = MeaningOf(branch.spec().protocol(), commit);
  std::string text = "Transaction " + Visible(transaction.gid()) + ", " +
                     Visible(BranchName(branch)) + " (" + Word(branch.spec().protocol()) + ", " +
                     Word(branch.state()) + "):\n";
  text += "  you declare that " + Visible(branch.spec().service()) + " " + meaning.happened + ".\n";
  if (DecidesAll(transaction)) {
    return text +
           "  The log may lack the decision: this says what it was. Every branch is asked to " +
           (branch.spec().pivot() ? "follow; this one is taken at its word.\n"
                                  : "follow, also this one.\n");
  }
  text += "  Nothing more is sent to it for this branch. If it is not so: ";
  text += std::string(meaning.if_not) + ".\n";
  if (!branch.last_error().empty()) {
    text += "  Its last error: " + Visible(branch.last_error()) + "\n";
  }
  const bool decided = transaction.decision() != v1::DECISION_UNSPECIFIED;
  if (decided && transaction.decision() != resolution) {
    text += "  The decision is " + Word(transaction.decision()) +
            ": this contradicts it, and the outcome becomes MIXED.\n";
  } else if (!decided) {
    text +=
        "  Nothing is decided yet; the coordinator takes this only while a branch is being "
        "committed or undone.\n";
  }
  return text;
}

std::string ResolveMeaning(const ManyBranches& branches, v1::Decision resolution) {
  const bool commit = resolution == v1::DECISION_COMMIT;
  std::string text;
  for (const auto& [protocol, count] : branches.counts) {
    const Meaning meaning = MeaningOf(protocol, commit);
    text += "Of " + Grouped(count) + " " + Word(protocol) + (count == 1 ? " branch" : " branches") +
            " you declare that " + Visible(branches.service) + " " + meaning.happened +
            ".\n  If it is not so: " + meaning.if_not + ".\n";
  }
  if (!text.empty()) text += "  Nothing more is sent to it for them.\n";
  if (branches.contradicting > 0) {
    text += "  " + Grouped(branches.contradicting) + " of them " +
            (branches.contradicting == 1 ? "is" : "are") + " decided " +
            (commit ? "ABORT" : "COMMIT") +
            ": this contradicts it, and the outcome becomes MIXED.\n";
  }
  return text;
}

}  // namespace assent::ctl
