#pragma once

// How much an identity may ask for and hold at this coordinator, and what of it is taken. Each has
// an account of its own, also where one line of the rules speaks of many, so that nobody uses up
// what is another's.
//
// Time comes in with each call. Nothing waits.
//
// Thread-safety: all of it, from any thread.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::security {

// Accounts that are kept; beyond it those go that have nothing under way and a full bucket, which
// is what they would come back with. Where there is none of these, a new identity shares one
// account with all others that come so.
inline constexpr std::size_t kMaxAccountsCount = 65'536;
// How many are looked at for one that can go, each time.
inline constexpr std::size_t kMaxExaminedAccountsCount = 64;
// The largest figure of a limit.
inline constexpr std::uint64_t kMaxQuotaFigure = 1'000'000'000'000;

using MonoTime = std::chrono::steady_clock::time_point;

// What one identity may. 0: no limit.
struct Quota {
  std::uint64_t requests = 0;      // calls, streams and submits on streams that begin, a second
  std::uint64_t calls = 0;         // under way at once, those that wait among them
  std::uint64_t streams = 0;       // Watch, Events and SubmitStream that are open
  std::uint64_t sessions = 0;      // of participants that are open
  std::uint64_t transactions = 0;  // that it began and that are unfinished
  std::uint64_t bytes = 0;         // payloads, results, headers and labels of those

  // Of what an account counts.
  bool counted() const { return requests + calls + streams + sessions > 0; }
  bool empty() const { return !counted() && transactions + bytes == 0; }
  // "200 requests per second, 1000 transactions"; "no limit".
  std::string Text() const;
};

enum class Seated : std::uint8_t { kCall = 0, kStream = 1, kSession = 2 };

// What was refused so far, of all.
struct Refusals {
  static constexpr std::size_t kSeatedCount = 3;
  std::atomic<std::uint64_t> requests{0};
  std::array<std::atomic<std::uint64_t>, kSeatedCount> seats{};  // by Seated
};

class Account : public std::enable_shared_from_this<Account> {
 public:
  // A place of one that is under way, until it goes.
  class Seat {
   public:
    Seat(std::shared_ptr<Account> account, Seated what)
        : account_(std::move(account)), what_(what) {}
    ~Seat() { account_->Leave(what_); }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

   private:
    const std::shared_ptr<Account> account_;
    const Seated what_;
  };
  using SeatPtr = std::shared_ptr<const Seat>;

  explicit Account(std::string who, Refusals& refusals)
      : who_(std::move(who)), refusals_(refusals) {}

  // One request. RESOURCE_EXHAUSTED: it is one too many in this second, and costs nothing. What is
  // not used is kept for one second.
  Status Spend(const Quota& quota, MonoTime now) ASSENT_EXCLUDES(mutex_);
  // RESOURCE_EXHAUSTED: all of them are taken.
  Result<SeatPtr> Enter(const Quota& quota, Seated what) ASSENT_EXCLUDES(mutex_);
  // Nothing is under way, and nothing was spent that would not be there again by now.
  bool IsIdle(MonoTime now) const ASSENT_EXCLUDES(mutex_);

 private:
  void Leave(Seated what) ASSENT_EXCLUDES(mutex_);

  const std::string who_;
  Refusals& refusals_;
  mutable Mutex mutex_;
  // When the bucket is full again: each request moves it on by its share of a second.
  MonoTime full_at_ ASSENT_GUARDED_BY(mutex_){};
  std::array<std::uint64_t, Refusals::kSeatedCount> seats_ ASSENT_GUARDED_BY(mutex_){};
};
using AccountPtr = std::shared_ptr<Account>;

class Accounts {
 public:
  explicit Accounts(std::size_t max_count = kMaxAccountsCount) : max_count_(max_count) {}

  // The identity's, the same one for as long as anybody has it. Empty: of all who are not known.
  AccountPtr Of(const std::string& identity, MonoTime now) ASSENT_EXCLUDES(mutex_);
  const Refusals& refusals() const { return refusals_; }
  std::size_t size() const ASSENT_EXCLUDES(mutex_);

 private:
  bool MakeRoom(MonoTime now) ASSENT_REQUIRES(mutex_);

  const std::size_t max_count_;
  Refusals refusals_;
  mutable Mutex mutex_;
  std::map<std::string, AccountPtr, std::less<>> accounts_ ASSENT_GUARDED_BY(mutex_);
  std::string examined_ ASSENT_GUARDED_BY(mutex_);  // the last one that was looked at
  AccountPtr others_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::security
