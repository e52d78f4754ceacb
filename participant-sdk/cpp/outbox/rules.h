#pragma once

// What a relay decides, as pure values: nothing here has a thread, a clock or a database.

#include <chrono>
#include <cstdint>
#include <optional>

#include <assent/outbox.h>
#include <assent/random.h>
#include <assent/status.h>
#include <assent/transaction.h>

namespace assent::internal::outbox {

using std::chrono::milliseconds;
using Taken = OutboxTable::Taken;
using Settled = OutboxTable::Settled;

inline constexpr milliseconds kFirstBackoff{100};
inline constexpr milliseconds kMaxBackoff{30'000};
// What is no failure: a row with a key whose transaction goes on.
inline constexpr char kNotComplete[] = "accepted, not complete yet";

// Half of it is kept, the rest drawn.
milliseconds BackoffOf(std::int64_t attempts, SplitMix64& jitter);

// What is to be done with a row that was taken.
enum class Step : std::uint8_t {
  kSubmit,
  kAsk,   // by Get: the coordinator may have forgotten that it ran
  kPark,  // no coordinator takes it
};
Step FirstStep(const Taken& row, milliseconds retention_guard);
Settled TooLarge(const Taken& row);

// After a submit. Empty: of a row with a key nobody knows how far it is; ask by Get.
std::optional<Settled> AfterSubmit(const Taken& row, const Result<Report>& answer,
                                   SplitMix64& jitter);

// Why Get was asked.
enum class Asked : std::uint8_t {
  kBeforeSubmit,  // FirstStep said so
  kAfterSubmit,   // AfterSubmit did
};
// Empty: submit it, it joins what runs.
std::optional<Settled> AfterGet(const Taken& row, Asked asked,
                                const Result<TransactionInfo>& answer, SplitMix64& jitter);

}  // namespace assent::internal::outbox
