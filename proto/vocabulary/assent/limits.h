#pragma once

// Every limit of the wire contract, in one place, with its unit last in its name. The daemon
// enforces them, the SDK checks them before it sends, docs/limits.md lists them, and tests/ steps
// over each.

#include <cstddef>
#include <cstdint>

namespace assent::limits {

inline constexpr std::size_t kMaxGidBytes = 64;
inline constexpr std::size_t kMaxBranchIdBytes = 64;
inline constexpr std::size_t kMaxServiceNameBytes = 128;
inline constexpr std::size_t kMaxActionNameBytes = 128;
inline constexpr std::size_t kMaxReasonBytes = 1024;  // longer ones are cut, never refused
inline constexpr std::size_t kMaxPayloadBytes = 1024 * 1024;
inline constexpr std::size_t kMaxResultBytes = 256 * 1024;
inline constexpr std::size_t kMaxAllResultsBytes = 2 * 1024 * 1024;  // of one transaction, together
inline constexpr std::size_t kMaxTransactionBytes =
    3 * 1024 * 1024;  // all payloads and headers together

inline constexpr std::size_t kMaxBranchesCount = 128;
inline constexpr std::size_t kMaxLabelsCount = 16;
inline constexpr std::size_t kMaxLabelKeyBytes = 64;
inline constexpr std::size_t kMaxLabelValueBytes = 256;
inline constexpr std::size_t kMaxHeadersCount = 16;
inline constexpr std::size_t kMaxHeaderKeyBytes = 64;
inline constexpr std::size_t kMaxHeaderValueBytes = 1024;
inline constexpr std::size_t kMaxTracestateBytes = 512;
inline constexpr std::size_t kMaxIdentityBytes = 256;  // of who is proven to ask

inline constexpr std::int64_t kDefaultDeadlineMs = 60'000;
inline constexpr std::int64_t kMaxDeadlineMs = 7LL * 24 * 3600 * 1000;
inline constexpr std::int64_t kDefaultAttemptTimeoutMs = 10'000;
inline constexpr std::int64_t kMaxAttemptTimeoutMs = 3600 * 1000;
inline constexpr std::int64_t kDefaultInitialBackoffMs = 100;
inline constexpr std::int64_t kDefaultMaxBackoffMs = 30'000;
inline constexpr std::int64_t kMaxMaxBackoffMs = 3600 * 1000;
inline constexpr std::uint32_t kMaxMaxAttemptsCount = 1'000'000;

inline constexpr std::size_t kMaxActionsPerParticipantCount = 1024;
inline constexpr std::size_t kMaxInstanceNameBytes = 128;
inline constexpr std::size_t kMaxAgentBytes = 128;
inline constexpr std::size_t kMaxFrameBytes = 4 * 1024 * 1024;
// What the daemon still reads, to say what is wrong with it; more ends the call or stream in gRPC
// itself, without our words.
inline constexpr std::size_t kMaxOversizedFrameBytes = 8 * 1024 * 1024;
inline constexpr std::size_t kMaxFrameMessagesCount = 256;
inline constexpr std::uint32_t kMaxPageSizeCount = 1000;
inline constexpr std::uint32_t kDefaultPageSizeCount = 50;
inline constexpr std::size_t kMaxPageBytes = 1024 * 1024;  // a transaction alone may be larger

// A transaction as Get, Watch and the operators' calls show it: below what a gRPC client takes by
// default, with room for what goes around it. Attempts have a part of it.
inline constexpr std::size_t kMaxShownBytes = 63 * 64 * 1024;
inline constexpr std::size_t kMaxShownAttemptsBytes = 512 * 1024;

// Attempts kept per branch: the first few tell how it began, the last many how it goes.
inline constexpr std::size_t kMaxFirstAttemptsKeptCount = 4;
inline constexpr std::size_t kMaxLastAttemptsKeptCount = 28;
// Interventions by people kept per transaction; older ones give way.
inline constexpr std::size_t kMaxInterventionsKeptCount = 32;

// A whole transaction, every limit drawn upon, still fits in one gRPC message.
static_assert(kMaxTransactionBytes + kMaxBranchesCount * 1024 < kMaxFrameBytes);
static_assert(kMaxPayloadBytes <= kMaxTransactionBytes);
static_assert(kMaxPageBytes < kMaxFrameBytes);
static_assert(kMaxResultBytes <= kMaxAllResultsBytes);
// What is always shown of a transaction has room, every limit drawn upon: headers, who follows whom
// (no cycles, so at most half of all pairs), names and last errors, what people did, labels; and
// the latest attempt of each branch.
static_assert(kMaxTransactionBytes +
                  kMaxBranchesCount * (kMaxBranchesCount - 1) / 2 * (kMaxBranchIdBytes + 4) +
                  kMaxBranchesCount * (kMaxBranchIdBytes + kMaxServiceNameBytes +
                                       kMaxActionNameBytes + 2 * kMaxReasonBytes + 256) +
                  kMaxInterventionsKeptCount * (2 * kMaxReasonBytes + kMaxBranchIdBytes + 64) +
                  kMaxLabelsCount * (kMaxLabelKeyBytes + kMaxLabelValueBytes + 16) +
                  8 * kMaxReasonBytes <
              kMaxShownBytes);
// So does a command with its payload, its headers and the results of every other branch.
static_assert(kMaxPayloadBytes + kMaxHeadersCount * (kMaxHeaderKeyBytes + kMaxHeaderValueBytes) +
                  kMaxAllResultsBytes + kMaxBranchesCount * 128 <
              kMaxFrameBytes);

}  // namespace assent::limits
