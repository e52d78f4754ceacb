#pragma once

// A transaction that starts if, and only if, a local transaction commits.
//
// `Publish` of an adapter (assent/outbox_sqlite.h, outbox_postgresql.h, outbox_mariadb.h) writes a
// row into the table assent_outbox, within the user's own local transaction. A Relay, here in
// process or as the program assent-relay, hands it to the coordinator, at least once under its gid,
// which the coordinator makes once.
//
//   auto table = assent::sqlite::OpenOutboxTable({.path = "orders.db"});
//   assent::Relay relay(assent::Client(), std::move(table));       // runs until it goes
//
// docs/messages.md is the guide, and says what the table is.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <assent/client.h>
#include <assent/status.h>
#include <assent/transaction.h>

namespace assent {

namespace limits {
inline constexpr std::size_t kMaxOrderingKeyBytes = 128;
// A row whose request is larger is parked: no coordinator would take it.
inline constexpr std::size_t kMaxOutboxRequestBytes = 4'128'768;
// Publishes after which a publisher counts what waits, if a second has not passed before.
inline constexpr std::size_t kCountEveryPublishesCount = 1'000;
// Rows with a key that one turn of a relay looks at, one of each key.
inline constexpr std::size_t kMaxKeysPerTurnCount = 1'024;
// Requests that one turn takes, together; one that is larger goes alone.
inline constexpr std::size_t kMaxTurnBytes = 16 * 1024 * 1024;
// Rows that a relay has handed over and not settled: a half of them with a key, a half without.
inline constexpr std::size_t kMaxRelayInFlightCount = 2'048;
// Their requests, together: with more it takes nothing new.
inline constexpr std::size_t kMaxRelayInFlightBytes = 64 * 1024 * 1024;
}  // namespace limits

struct PublishOptions {
  // Transactions of one key are begun one after the other, in the order in which their rows were
  // written, each when the one before has reached all its participants. Empty: in no order, and at
  // once. UTF-8 without control characters.
  std::string ordering_key = {};
};

struct OutboxOptions {
  // More rows than this in the table: Publish answers kResourceExhausted, so that whoever makes the
  // work feels that nobody takes it. Counted once a second or every 1,000 publishes. 0: no bound.
  std::size_t max_waiting_count = 100'000;
};

// What stands in the table, and what became of it.
struct OutboxRow {
  std::int64_t id = 0;
  std::string gid = {};
  std::int64_t kind = 1;
  std::string ordering_key = {};  // empty: none
  std::size_t request_bytes = 0;
  std::int64_t attempts = 0;
  std::chrono::milliseconds age{0};
  std::optional<std::chrono::milliseconds> first_attempt_ago = {};
  std::chrono::milliseconds due_in{0};  // 0: now
  std::string parked_reason = {};       // empty: not parked
  std::string last_error = {};
};

// A relay's side of one database's table: SQL, and nothing that is decided. Used by one thread at a
// time, but for Listen. A call that fails has changed nothing or is harmless to repeat, and opens
// the connection anew the next time: kUnavailable, when the database is away or somebody has the
// table locked; kFailedPrecondition, when there is no such table.
class OutboxTable {
 public:
  struct TakeParams {
    std::size_t max_plain_count = 0;  // rows without a key, at most
    std::size_t max_keyed_count = 0;  // and with one
    std::chrono::milliseconds lease{0};
  };
  struct Taken {
    std::int64_t id = 0;
    std::string gid = {};
    std::string ordering_key = {};
    std::string request = {};
    std::int64_t attempts = 0;  // this one included
    // Empty: until now it was certainly never handed over.
    std::optional<std::chrono::milliseconds> first_attempt_ago = {};
    bool too_large = false;  // over kMaxOutboxRequestBytes: `request` was not read
  };
  struct Batch {
    std::vector<Taken> rows = {};
    bool is_full = false;  // there may be more that are due
  };
  // What becomes of a row that was taken.
  struct Settled {
    enum class What : std::uint8_t { kAnswered, kLater, kParked };
    std::int64_t id = 0;
    std::string gid = {};
    // As it was taken. Of a row that somebody else has taken since, only an answer counts: his
    // attempt may be the one that was handed over.
    std::int64_t attempts = 0;
    What what = What::kAnswered;
    std::chrono::milliseconds due_in{0};  // kLater
    std::string words = {};               // kLater: last_error, kParked: the reason
    bool never_handed_over = false;       // kLater: certainly; forget when the first attempt was
  };
  struct Counts {
    std::int64_t waiting = 0;  // rows, but for those that are parked
    std::int64_t parked = 0;
    std::int64_t unknown = 0;                 // of another kind than 1
    std::chrono::milliseconds oldest_age{0};  // of those that wait
    bool is_more = false;                     // counting ended at its bound
  };
  enum class Change : std::uint8_t { kRetry, kDrop };

