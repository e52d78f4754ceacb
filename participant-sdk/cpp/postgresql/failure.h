#pragma once

// What an error of the server means for the local transaction in which it came: the server's codes
// come down to few words, and each of them to one thing to do. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::postgresql::internal {

enum class Failure : std::uint8_t {
  kNone,
  // What an earlier statement of the same message met kept this one from being looked at.
  kSkipped,
  kConstraint,  // 23xxx, P0001 (a trigger that raises): the database says no
  kAgain,       // 40001, 40P01: the whole transaction is undone, and the same may work now
  kLocked,      // 55P03: somebody held what we waited for
  kCancelled,   // 57014: statement_timeout, or somebody ended the statement
  kMistake,     // rights, a table that is not there, a type that does not fit, no room
  kLost,        // the connection is gone, or the server ends: what was under way may have been done
};

// Of an SQLSTATE; empty: the server did not give one, for it is gone.
Failure FailureOf(std::string_view sqlstate);

// What libpq says, on one line.
std::string OneLine(std::string_view words);

// kFailedPrecondition: a constraint said no; kInternal: a mistake; else kUnavailable.
Status StatusOf(Failure failure, std::string message);

}  // namespace assent::postgresql::internal
