#pragma once

// What somebody did, or wanted to, as it stays on record.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
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

// What was asked for.
struct Deed {
  std::string verb = {};
  std::string gid = {};        // empty: of the cluster
  std::string branch_id = {};  // empty: of all of it
  std::string detail = {};     // what the verb leaves open
  std::string who = {};
  std::string reason = {};
  std::string address = {};  // that it came from
};

// What came of it.
struct Ending {
  EntryId id = {};
  std::string before = {};  // the transaction, before; empty: there was none
  Code code = Code::kOk;
  std::string said = {};  // the effect, or why not
  // It was not for this coordinator, which has done nothing: whoever has it writes its own.
  bool elsewhere = false;
};

struct Entry {
  EntryId id = {};
  std::string node = {};  // of several coordinators, which
  Deed deed = {};
  // It was asked for, and what came of it is not known: it is under way, or the coordinator has
  // died meanwhile.
  bool ended = false;
  std::string before = {};
  Code code = Code::kOk;
  std::string said = {};
};

// Newest first.
struct Query {
  std::string gid = {};  // empty: all
  std::int64_t since_unix_ms = 0;
  EntryId before{INT64_MAX, UINT64_MAX, UINT64_MAX};
  std::size_t max_rows = 0;
};

}  // namespace assent::audit
