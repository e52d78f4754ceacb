#pragma once

// One connection's fenced way into the store. A group goes as one message, from BEGIN to COMMIT,
// and behind its first statement nothing of it is done unless this member's lane is open, by this
// very connection, and not fenced.
//
// A group whose answer is lost is settled before anybody hears of it: the lane is opened again,
// which waits for whatever of the old connection may still be under way and makes sure that it can
// never come later, and then the store says whether the group is there.
//
// Single-threaded, but for away().

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/origin.h"
#include "coordinator/log/postgresql/stop_flag.h"

namespace assent::log {

struct LaneOptions {
  ConnectionOptions connection;
  // While the store is away a lane keeps trying, until this is raised. Outlives the lane.
  StopFlag* stop = nullptr;
  OriginOptions origin{};
  // The store does not answer, and why; it answers again. On the lane's thread.
  std::function<void(const Status&)> on_away{};
  std::function<void()> on_back{};
  // A group without an answer has been settled: it had been committed, or never will be.
  std::function<void(bool committed)> on_settled{};
};

// How a group ended.
struct GroupResult {
  enum class What : std::uint8_t {
    kCommitted,
    kCommittedUnseen,  // committed, and what its statements returned is lost
    kRejected,         // undone by one of its statements
    // Nothing of it is there. kResourceExhausted: it may be tried again; else the lane is of no use
    // any more.
    kFailed,
  };
  What what = What::kFailed;
  std::vector<Answer> answers;  // of the group's own statements
  std::size_t rejected_at = 0;  // kRejected: which of them; answers[rejected_at] says why
  Status why;
};

class Lane {
 public:
  explicit Lane(LaneOptions options) : options_(std::move(options)) {}

  // For the first time; its row must be there. Fails at once when the store does, with the
  // connection's words.
  Status Open(std::uint64_t epoch, int lane);

  // `fill` adds the statements; it is called again whenever they are sent again.
  GroupResult Commit(const std::function<void(Connection&)>& fill);
  // For reading, opened again if need be: waits while the store is away. Not ok: as kFailed.
  Result<Connection*> ForReading();

  // Between groups: not ok when something is missing that the store had acknowledged to this lane.
  Status Confirm();
  // Something is missing that it had acknowledged to others, for us. Nothing is written any more.
  Status Lost(const std::string& what);

  // Others have our slots. Nothing is written any more.
  bool fenced() const { return fenced_; }
  // The store has lost what it had acknowledged to us. Nothing is written any more.
  bool regressed() const { return regressed_; }
  bool away() const;
  // Rises with each opening: what was read through another may have been another server's.
  std::uint64_t conn() const { return conn_; }

 private:
  Status Connect();
  Status OpenOnce();
  Result<std::uint64_t> TakeOver();
  void EndOldSession();
  Status Reopen();
  Result<bool> Settle();  // the group in flight is committed; else it never will be
  GroupResult Undone(std::vector<Answer> answers, std::size_t at);
  void NoteAway(const Status& why);
  void NoteBack();
  Status Failed(Status why);

  const LaneOptions options_;
  std::uint64_t epoch_ = 0;
  int lane_ = 0;
  std::unique_ptr<Connection> connection_;  // null: to be opened
  std::uint64_t conn_ = 0;
  std::uint64_t generation_ = 0;        // of the store, when all was there that it had acknowledged
  std::uint64_t found_generation_ = 0;  // by the connection that is open
  std::uint64_t stored_seq_ = 0;        // as of the last opening
  std::uint64_t seq_ = 0;               // of the last group that we know is committed
  bool fenced_ = false;
  bool regressed_ = false;
  std::atomic<bool> away_ = false;
  std::atomic<std::int64_t> waits_since_ms_ = 0;  // 0: for nothing
};

}  // namespace assent::log
