#pragma once

// Many transactions on one stream, as a pure state machine: submissions and stream reports in,
// things to do out.
//
// Invariant: every submission is completed exactly once. Until then it is held, and sent again on
// each new connection: the coordinator knows it by its gid. At most one write is under way;
// whatever is submitted meanwhile goes into the next frame.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <assent/connection.h>
#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "participant-sdk/cpp/src/backoff.h"
#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/retry.h"

namespace assent::internal {

class SubmitQueue {
 public:
  struct Options {
    std::string endpoint;
    std::size_t max_pending_count = 65'536;
    std::size_t max_pending_bytes = 256 * 1024 * 1024;
    ClientRetry retry;
    std::uint64_t seed = 0;
  };
  struct Dial {
    std::uint64_t connection;
  };
  struct Send {
    v1::SubmitRequestFrame frame;
  };
  struct Cancel {};
  struct Complete {
    Connection::ReportCallback done;
    Result<Report> result;
  };
  using Action = std::variant<Dial, Send, Cancel, Complete>;
  using Actions = std::vector<Action>;

  explicit SubmitQueue(Options options);

  void Submit(v1::SubmitRequest request, Connection::ReportCallback done, SteadyTime deadline,
              SteadyTime now, Actions* out);
  void OnStarted(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnFrame(std::uint64_t connection, v1::SubmitReplyFrame* frame, SteadyTime now, Actions* out);
  void OnMalformed(std::uint64_t connection, const std::string& why, Actions* out);
  void OnWritten(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnClosed(std::uint64_t connection, const Status& why, SteadyTime now, Actions* out);
  void OnTick(SteadyTime now, Actions* out);
  SteadyTime Due() const;
  // Completes everything and takes nothing more.
  void Shutdown(Actions* out);

  std::size_t pending() const { return pending_.size(); }
  std::size_t pending_bytes() const { return bytes_; }

 private:
  struct Pending {
    v1::SubmitRequest request;
    Connection::ReportCallback done;
    SteadyTime submitted;
    SteadyTime deadline;
    std::size_t bytes = 0;
    bool sent = false;        // handed to the current connection, which stood
    bool maybe_done = false;  // was sent on a connection that broke
    std::optional<SteadyTime> retry_at;
    std::optional<SteadyTime> failing_since;  // refused with "try again"
    std::uint32_t refusals = 0;
  };
  using PendingMap = std::map<std::uint64_t, Pending>;  // by request_id: in order of submission

  void OnReply(v1::SubmitReply* reply, SteadyTime now, Actions* out);
  void Finish(PendingMap::iterator pending, Result<Report> result, Actions* out);
  Status GiveUpOn(const Pending& pending, const Status& last) const;
  void Connect(SteadyTime now, Actions* out);
  void Pump(Actions* out);
  // When nothing has been heard for so long that this one is given up; max() while connected.
  SteadyTime HopeUntil(const Pending& pending) const;

  const Options options_;
  Backoff backoff_;          // between dials
  Backoff refusal_backoff_;  // between sendings of what was refused with "try again"
  std::uint64_t last_id_ = 0;
  PendingMap pending_;
  std::size_t bytes_ = 0;
  std::deque<std::uint64_t> unsent_;
  std::set<std::pair<SteadyTime, std::uint64_t>> deadlines_;
  std::set<std::pair<SteadyTime, std::uint64_t>> retries_;
  bool shut_down_ = false;

  // The connection.
  std::uint64_t connection_ = 0;
  bool connected_ = false;  // dialled and not closed
  bool started_ = false;    // there is a connection
  bool writing_ = false;
  bool cancelled_ = false;
  std::optional<SteadyTime> dial_at_;
  std::optional<SteadyTime> down_since_;
  Status last_failure_;
};

}  // namespace assent::internal
