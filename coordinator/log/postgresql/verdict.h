#pragma once

// What an error of the server means for the transaction in which it came: the server's codes come
// down to few words, and each of them to one thing to do.

#include <cstdint>
#include <string>
#include <string_view>

namespace assent::log {

enum class Verdict : std::uint8_t {
  kDone,
  // What an earlier statement of the same message met kept this one from being looked at.
  kSkipped,
  // A condition that our statement names does not hold: it divides by zero (22012). Nothing was
  // done.
  kCondition,
  kDuplicate,  // 23505. Nothing was done
  kAgain,      // 40001, 40P01: certainly rolled back, and the same may work now
  kLocked,     // 55P03: somebody held what we waited for. Nothing was done
  kNoSpace,    // 53xxx, 54xxx: certainly rolled back, if it was not COMMIT that said so
  kRefused,    // rights, a table that is not there, a mistake of ours. Nothing was done
  // It may have been done: the connection is gone, the server ends or has become a standby; or it
  // was done with a warning, and so perhaps not everywhere where it had to be.
  kUnknown,
};

// What libpq says, on one line that stands within quotes: "ERROR: relation 'log' does not exist".
// Without the place in our statement that it points at.
std::string OneLine(std::string_view words);

// Of an SQLSTATE; empty: the server did not give one, for it is gone.
Verdict VerdictOf(std::string_view sqlstate);

}  // namespace assent::log
