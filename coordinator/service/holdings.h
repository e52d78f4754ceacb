#pragma once

// What callers make us hold: calls that wait, streams, and answers that nobody has taken yet.
// Counted and limited in all, by address and by connection, so that one who asks without end, or
// asks and never reads, is told so and costs nobody else anything. Small answers are covered by the
// number of calls; of large ones the bytes are counted, and when they have no room, whoever has
// left one lying longest is cancelled.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/service/asker.h"

namespace assent::service {

struct Share {
  std::size_t in_all;
  std::size_t per_address;
  std::size_t per_connection;
};

struct HoldingLimits {
  Share calls{65'536, 32'768, 4'096};  // under way, without those below
  Share pages{256, 128, 32};           // calls that gather a page: List; then they are calls
  Share streams{2'048, 1'024, 256};    // Watch and SubmitStream
  // Of answers of more than uncounted_answer_bytes that have not been taken.
  Share unread_bytes{256 << 20, 128 << 20, 64 << 20};
  std::size_t uncounted_answer_bytes = 4 * 1024;
  std::size_t max_watches_per_transaction_count = 64;
  // Unanswered submits of all SubmitStreams together.
  std::size_t max_streamed_submits_count = 1'048'576;
  // Replies of one SubmitStream that have not been taken; beyond it the stream is read no further.
  std::size_t max_stream_waiting_bytes = 4 * 1024 * 1024;
  // How long an answer is certainly left to its reader.
  std::chrono::milliseconds unread_patience{2'000};
};

// One request of its caller's, who may have limits of his own. What another coordinator hands on is
// none: it was one there.
Status Spend(const Caller& caller);
// And one that has a place of his while the pointer is there; nullptr: nobody counts.
Result<security::Account::SeatPtr> SpendAndSit(security::Seated what, const Caller& caller);

enum class Held : std::uint8_t { kCall, kPage, kStream, kUnreadBytes };

class Holdings {
 public:
  class Place;

  explicit Holdings(HoldingLimits limits) : limits_(limits) {}
  Holdings(const Holdings&) = delete;
  Holdings& operator=(const Holdings&) = delete;

  // A call or stream begins, and a request and a place of its caller's with it, if it is not handed
  // on. kResourceExhausted: nothing has begun. The holdings outlive the place.
  Result<std::unique_ptr<Place>> Enter(Held what, const Caller& caller) ASSENT_EXCLUDES(mutex_);
  // A further watch of a transaction, until it is given back.
  Status EnterWatch(const std::string& gid) ASSENT_EXCLUDES(mutex_);
  void LeaveWatch(const std::string& gid) ASSENT_EXCLUDES(mutex_);
  // A submit on a stream: a request of its caller's.
  Status EnterSubmit(const Caller& caller) ASSENT_EXCLUDES(mutex_);
  void LeaveSubmit() ASSENT_EXCLUDES(mutex_);

  const HoldingLimits& limits() const { return limits_; }
  std::size_t unread_bytes() const;
  // So many at the moment.
  std::size_t Count(Held what) const ASSENT_EXCLUDES(mutex_);

 private:
  using Unread = std::multimap<std::chrono::steady_clock::time_point, Place*>;  // the oldest first
  using Counts = std::array<std::size_t, 4>;                                    // by Held
  using Table = std::map<std::string, Counts>;
  struct Account {
    Table::iterator connection;
    Table::iterator address;
  };

  const Share& LimitOf(Held what) const;
  // Whose limit has no room for so much more.
  enum class Full : std::uint8_t { kNo, kConnection, kAddress, kAll };
  Full WhereFull(Held what, const Account& account, std::size_t more) const ASSENT_REQUIRES(mutex_);
  void Add(Held what, const Account& account, std::size_t more) ASSENT_REQUIRES(mutex_);
  void Tidy(const Account& account) ASSENT_REQUIRES(mutex_);
  Status HoldAnswer(Place& place, std::size_t bytes, std::function<void()> give_up)
      ASSENT_EXCLUDES(mutex_);
  // Takes the room of those who have left their answers lying for longest, as far as it must.
  Full MakeRoom(const Place& place, std::size_t bytes, std::chrono::steady_clock::time_point now,
                std::vector<std::function<void()>>& given_up) ASSENT_REQUIRES(mutex_);
  void Drop(Place& place) ASSENT_REQUIRES(mutex_);
  void Leave(Place& place) ASSENT_EXCLUDES(mutex_);

  const HoldingLimits limits_;
  mutable Mutex mutex_;
  Counts all_ ASSENT_GUARDED_BY(mutex_){};
  Table connections_ ASSENT_GUARDED_BY(mutex_);
  Table addresses_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, std::size_t> watches_ ASSENT_GUARDED_BY(mutex_);  // by gid
  std::size_t submits_ ASSENT_GUARDED_BY(mutex_) = 0;
  Unread unread_ ASSENT_GUARDED_BY(mutex_);
};

// Of one call or stream, from its beginning to its end.
class Holdings::Place {
 public:
  ~Place() { holdings_.Leave(*this); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  // So many bytes wait to be taken from now on, instead of those before: if there were any, as long
  // as they. `give_up` is called, from any thread and at most once, if they are still there when
  // others need the room: it must end the call without waiting for its reader, and be quick.
  // kResourceExhausted: there is no room.
  Status HoldAnswer(std::size_t bytes, std::function<void()> give_up) {
    return holdings_.HoldAnswer(*this, bytes, std::move(give_up));
  }
  void AnswerTaken();

 private:
  friend class Holdings;
  Place(Holdings& holdings, Held what, const Account& account, security::Account::SeatPtr seat)
      : holdings_(holdings), what_(what), account_(account), seat_(std::move(seat)) {}

  Holdings& holdings_;
  Held what_;
  const Account account_;
  const security::Account::SeatPtr seat_;  // of its caller's limits; nullptr: it has none
  // And what_ with the holdings' lock; clang does not see that it is the same one:
  std::size_t bytes_ = 0;
  std::chrono::steady_clock::time_point since_{};
  std::function<void()> give_up_;
  Unread::iterator unread_;  // while bytes_ are not 0
};

}  // namespace assent::service
