#pragma once

// What a group of entries comes to, row by row: of a transaction that begins, changes and ends
// within one commit only the finished row is ever written.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/log.h"

namespace assent::log {

// The net effect on one row. Points into the entries, which must outlive the plan.
struct NetWrite {
  std::uint64_t serial = 0;
  std::uint64_t stored_version = 0;  // what the file must hold: 0, no row
  const Entry* begin = nullptr;      // set if the row begins in this group
  const Entry* last = nullptr;       // gives version and state; a kEnd gives the finished row
};

// kFailedPrecondition: the entry cannot follow what is stored, or comes before it in its group.
Status OutOfTurn(const Entry& entry, const std::string& what);

class GroupPlan {
 public:
  // kFailedPrecondition if the entry does not follow the one before it in this plan.
  Status Add(const Entry& entry);
  bool EndsHere(std::string_view gid) const { return ended_gids_.contains(gid); }
  const std::vector<NetWrite>& writes() const { return writes_; }
  void Clear();

 private:
  std::vector<NetWrite> writes_;  // in the order of their first entries
  std::unordered_map<std::uint64_t, std::size_t> index_;
  std::unordered_set<std::string_view> ended_gids_;
};

}  // namespace assent::log
