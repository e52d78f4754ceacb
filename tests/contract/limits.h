#pragma once

// What assent-contract holds itself to. docs/limits.md has the same table.

#include <chrono>
#include <cstddef>

namespace assent::contract {

// How long something that must come is waited for, unless --patience-ms says otherwise.
inline constexpr std::chrono::milliseconds kDefaultPatience{10'000};
inline constexpr std::chrono::milliseconds kMinPatience{100};
inline constexpr std::chrono::milliseconds kMaxPatience{600'000};
// How long something that must not come is waited for, at most.
inline constexpr std::chrono::milliseconds kSilence{200};
// Between two questions while the answer is "not yet".
inline constexpr std::chrono::milliseconds kAskAgain{10};
// Of one rule; further ones are counted.
inline constexpr std::size_t kMaxFaultsPerRuleCount = 8;
// Of what is shown of a reason or an error; the rest is cut.
inline constexpr std::size_t kMaxShownTextBytes = 200;
// Commands at once in the rule `back-pressure`, over a session (less if the Hello says less) and
// unary.
inline constexpr std::size_t kMaxAtOnceCount = 600;
inline constexpr std::size_t kMaxUnaryAtOnceCount = 64;

}  // namespace assent::contract
