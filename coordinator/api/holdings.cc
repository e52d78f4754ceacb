#include "coordinator/api/holdings.h"

#include <utility>

namespace assent::api {
namespace {

// How many of the oldest are looked at for one of whose reader the room is.
constexpr int kMaxLookedAtCount = 1'000;

Status TooMany(std::size_t limit, const char* what, const char* whose) {
  return ResourceExhausted(std::to_string(limit) + " " + what + " " + whose +
                           ", the limit: nothing was begun; wait for some to end, and try again");
}

}  // namespace

std::string AddressOf(const std::string& peer) {
  const std::size_t colon = peer.rfind(':');
  return peer.rfind("ip", 0) == 0 ? peer.substr(0, colon) : peer;
}

Status Holdings::CheckNumbers(Held what, const std::string& connection,
                              const std::string& address) {
  const HoldingLimits& l = limits_;
  struct Limits {
    const char* name;
    std::size_t in_all, per_address, per_connection;
  };
  const auto limits = [&]() -> Limits {
    switch (what) {
      case Held::kCall:
        return {"calls are under way", l.max_calls_count, l.max_calls_per_address_count,
                l.max_calls_per_connection_count};
      case Held::kPage:
        return {"lists are under way", l.max_pages_count, l.max_pages_per_address_count,
                l.max_pages_per_connection_count};
      case Held::kStream: break;
    }
    return {"streams are open", l.max_streams_count, l.max_streams_per_address_count,
            l.max_streams_per_connection_count};
  }();
  const auto count_of = [&](Table& table, const std::string& name) {
    const auto found = table.find(name);
    return found == table.end() ? 0 : found->second.of(what);
  };
  const bool is_unix = connection == address;
  if (!is_unix && count_of(connections_, connection) >= limits.per_connection)
    return TooMany(limits.per_connection, limits.name, "on this connection");
  if (count_of(addresses_, address) >= limits.per_address)
    return TooMany(limits.per_address, limits.name, "from this address");
  if (all_.of(what) >= limits.in_all) return TooMany(limits.in_all, limits.name, "in all");
  return OkStatus();
}

Result<std::unique_ptr<Holdings::Place>> Holdings::Enter(Held what, const std::string& peer) {
  const std::string address = AddressOf(peer);
  const std::lock_guard lock(mutex_);
  const Status status = CheckNumbers(what, peer, address);
  if (!status.ok()) return status;
  const auto connection = connections_.try_emplace(peer).first;
  const auto of_address = addresses_.try_emplace(address).first;
  for (Counts* counts : {&all_, &connection->second, &of_address->second}) ++counts->of(what);
  return std::unique_ptr<Place>(new Place(*this, what, connection, of_address));
}

void Holdings::Leave(Place& place) {
  const std::lock_guard lock(mutex_);
  Drop(place);
  for (Counts* counts : {&all_, &place.connection_->second, &place.address_->second}) {
    --counts->of(place.what_);
  }
  if (place.connection_->second.empty()) connections_.erase(place.connection_);
  if (place.address_->second.empty()) addresses_.erase(place.address_);
}

Status Holdings::EnterWatch(const std::string& gid) {
  const std::lock_guard lock(mutex_);
  std::size_t& count = watches_[gid];
  if (count < limits_.max_watches_per_transaction_count) return ++count, OkStatus();
  return TooMany(count, "watches are open", "on this transaction");
}

void Holdings::LeaveWatch(const std::string& gid) {
  const std::lock_guard lock(mutex_);
  const auto found = watches_.find(gid);
  if (--found->second == 0) watches_.erase(found);
}

Status Holdings::EnterSubmit() {
  const std::lock_guard lock(mutex_);
  if (submits_ < limits_.max_streamed_submits_count) return ++submits_, OkStatus();
  return TooMany(submits_, "submits are unanswered", "on all streams");
}

void Holdings::LeaveSubmit() {
  const std::lock_guard lock(mutex_);
  --submits_;
}

std::size_t Holdings::unread_bytes() const {
  const std::lock_guard lock(mutex_);
  return all_.unread_bytes;
}

Holdings::Full Holdings::WhereFull(const Place& place, std::size_t bytes) const {
  const bool is_unix = place.connection_->first == place.address_->first;
  if (!is_unix &&
      place.connection_->second.unread_bytes + bytes > limits_.max_unread_per_connection_bytes)
    return Full::kConnection;
  if (place.address_->second.unread_bytes + bytes > limits_.max_unread_per_address_bytes)
    return Full::kAddress;
  return all_.unread_bytes + bytes > limits_.max_unread_bytes ? Full::kAll : Full::kNo;
}

Status Holdings::HoldAnswer(Place& place, std::size_t bytes, std::function<void()> give_up) {
  std::vector<std::function<void()>> given_up;  // called without the lock
  Full full = Full::kNo;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const auto since = place.bytes_ == 0 ? now : place.since_;  // nothing has been taken meanwhile
    Drop(place);
    if (bytes <= limits_.uncounted_answer_bytes) return OkStatus();
    full = MakeRoom(place, bytes, now, given_up);
    if (full == Full::kNo) {
      for (Counts* counts : {&all_, &place.connection_->second, &place.address_->second})
        counts->unread_bytes += bytes;
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
  Full full = WhereFull(place, bytes);
  auto next = unread_.begin();
  for (int i = 0; full != Full::kNo && next != unread_.end() && i < kMaxLookedAtCount; ++i) {
    Place& oldest = *(next++)->second;
    if (now - oldest.since_ < limits_.unread_patience) break;  // and so are the others
    if (full == Full::kConnection && oldest.connection_ != place.connection_) continue;
    if (full == Full::kAddress && oldest.address_ != place.address_) continue;
    given_up.push_back(std::move(oldest.give_up_));
    Drop(oldest);
    full = WhereFull(place, bytes);
  }
  return full;
}

void Holdings::Drop(Place& place) {
  if (place.bytes_ == 0) return;
  for (Counts* counts : {&all_, &place.connection_->second, &place.address_->second})
    counts->unread_bytes -= place.bytes_;
  place.bytes_ = 0;
  place.give_up_ = {};
  unread_.erase(place.unread_);
}

void Holdings::Place::AnswerTaken() {
  const std::lock_guard lock(holdings_.mutex_);
  holdings_.Drop(*this);
}

}  // namespace assent::api
