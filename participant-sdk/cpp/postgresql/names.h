#pragma once

// What prepared work is called in pg_prepared_xacts, where names of everybody stand: no two
// branches have the same, since neither part can have a slash. As the SDKs of other languages call
// it.

#include <optional>
#include <string>
#include <string_view>

#include <assent/limits.h>

#include "participant-sdk/cpp/postgresql/barrier_rows.h"

namespace assent::postgresql::internal {

inline constexpr std::string_view kNamePrefix = "assent/";
// PostgreSQL takes names of 199 bytes.
static_assert(kNamePrefix.size() + assent::limits::kMaxGidBytes + 1 +
                  assent::limits::kMaxBranchIdBytes <
              200);

inline std::string NameOf(BranchKey branch) {
  return std::string(kNamePrefix).append(branch.gid).append("/").append(branch.branch_id);
}

// Views of `name`; nothing where it is somebody else's.
inline std::optional<BranchKey> BranchOf(std::string_view name) {
  if (!name.starts_with(kNamePrefix)) return std::nullopt;
  name.remove_prefix(kNamePrefix.size());
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const BranchKey branch{name.substr(0, slash), name.substr(slash + 1)};
  if (branch.gid.empty() || !IsPlain(branch.gid) || !IsPlain(branch.branch_id)) return std::nullopt;
  return branch;
}

}  // namespace assent::postgresql::internal
