#include "participant-sdk/cpp/mariadb/failure.h"

#include <algorithm>
#include <array>
#include <utility>

namespace assent::mariadb::internal {
namespace {

template <std::size_t N>
bool IsIn(const std::array<unsigned, N>& numbers, unsigned number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// A deadlock, a row that has changed, a table of locks that is full, a table whose definition has
// changed, XA that was rolled back, a prepared statement that has to be prepared again.
constexpr std::array kAgain = {1213U, 1020U, 1206U, 1412U, 1402U, 1613U, 1614U, 1615U, 2057U};
constexpr std::array kCancelled = {1317U, 1969U};
// Numbers out of the column's range: so says an UNSIGNED column that there is not enough.
constexpr std::array kOutOfRange = {1264U, 1690U};
// 23000 as well, of a name that may mean two columns.
constexpr unsigned kAmbiguous = 1052;
// It ends (1053), has ended us (1080, 1927), cannot read us (1043, 1152 to 1161) or its disk (1026,
// 1030), does not know itself whether it has committed (1180, 1598), has found a fault in itself
// (1815), or is a replica now (1290, 1836).
constexpr std::array kLost = {1026U, 1030U, 1043U, 1053U, 1080U, 1152U, 1153U,
                              1154U, 1155U, 1156U, 1157U, 1158U, 1159U, 1160U,
                              1161U, 1180U, 1290U, 1598U, 1815U, 1836U, 1927U};
// Of the library, which numbers its own so.
constexpr unsigned kFirstOfLibrary = 2000;
constexpr unsigned kLastOfLibrary = 2999;
constexpr unsigned kFirstOfConnector = 5000;
constexpr unsigned kLastOfConnector = 5999;

}  // namespace

Failure FailureOf(unsigned number, std::string_view sqlstate) {
  if (IsIn(kAgain, number)) return Failure::kAgain;
  if (number == 1205) return Failure::kLocked;
  if (IsIn(kCancelled, number)) return Failure::kCancelled;
  const bool of_library = (number >= kFirstOfLibrary && number <= kLastOfLibrary) ||
                          (number >= kFirstOfConnector && number <= kLastOfConnector);
  if (number == 0 || of_library || IsIn(kLost, number) || sqlstate.starts_with("08"))
    return Failure::kLost;
  const bool says_no = sqlstate.starts_with("23") || sqlstate == "45000";
  if (number != kAmbiguous && (says_no || IsIn(kOutOfRange, number))) return Failure::kConstraint;
  return Failure::kMistake;
}

Status StatusOf(Failure failure, std::string message) {
  switch (failure) {
    case Failure::kNone: return OkStatus();
    case Failure::kConstraint: return FailedPrecondition(std::move(message));
    case Failure::kMistake: return Internal(std::move(message));
    case Failure::kSkipped:
    case Failure::kAgain:
    case Failure::kLocked:
    case Failure::kCancelled:
    case Failure::kLost: break;
  }
  return Unavailable(std::move(message));
}

}  // namespace assent::mariadb::internal
