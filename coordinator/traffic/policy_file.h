#pragma once

// The file of --service-policies: TOML. What stands before the first section holds for every
// service, [NAME] for that one; what a section does not say is as it is for all.
//
//   select = "least-in-flight"
//   [pay]
//   select = "hash"
//   hash-by = "header:customer"

#include <cstddef>
#include <string>

#include <assent/status.h>

#include "coordinator/traffic/policy.h"

namespace assent::traffic {

inline constexpr std::size_t kMaxPolicyFileBytes = 1 << 20;
inline constexpr std::size_t kMaxPoliciesCount = 1'000;

// kInvalidArgument: "PATH:LINE: what is wrong, and what to write".
Result<Policies> ReadPolicies(const std::string& text, const std::string& path);

// What differs from the defaults, in the words of the file: "select=hash hash-by=gid"; empty:
// nothing does.
std::string Describe(const Policy& policy);

}  // namespace assent::traffic
