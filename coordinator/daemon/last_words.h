#pragma once

// Ends that nobody waits for: the reason goes to the log, and the process goes at once, with the
// exit code that says which it was (docs/operating.md).

#include <string>

#include <assent/status.h>

namespace assent::daemon {

// An append that may or may not have happened, or a row that makes no sense: nobody may be told
// anything any more, not even goodbye. The next start learns what is true of the first; the second
// stays as it is, and no supervisor shall try again.
[[noreturn]] void DieOfLog(const Status& status);
// Others have its slots, or what was acknowledged is gone: likewise.
[[noreturn]] void DieFenced(const Status& status);
[[noreturn]] void DieRegressed(const Status& status);
// Nobody can reach us, and we cannot change it. What we hold is in the log: another process does
// better.
[[noreturn]] void DieUnreachable(const std::string& address);

}  // namespace assent::daemon
