#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "assent/v1/types.pb.h"

namespace assent::ctl {

// What it will mean, in this branch's protocol and against this transaction's decision, to declare
// the branch committed or aborted by hand. A few lines for the person who is about to do it. Pure.
std::string ResolveMeaning(const v1::Transaction& transaction, const v1::Branch& branch,
                           v1::Decision resolution);

// Branches of one service that are to be declared alike.
struct ManyBranches {
  std::string service;
  std::map<v1::Protocol, std::uint64_t> counts{};
  std::uint64_t contradicting = 0;  // of transactions that are decided otherwise
};
std::string ResolveMeaning(const ManyBranches& branches, v1::Decision resolution);

// What the reason of a resolution has to say.
inline constexpr const char* kSeenThere = "what was seen at the participant";

}  // namespace assent::ctl
