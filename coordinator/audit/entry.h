#pragma once

// What somebody did, or wanted to, as it stays on record.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::audit {

// In this order entries are shown. Whoever writes two in one millisecond gives them two numbers.
struct EntryId {
  std::int64_t at_unix_ms = 0;
  std::uint64_t epoch = 0;   // of the coordinator that was asked
  std::uint64_t number = 0;  // of its entries since it began
  auto operator<=>(const EntryId&) const = default;
};

// What a row of the record is about. The names are stored: see NameOf.
enum class Kind : std::uint8_t {
  kDeed,     // somebody asked for it, and it may be done
  kEnding,   // what came of a deed
  kOld,      // a deed and what came of it, of the time before the record was a chain
  kRefused,  // a call that no door let in, or many
  kLogin,
  kLogout,
  kReload,
  kStart,    // of a coordinator
  kStop,     // likewise, in order
  kRetired,  // the oldest rows of a chain were removed
  kLink,     // where the chain of the start before had got to
};
inline constexpr std::size_t kKindsCount = 11;
constexpr std::uint32_t Only(Kind kind) { return 1U << static_cast<unsigned>(kind); }
// What people did, or wanted to, and were let in for.
inline constexpr std::uint32_t kOfPeople = Only(Kind::kDeed) | Only(Kind::kOld) |
                                           Only(Kind::kLogin) | Only(Kind::kLogout) |
                                           Only(Kind::kReload);

// What was asked for.
struct Deed {
  std::string verb = {};
  std::string gid = {};        // empty: of the cluster
  std::string branch_id = {};  // empty: of all of it
  std::string detail = {};     // what the verb leaves open
  std::string who = {};        // who is proven to; what he says, if nobody has to prove anything
  std::string claims = {};     // who he says that he is, beside what is proven
  std::string reason = {};
  std::string address = {};  // that it came from
};

// What came of it.
struct Ending {
  EntryId id = {};
  std::string before = {};  // the transaction, before; empty: there was none
  Code code = Code::kOk;
  std::string said = {};  // the effect, or why not
};

struct Entry {
  EntryId id = {};
  Kind kind = Kind::kDeed;
  std::string node = {};  // of several coordinators, which
  Deed deed = {};
  // It was asked for, and what came of it is not known: it is under way, or the coordinator has
  // died meanwhile.
  bool ended = false;
  std::string before = {};
  Code code = Code::kOk;
  std::string said = {};
  std::uint64_t times = 0;  // of refused calls: so many
};

// Newest first.
struct Query {
  std::string gid = {};  // empty: all
  std::uint32_t kinds = kOfPeople;
  std::int64_t since_unix_ms = 0;
  EntryId before{INT64_MAX, UINT64_MAX, UINT64_MAX};
  std::size_t max_rows = 0;
};

}  // namespace assent::audit
