#pragma once

// What an error of the server, or of its library, means for the local transaction in which it came:
// their numbers come down to few words, and each of them to one thing to do. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::mariadb::internal {

enum class Failure : std::uint8_t {
  kNone,
  kSkipped,     // an earlier statement of the same message has failed: it was not looked at
  kConstraint,  // 23xxx, 45000 (a trigger signals), a number out of range: the database says no
  kAgain,       // 1213, 1020 …: the whole transaction is undone, and the same may work now
  kLocked,      // 1205: somebody held what we waited for. The statement alone is undone
  kCancelled,   // 1969, 1317: max_statement_time, or somebody ended the statement
  kMistake,     // rights, a table that is not there, a value that does not fit
  kLost,        // the connection is gone, or the server ends: what was under way may have been done
};

// Of an XA id that is none (XAER_NOTA), or whose session has not ended.
inline constexpr unsigned kNoSuchXa = 1397;

// Of a number and an SQLSTATE; 0: there is none, for the connection is gone.
Failure FailureOf(unsigned number, std::string_view sqlstate);

// kFailedPrecondition: a constraint said no; kInternal: a mistake; else kUnavailable.
Status StatusOf(Failure failure, std::string message);

}  // namespace assent::mariadb::internal
