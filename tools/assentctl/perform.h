#pragma once

// Doing something to transactions: consent first, then each in turn, then a report.

#include <functional>
#include <string>
#include <vector>

#include "tools/assentctl/session.h"

namespace assent::ctl {

struct Deed {
  std::string gid;
  // The request, to be tried (dry run) or done.
  std::function<OperatorRequest(bool dry_run)> request;
};

struct Deeds {
  std::string verb;  // "abort"
  std::vector<Deed> deeds;
  // Said before the question; may be empty.
  std::string warning;
  // Cannot be taken back: asked about on a terminal, refused elsewhere without --yes.
  bool needs_consent = false;
  // The gids came from stdin, so nobody can answer there.
  bool stdin_taken = false;
};

// Carries them out. One: its own exit code. Several: 0 or 7. Not connected: 3 at once, nothing
// done.
Exit Perform(const Deeds& deeds, const Intent& intent, Session& session);

// Asks at the terminal whether to go on, after `warning`, which tells what would happen. kDone:
// yes. Without a terminal it is refused.
Exit AskConsent(const std::string& verb, const std::function<Status()>& warning, bool can_ask,
                Session& session);

// What stays in the record wants a reason: from the flag, or from the person at the terminal.
// `wanted` says what to write.
Status AskReason(const std::string& verb, const std::string& wanted, Intent& intent,
                 Session& session);

// "retry".
const char* Name(Verb verb);
OperatorRequest MakeRequest(Verb verb, const v1::OperatorAction& action);

// The part of a request that says who and why.
v1::OperatorAction MakeAction(const std::string& gid, const Intent& intent, bool dry_run,
                              const Session& session);

}  // namespace assent::ctl
