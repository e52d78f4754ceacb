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

  // Before a publish. `count`, which is asked now and then: rows up to bound(), as a
  // Result<std::int64_t>; what is wrong with it is what is said. kResourceExhausted: full, as of
  // the last count.
  template <typename Count>
  Status Admit(const Count& count) {
    if (WantsCount(Clock::now())) {
      const Result<std::int64_t> waiting = count();
      if (!waiting.ok()) return waiting.status();
      Counted(static_cast<std::size_t>(*waiting));
    }
    return Room();
  }
  std::size_t bound() const { return options_.max_waiting_count; }

 private:
  bool WantsCount(Clock::time_point now);
  Status Room() const;
  void Counted(std::size_t waiting);

  const OutboxOptions options_;
  mutable Mutex mutex_;
  Clock::time_point counted_at_ ASSENT_GUARDED_BY(mutex_) = Clock::time_point::min();
  std::size_t since_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ ASSENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace assent::internal::outbox