  virtual ~OutboxTable() = default;
  // Leases rows that are due, in one short local transaction.
  virtual Result<Batch> Take(const TakeParams& params) = 0;
  // In one local transaction too. Rows that are gone meanwhile are left alone.
  virtual Status Settle(const std::vector<Settled>& rows) = 0;
  virtual Result<Counts> Count(std::size_t bound) = 0;
  // From now on calls `news`, on any thread, when rows may have come. Where the database cannot
  // tell, nothing is called.
  virtual void Listen(std::function<void()> news) = 0;
  // For people. The oldest first; or those alone that are parked.
  virtual Result<std::vector<OutboxRow>> List(bool parked_only, std::size_t limit) = 0;
  // kRetry: due now, not parked any more, and as if never handed over, for it was a person who
  // said so. kNotFound: there is no such row.
  virtual Status Apply(const std::string& gid, Change change) = 0;
};

struct RelayOptions {
  std::size_t batch = 256;  // rows that one turn takes
  // While rows are leased nobody else takes them. Longer than call_timeout.
  std::chrono::milliseconds lease{60'000};
  std::chrono::milliseconds call_timeout{30'000};
  std::chrono::milliseconds idle_poll{200};  // how often it looks when there was nothing to do
  // A row that was first handed over longer ago, and never answered, is asked for first: the
  // coordinator may have forgotten its gid, and would run it again. Shorter than the time that the
  // coordinator retains finished transactions for.
  std::chrono::milliseconds retention_guard{std::chrono::hours(12)};
  // How long Stop waits for what is under way.
  std::chrono::milliseconds stop_patience{10'000};
  std::chrono::milliseconds count_every{10'000};  // for Stats
  std::size_t count_bound = 100'000;
  // "event=… key=value …" without a time. Empty: to stderr.
  std::function<void(const std::string& line)> log = {};
  // For tests: called at named points ("taken", "answered", "settled"), on the relay's thread.
  std::function<void(const char* point)> at_point = {};

  // kInvalidArgument names the field.
  Status Validate() const;
};

struct RelayStats {
  // Of the table, as of the last count.
  OutboxTable::Counts table = {};
  bool is_counted = false;    // the table was counted at least once
  std::size_t in_flight = 0;  // handed over and not settled
  // Since the start.
  std::uint64_t handed_over = 0;      // answered: their rows are gone
  std::uint64_t failed = 0;           // attempts without an answer
  std::uint64_t parked = 0;           // rows
  std::uint64_t turns = 0;            // that took at least one row
  std::uint64_t database_errors = 0;  // calls of the table that failed
  std::string last_error = {};        // of the database or the coordinator; empty: all is well
};

// Thread-safe. Has two threads of its own. Several relays of one table, in one process or many, are
// right and share the work.
class Relay {
 public:
  // Begins at once. What cannot be done now (no database, no table, no coordinator) is logged when
  // it begins and when it ends, and tried again.
  Relay(Client client, std::unique_ptr<OutboxTable> table, RelayOptions options = {});
  // Stop.
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // After a commit in this process: looks at once.
  void Wake();
  // Takes nothing more, waits for what is under way, and settles it. What has no answer by then
  // stays in the table, and is due again when its lease ends.
  void Stop();
  RelayStats Stats() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace assent
