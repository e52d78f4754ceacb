#include "coordinator/service/holdings.h"

#include <utility>

namespace assent::service {
namespace {

// How many of the oldest are looked at for one of whose reader the room is.
constexpr int kMaxLookedAtCount = 1'000;

Status TooMany(std::size_t limit, const char* what, const char* whose) {
  return ResourceExhausted(std::to_string(limit) + " " + what + " " + whose +
                           ", the limit: nothing was begun; wait for some to end, and try again");
}

}  // namespace

Status Spend(const Caller& caller) {
  if (caller.grants == nullptr || caller.forwarded) return OkStatus();
  return caller.grants->Spend(std::chrono::steady_clock::now());
}

Result<security::Account::SeatPtr> SpendAndSit(security::Seated what, const Caller& caller) {
  if (caller.grants == nullptr || caller.forwarded) return security::Account::SeatPtr();
  if (const Status may = Spend(caller); !may.ok()) return may;
  return caller.grants->Enter(what);
}

const Share& Holdings::LimitOf(Held what) const {
  switch (what) {
    case Held::kCall: return limits_.calls;
    case Held::kPage: return limits_.pages;
    case Held::kStream: return limits_.streams;
    case Held::kUnreadBytes: break;
  }
  return limits_.unread_bytes;
}

Holdings::Full Holdings::WhereFull(Held what, const Account& account, std::size_t more) const {
  const Share& limit = LimitOf(what);
  const auto kind = static_cast<std::size_t>(what);
  // Alike: its clients cannot be told apart.
  if (account.connection->first != account.address->first &&
      account.connection->second[kind] + more > limit.per_connection)
    return Full::kConnection;
  if (account.address->second[kind] + more > limit.per_address) return Full::kAddress;
  return all_[kind] + more > limit.in_all ? Full::kAll : Full::kNo;
}

void Holdings::Add(Held what, const Account& account, std::size_t more) {
  for (Counts* counts : {&all_, &account.connection->second, &account.address->second})
    (*counts)[static_cast<std::size_t>(what)] += more;
}

void Holdings::Tidy(const Account& account) {
  if (account.connection->second == Counts{}) connections_.erase(account.connection);
  if (account.address->second == Counts{}) addresses_.erase(account.address);
}

Result<std::unique_ptr<Holdings::Place>> Holdings::Enter(Held what, const Caller& caller) {
  constexpr std::array kNames{"calls are under way", "lists are under way", "streams are open"};
  const char* const name = kNames.at(static_cast<std::size_t>(what));
  // First: what is refused by the caller's own limits takes nobody's room.
  Result<security::Account::SeatPtr> seat = SpendAndSit(
      what == Held::kStream ? security::Seated::kStream : security::Seated::kCall, caller);
  if (!seat.ok()) return seat.status();
  const MutexLock lock(mutex_);
  const Account account{connections_.try_emplace(caller.connection).first,
                        addresses_.try_emplace(caller.address).first};
  const Full full = WhereFull(what, account, 1);
  if (full == Full::kNo) {
    Add(what, account, 1);
    return std::unique_ptr<Place>(new Place(*this, what, account, *std::move(seat)));
  }
  Tidy(account);
  const Share& limit = LimitOf(what);
  return full == Full::kConnection ? TooMany(limit.per_connection, name, "on this connection")
         : full == Full::kAddress  ? TooMany(limit.per_address, name, "from this address")
                                   : TooMany(limit.in_all, name, "in all");
}

void Holdings::Leave(Place& place) {
  const MutexLock lock(mutex_);
  Drop(place);
  Add(place.what_, place.account_, std::size_t{0} - 1);
  Tidy(place.account_);
}

Status Holdings::EnterWatch(const std::string& gid) {
  const MutexLock lock(mutex_);
  std::size_t& count = watches_[gid];
  if (count < limits_.max_watches_per_transaction_count) return ++count, OkStatus();
  return TooMany(count, "watches are open", "on this transaction");
}

void Holdings::LeaveWatch(const std::string& gid) {
  const MutexLock lock(mutex_);
  const auto found = watches_.find(gid);
  if (--found->second == 0) watches_.erase(found);
}

Status Holdings::EnterSubmit(const Caller& caller) {
  const Status may = Spend(caller);
  if (!may.ok()) return may;
  const MutexLock lock(mutex_);
  if (submits_ < limits_.max_streamed_submits_count) return ++submits_, OkStatus();
  return TooMany(submits_, "submits are unanswered", "on all streams");
}

void Holdings::LeaveSubmit() {
  const MutexLock lock(mutex_);
  --submits_;
}

std::size_t Holdings::unread_bytes() const {
  const MutexLock lock(mutex_);
  return all_[static_cast<std::size_t>(Held::kUnreadBytes)];
}

std::size_t Holdings::Count(Held what) const {
  const MutexLock lock(mutex_);
  return all_[static_cast<std::size_t>(what)];
}

Status Holdings::HoldAnswer(Place& place, std::size_t bytes, std::function<void()> give_up) {
  std::vector<std::function<void()>> given_up;  // called without the lock
  Full full = Full::kNo;
  {
    const MutexLock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const auto since = place.bytes_ == 0 ? now : place.since_;  // nothing has been taken meanwhile
    Drop(place);
    // What is to be said is gathered. Until it has been read it is a call as any other: who asks
    // for page after page meets no limit of his last ones.
    if (place.what_ == Held::kPage) {
      Add(Held::kPage, place.account_, std::size_t{0} - 1);
      Add(place.what_ = Held::kCall, place.account_, 1);
    }
    if (bytes <= limits_.uncounted_answer_bytes) return OkStatus();
    full = MakeRoom(place, bytes, now, given_up);
    if (full == Full::kNo) {
      Add(Held::kUnreadBytes, place.account_, bytes);
      place.bytes_ = bytes;
      place.since_ = since;
      place.give_up_ = std::move(give_up);
      place.unread_ = unread_.emplace(since, &place);
    }
  }
  for (const auto& end : given_up) end();
  if (full == Full::kNo) return OkStatus();
  const char* whose = full == Full::kConnection ? " on this connection"
                      : full == Full::kAddress  ? " from this address"
                                                : "";
  return ResourceExhausted("the answer of " + std::to_string(bytes) +
                           " bytes has no room: too much has been asked" + whose +
                           " and its answer not been read; read, and ask again");
}

Holdings::Full Holdings::MakeRoom(const Place& place, std::size_t bytes,
                                  std::chrono::steady_clock::time_point now,
                                  std::vector<std::function<void()>>& given_up) {
  Full full = WhereFull(Held::kUnreadBytes, place.account_, bytes);
  auto next = unread_.begin();
  for (int i = 0; full != Full::kNo && next != unread_.end() && i < kMaxLookedAtCount; ++i) {
    Place& oldest = *(next++)->second;
    if (now - oldest.since_ < limits_.unread_patience) break;  // and so are the others
    if (full == Full::kConnection && oldest.account_.connection != place.account_.connection)
      continue;
    if (full == Full::kAddress && oldest.account_.address != place.account_.address) continue;
    given_up.push_back(std::move(oldest.give_up_));
    Drop(oldest);
    full = WhereFull(Held::kUnreadBytes, place.account_, bytes);
  }
  return full;
}

void Holdings::Drop(Place& place) {
  if (place.bytes_ == 0) return;
  Add(Held::kUnreadBytes, place.account_, std::size_t{0} - place.bytes_);
  place.bytes_ = 0;
  place.give_up_ = {};
  unread_.erase(place.unread_);
}

void Holdings::Place::AnswerTaken() {
  const MutexLock lock(holdings_.mutex_);
  holdings_.Drop(*this);
}

}  // namespace assent::service
