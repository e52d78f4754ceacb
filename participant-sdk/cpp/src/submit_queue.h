#pragma once

// Many transactions on one stream to each coordinator, as a pure state machine: submissions and
// stream reports in, things to do out.
//
// Invariant: every submission is completed exactly once. Until then it is held, and sent again on
// another connection: the coordinators know it by its gid. On each stream at most one write is
// under way; whatever is submitted meanwhile goes into the next frame. What may have been done by
// one coordinator goes to another only if they are known to share a log.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
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
#include "participant-sdk/cpp/src/routes.h"

namespace assent::internal {

class SubmitQueue {
 public:
  struct Options {
    RoutesPtr routes;
    std::size_t max_pending_count = 65'536;
    std::size_t max_pending_bytes = 256 * 1024 * 1024;
    ClientRetry retry;
    // For a connection, where another coordinator could be tried.
    std::chrono::milliseconds patience{500};
    std::uint64_t seed = 0;
  };
  // `connection` counts dials over all endpoints.
  struct Dial {
    std::uint64_t connection;
    std::string endpoint;
  };
  struct Send {
    std::uint64_t connection;
    v1::SubmitRequestFrame frame;
  };
  struct Cancel {
    std::uint64_t connection;
  };
  struct Complete {
    Connection::ReportCallback done;
    Result<Report> result;
  };
  using Action = std::variant<Dial, Send, Cancel, Complete>;
  using Actions = std::vector<Action>;

  explicit SubmitQueue(Options options);

  void Submit(v1::SubmitRequest request, Connection::ReportCallback done, SteadyTime deadline,
              SteadyTime now, Actions* out);
  // `gone`: endpoints that are not to be waited for any more.
  void SetRoutes(RoutesPtr routes, const std::vector<std::string>& gone, SteadyTime now,
                 Actions* out);
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
  const RoutesPtr& routes() const { return routes_; }
  bool Uses(std::uint64_t connection) const;
  std::size_t connected_count() const { return connected_count_; }

 private:
  // One stream to one coordinator, and the dials before it.
  struct Line {
    Line(std::string its_endpoint, const Backoff& its_backoff)
        : endpoint(std::move(its_endpoint)), backoff(its_backoff) {}
    bool Stands() const { return started && !cancelled; }

    const std::string endpoint;
    Backoff backoff;  // between dials
    std::uint64_t connection = 0;
    bool connected = false;  // dialled and not closed
    bool started = false;    // there is a connection
    bool writing = false;
    bool cancelled = false;
    std::optional<SteadyTime> dial_at;  // it has failed
    std::optional<SteadyTime> patient_until;
    std::deque<std::uint64_t> unsent;
  };
  struct Pending {
    v1::SubmitRequest request;
    Connection::ReportCallback done;
    SteadyTime submitted;
    SteadyTime deadline;
    std::size_t bytes = 0;
    Line* line = nullptr;
    bool sent = false;        // handed to its line's connection, which stood
    bool maybe_done = false;  // was sent on a connection that broke
    std::optional<SteadyTime> retry_at;
    std::optional<SteadyTime> failing_since;  // refused with "try again"
    std::uint32_t refusals = 0;
  };
  using PendingMap = std::map<std::uint64_t, Pending>;  // by request_id: in order of submission

  Line* Of(std::uint64_t connection);
  Line& LineTo(const std::string& endpoint);
  // The line that it is to go on now; the owner's is dialled if need be.
  Line& Choose(const Pending& pending, SteadyTime now, Actions* out);
  void Assign(PendingMap::iterator pending, SteadyTime now, Actions* out);
  void AssignAll(const std::vector<std::uint64_t>& ids, SteadyTime now, Actions* out);
  bool AnyStands() const;
  void GiveUpOn(Line& line, Actions* out);
  // Lines that lead nowhere any more.
  void Forget();
  void OnReply(const Line& line, v1::SubmitReply* reply, SteadyTime now, Actions* out);
  void Finish(PendingMap::iterator pending, Result<Report> result, Actions* out);
  Status GiveUpOn(const Pending& pending, const Status& last) const;
  void Connect(Line& line, SteadyTime now, Actions* out);
  void Pump(Line& line, Actions* out);
  void PumpAll(Actions* out);
  void TickLine(Line& line, SteadyTime now, Actions* out);
  // When nothing has been heard for so long that this one is given up; max() while a line stands.
  SteadyTime HopeUntil(const Pending& pending) const;

  const Options options_;
  RoutesPtr routes_;
  Backoff refusal_backoff_;  // between sendings of what was refused with "try again"
  std::uint64_t last_id_ = 0;
  PendingMap pending_;
  std::size_t bytes_ = 0;
  std::set<std::pair<SteadyTime, std::uint64_t>> deadlines_;
  std::set<std::pair<SteadyTime, std::uint64_t>> retries_;
  bool shut_down_ = false;

  std::list<Line> lines_;  // held by address
  std::uint64_t connections_ = 0;
  std::size_t connected_count_ = 0;
  std::optional<SteadyTime> down_since_;  // no line stands
  Status last_failure_;
};

}  // namespace assent::internal
