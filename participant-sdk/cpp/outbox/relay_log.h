#pragma once

// What a relay says: one line when something begins, and one when it ends.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <assent/outbox.h>

namespace assent::internal::outbox {

class RelayLog {
 public:
  using Clock = std::chrono::steady_clock;
  explicit RelayLog(std::function<void(const std::string&)> write);

  void Line(const std::string& line) const { write_(line); }
  // How a call of the table ended.
  void Database(const Status& status);
  // How an attempt at the coordinator ended: an answer, or why not.
  void Coordinator(const std::string& error);
  void Parked(const std::vector<OutboxTable::Settled>& rows) const;
  void Counted(const OutboxTable::Counts& counts, Clock::time_point now);
  // The last failure that has not ended.
  std::string Trouble() const { return database_.empty() ? coordinator_ : database_; }

 private:
  std::function<void(const std::string&)> write_;
  std::string database_;     // empty: it works
  std::string coordinator_;  // empty: it answers
  bool is_behind_ = false;
  Clock::time_point said_behind_at_{};
};

}  // namespace assent::internal::outbox
