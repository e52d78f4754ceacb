#pragma once

// What prepared work is called in XA RECOVER, where names of everybody on the server stand: no two
// branches have the same. As the SDKs of other languages call it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <assent/limits.h>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"

namespace assent::mariadb::internal {

inline constexpr std::int64_t kXidFormat = 0x4153;  // "AS"
// XA takes 64 bytes of each part.
static_assert(assent::limits::kMaxGidBytes <= 64 && assent::limits::kMaxBranchIdBytes <= 64);

inline std::string XidOf(BranchKey branch) {
  return Quoted(branch.gid) + "," + Quoted(branch.branch_id) + "," + std::to_string(kXidFormat);
}

// Views of a row of XA RECOVER; nothing where it is somebody else's.
inline std::optional<BranchKey> BranchOf(const Table& recovered, int row) {
  const std::string_view data = recovered.Text(row, 3);
  const auto gid_size = static_cast<std::size_t>(recovered.Int(row, 1));
  const auto branch_size = static_cast<std::size_t>(recovered.Int(row, 2));
  if (recovered.Int(row, 0) != kXidFormat || gid_size == 0 ||
      data.size() != gid_size + branch_size) {
    return std::nullopt;
  }
  const BranchKey branch{data.substr(0, gid_size), data.substr(gid_size)};
  if (!IsPlain(branch.gid) || !IsPlain(branch.branch_id)) return std::nullopt;
  return branch;
}

}  // namespace assent::mariadb::internal
