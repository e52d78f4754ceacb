#include "coordinator/security/quota.h"

#include <algorithm>
#include <utility>

namespace assent::security {
namespace {

constexpr std::chrono::nanoseconds kSecond = std::chrono::seconds(1);

constexpr std::array kSeatNames{"calls are under way", "streams are open", "sessions are open"};

std::uint64_t FigureOf(const Quota& quota, Seated what) {
  switch (what) {
    case Seated::kCall: return quota.calls;
    case Seated::kStream: return quota.streams;
    case Seated::kSession: return quota.sessions;
  }
  return 0;
}

}  // namespace

std::string Quota::Text() const {
  std::string text;
  const auto add = [&](std::uint64_t figure, const char* what) {
    if (figure == 0) return;
    text.append(text.empty() ? "" : ", ").append(std::to_string(figure)).append(" ").append(what);
  };
  add(requests, "requests per second");
  add(calls, "calls");
  add(streams, "streams");
  add(sessions, "sessions");
  add(transactions, "transactions");
  add(bytes, "bytes");
  return text.empty() ? "no limit" : text;
}

// The bucket holds a second's worth. It is kept as the time when it is full again, so that nothing
// has to be filled up while nobody looks.
Status Account::Spend(const Quota& quota, MonoTime now) {
  if (quota.requests == 0) return OkStatus();
  const auto share =
      std::max(kSecond / static_cast<std::int64_t>(quota.requests), std::chrono::nanoseconds(1));
  const MutexLock lock(mutex_);
  const MonoTime full_at = std::max(full_at_, now) + share;
  // A reload may have made a second's worth smaller than what was spent.
  if (full_at - now <= kSecond) {
    full_at_ = full_at;
    return OkStatus();
  }
  refusals_.requests.fetch_add(1, std::memory_order_relaxed);
  return ResourceExhausted(
      who_ + " makes more than " + std::to_string(quota.requests) +
      " requests per second, the limit: this one was turned away; try again later");
}

Result<Account::SeatPtr> Account::Enter(const Quota& quota, Seated what) {
  const std::uint64_t limit = FigureOf(quota, what);
  const auto at = static_cast<std::size_t>(what);
  {
    const MutexLock lock(mutex_);
    if (limit == 0 || seats_.at(at) < limit) {
      ++seats_.at(at);
      return SeatPtr(std::make_shared<const Seat>(shared_from_this(), what));
    }
  }
  refusals_.seats.at(at).fetch_add(1, std::memory_order_relaxed);
  return ResourceExhausted(std::to_string(limit) + " " + kSeatNames.at(at) + " of " + who_ +
                           ", the limit: nothing was begun; wait for some to end, and try again");
}

void Account::Leave(Seated what) {
  const MutexLock lock(mutex_);
  --seats_.at(static_cast<std::size_t>(what));
}

bool Account::IsIdle(MonoTime now) const {
  const MutexLock lock(mutex_);
  return full_at_ <= now &&
         std::all_of(seats_.begin(), seats_.end(), [](std::uint64_t seats) { return seats == 0; });
}

AccountPtr Accounts::Of(const std::string& identity, MonoTime now) {
  const std::string who = identity.empty() ? "who is not known" : identity;
  const MutexLock lock(mutex_);
  const auto found = accounts_.find(identity);
  if (found != accounts_.end()) return found->second;
  if (accounts_.size() >= max_count_ && !MakeRoom(now)) {
    if (others_ == nullptr)
      others_ = std::make_shared<Account>("all beyond the table of identities", refusals_);
    return others_;
  }
  return accounts_.emplace(identity, std::make_shared<Account>(who, refusals_)).first->second;
}

// Goes round, from where it was last, so that each is looked at in its turn.
bool Accounts::MakeRoom(MonoTime now) {
  auto at = accounts_.upper_bound(examined_);
  for (std::size_t i = 0; i < kMaxExaminedAccountsCount && !accounts_.empty(); ++i) {
    if (at == accounts_.end()) at = accounts_.begin();
    examined_ = at->first;
    if (at->second.use_count() == 1 && at->second->IsIdle(now)) {
      accounts_.erase(at);
      return true;
    }
    ++at;
  }
  return false;
}

std::size_t Accounts::size() const {
  const MutexLock lock(mutex_);
  return accounts_.size();
}

}  // namespace assent::security
