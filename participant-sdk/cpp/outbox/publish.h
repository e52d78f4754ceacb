#pragma once

// The part of Publish that is the same for every database: what is checked, what the row has, when
// to count what waits.

#include <chrono>
#include <cstdint>
#include <string>

#include <assent/outbox.h>
#include <assent/status.h>
#include <assent/thread_safety.h>
#include <assent/transaction.h>

namespace assent::internal::outbox {

// What the publisher writes; every other column has its default.
struct NewRow {
  std::string gid;
  std::string ordering_key;  // empty: NULL
  std::string request;
};
// kInvalidArgument, as Client::Submit would say.
Result<NewRow> RowOf(const Transaction& transaction, const PublishOptions& options);

// The database's words come to these.
Status DuplicateGid(const std::string& gid);
Status NoTransaction();
Status NotRecorded();
Status NoTable(const std::string& words);

// Whether there is room, as of the last count. Thread-safe.
class Gauge {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Gauge(OutboxOptions options) : options_(options) {}

  // Before a publish. True: count up to bound() first, and tell by Counted.
  bool WantsCount(Clock::time_point now);
  // kResourceExhausted: full, as of the last count.
  Status Room() const;
  void Counted(std::size_t waiting);
  std::size_t bound() const { return options_.max_waiting_count; }

 private:
  const OutboxOptions options_;
  mutable Mutex mutex_;
  Clock::time_point counted_at_ ASSENT_GUARDED_BY(mutex_) = Clock::time_point::min();
  std::size_t since_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ ASSENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace assent::internal::outbox
