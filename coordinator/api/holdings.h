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
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>

namespace assent::api {

struct HoldingLimits {
  // Calls under way, without those below.
  std::size_t max_calls_count = 65'536;
  std::size_t max_calls_per_address_count = 32'768;
  std::size_t max_calls_per_connection_count = 4'096;
  // Calls that gather a page: List.
  std::size_t max_pages_count = 256;
  std::size_t max_pages_per_address_count = 128;
  std::size_t max_pages_per_connection_count = 32;
  // Watch and SubmitStream.
  std::size_t max_streams_count = 2'048;
  std::size_t max_streams_per_address_count = 1'024;
  std::size_t max_streams_per_connection_count = 256;
  std::size_t max_watches_per_transaction_count = 64;
  // Unanswered submits of all SubmitStreams together.
  std::size_t max_streamed_submits_count = 1'048'576;
  // Replies of one SubmitStream that have not been taken; beyond it the stream is read no further.
  std::size_t max_stream_waiting_bytes = 4 * 1024 * 1024;
  // Answers of more than uncounted_answer_bytes that have not been taken.
  std::size_t max_unread_bytes = 256 * 1024 * 1024;
  std::size_t max_unread_per_address_bytes = 128 * 1024 * 1024;
  std::size_t max_unread_per_connection_bytes = 64 * 1024 * 1024;
  std::size_t uncounted_answer_bytes = 4 * 1024;
  // How long an answer is certainly left to its reader.
  std::chrono::milliseconds unread_patience{2'000};
};

enum class Held : std::uint8_t { kCall, kPage, kStream };

class Holdings {
 public:
  class Place;

  explicit Holdings(HoldingLimits limits) : limits_(limits) {}
  Holdings(const Holdings&) = delete;
  Holdings& operator=(const Holdings&) = delete;

  // A call or stream begins. `peer` is gRPC's: "ipv4:127.0.0.1:53412", "ipv6:%5B::1%5D:53412", or
  // "unix:" for all clients of a Unix socket, who count as one address. kResourceExhausted: nothing
  // has begun. The holdings outlive the place.
  Result<std::unique_ptr<Place>> Enter(Held what, const std::string& peer);
  // A further watch of a transaction, until it is given back.
  Status EnterWatch(const std::string& gid);
  void LeaveWatch(const std::string& gid);
  // A submit on a stream.
  Status EnterSubmit();
  void LeaveSubmit();

  const HoldingLimits& limits() const { return limits_; }
  std::size_t unread_bytes() const;

 private:
  struct Counts {
    std::array<std::size_t, 3> by_kind{};
    std::size_t unread_bytes = 0;
    std::size_t& of(Held what) { return by_kind[static_cast<std::size_t>(what)]; }
    bool empty() const { return by_kind == std::array<std::size_t, 3>{} && unread_bytes == 0; }
  };
  using Unread = std::multimap<std::chrono::steady_clock::time_point, Place*>;  // the oldest first
  using Table = std::map<std::string, Counts, std::less<>>;

  Status CheckNumbers(Held what, const std::string& connection, const std::string& address);
  // Whose limit has no room for so many bytes more.
  enum class Full : std::uint8_t { kNo, kConnection, kAddress, kAll };
  Full WhereFull(const Place& place, std::size_t bytes) const;
  Status HoldAnswer(Place& place, std::size_t bytes, std::function<void()> give_up);
  // Takes the room of those who have left their answers lying for longest, as far as it must.
  Full MakeRoom(const Place& place, std::size_t bytes, std::chrono::steady_clock::time_point now,
                std::vector<std::function<void()>>& given_up);
  void Drop(Place& place);
  void Leave(Place& place);

  const HoldingLimits limits_;
  mutable std::mutex mutex_;
  Counts all_;                                               // guarded by mutex_
  Table connections_;                                        // guarded by mutex_
  Table addresses_;                                          // guarded by mutex_
  std::map<std::string, std::size_t, std::less<>> watches_;  // guarded by mutex_; by gid
  std::size_t submits_ = 0;                                  // guarded by mutex_
  Unread unread_;                                            // guarded by mutex_
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
  Place(Holdings& holdings, Held what, Table::iterator connection, Table::iterator address)
      : holdings_(holdings), what_(what), connection_(connection), address_(address) {}

  Holdings& holdings_;
  const Held what_;
  const Table::iterator connection_;
  const Table::iterator address_;
  // Guarded by the holdings' mutex_:
  std::size_t bytes_ = 0;
  std::chrono::steady_clock::time_point since_{};
  std::function<void()> give_up_;
  Unread::iterator unread_;  // while bytes_ are not 0
};

// Ends a call without waiting for its reader, as long as it is there. May outlive it.
class Canceller {
 public:
  explicit Canceller(grpc::CallbackServerContext* context) : context_(context) {}
  void Cancel() {
    const std::lock_guard lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  // The call is over: its OnDone.
  void Forget() {
    const std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

 private:
  std::mutex mutex_;
  grpc::CallbackServerContext* context_;  // guarded by mutex_
};

// The address in gRPC's name of a peer: without the port.
std::string AddressOf(const std::string& peer);

}  // namespace assent::api
