#pragma once

// What PostgreSQL does for the members of a cluster. Each call is one message of the simple
// protocol, which the server runs as one transaction and of which it does nothing when it arrives
// in part; so nothing of a member that is stopped in the middle of a call is left behind.
//
// It opens its connection when it needs one, again when it was lost, and looks each time whether
// this is still the server that it was: after a fail-over that may have lost commits, the store is
// of a newer generation (CheckOrigin).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/cluster/member_store.h"
#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/origin.h"
#include "coordinator/log/postgresql/schema.h"

namespace assent::log {

struct PostgresMemberOptions {
  ConnectionOptions connection;
  SchemaOptions schema;  // of a log that is made now
  OriginOptions origin{};
  // Moments of the wall clock, in milliseconds since 2020; serials begin with them.
  std::function<std::int64_t()> serial_now_ms{};
};

class PostgresMemberStore final : public cluster::MemberStore {
 public:
  // How far beyond now a beat lets serials go.
  static constexpr std::int64_t kSerialsAheadMs = 60'000;

  // For what somebody else has locked.
  static constexpr std::chrono::milliseconds kLockPatience{300};

  explicit PostgresMemberStore(PostgresMemberOptions options);

  // Also as Connection::Open and OpenSchema. kUnavailable: the server does not answer, or the
  // earlier start of this node cannot be ended yet.
  Result<cluster::Joined> Join(const cluster::MemberCard& card) override;
  Status Beat() override;
  Result<cluster::View> Look() override;
  Result<Fenced> Fence(std::uint64_t victim, std::uint64_t seen_beat,
                       const std::vector<cluster::Heir>& heirs,
                       const cluster::Asked& asked) override;
  Status Claim(const std::vector<cluster::Heir>& heirs) override;
  Status Want(std::uint64_t owner, const std::vector<Slot>& slots, std::uint64_t to) override;
  Status SetDraining(std::uint64_t epoch, bool draining, const cluster::Asked& asked) override;
  Status SetPin(const std::vector<Slot>& slots, const std::string& node,
                const cluster::Asked& asked) override;
  Status Leave() override;

  // Who has ended this epoch and for whom, if the store can still tell, else `why`. Another start
  // of the same node: kAlreadyExists; the log has moved: kNotFound; somebody said that it was
  // restored: kAborted. `since`: how long ago it cannot have ended yet. Any thread;
  // its own connection.
  static Status WhyEnded(const ConnectionOptions& options, std::uint64_t epoch,
                         std::chrono::milliseconds since, const Status& why);

  // How far this member's serials may go: durable since Join, or the last Beat.
  std::int64_t serial_limit_ms() const { return serial_limit_ms_; }
  // So many Beats were OK.
  std::uint64_t beats() const { return beats_; }
  // How long the cluster has run, as far as this member knows.
  std::int64_t RanMs() const;

 private:
  Status Open();
  Status Connect();
  Status LookAtOrigin();
  Status WhyNoBeat();
  Answer Do(const std::string& statements);
  Status NoAnswer(const Answer& answer) const;
  Result<bool> TryToJoin(const cluster::MemberCard& card, const LogRow& log,
                         cluster::Joined& joined);
  Status ReadJoined(cluster::Joined& joined);
  void Tidy();
  void EndSessions(const std::string& of_members);

  const PostgresMemberOptions options_;
  std::unique_ptr<Connection> connection_;
  std::uint64_t epoch_ = 0;
  std::uint64_t beats_ = 0;
  std::uint64_t generation_ = 0;        // of the store, when it had all our beats
  std::uint64_t found_generation_ = 0;  // by the connection that is open
  std::int64_t age_at_join_ms_ = 0;
  std::chrono::steady_clock::time_point joined_at_;
  std::int64_t serial_limit_ms_ = 0;
};

}  // namespace assent::log
