#pragma once

// Sessions that work on what is to be prepared, of all threads of a store.
//
// What a session has prepared only that session may settle until it has ended, and it can do
// nothing else meanwhile. So it is kept, by branch, for the COMMIT or ROLLBACK that most often
// comes soon. Others end it (KILL) when the word comes to them.
//
// A session that ends gives its named locks back a moment before InnoDB lets go of what it has
// prepared. An XA COMMIT in that moment is answered with OK, does nothing, and takes the name away:
// only a restart of the server brings it back (MariaDB 10.11.19). Nothing tells that the moment is
// over; so what has no session is left alone for kDetachTime after it was seen to have none, and
// whether it was settled is looked at in the data (two_phase.h).

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/mariadb/connection.h"

namespace assent::mariadb::internal {

class Sessions {
  using Clock = std::chrono::steady_clock;

 public:
  static constexpr std::chrono::milliseconds kDetachTime{250};

  explicit Sessions(ConnectionSettings settings) : settings_(std::move(settings)) {}

  // One that has nothing to do, or a new one.
  Result<std::unique_ptr<Connection>> Open();
  // It has nothing to do. One that is broken, or too many, is closed.
  void PutIdle(std::unique_ptr<Connection> session);

  // It has prepared the work of this branch. Beyond kMaxKeptSessionsCount the oldest is closed,
  // which most likely another process has ended already: who settles that branch takes longer then.
  void Keep(const std::string& branch, std::unique_ptr<Connection> session);
  // Null: it is not here, or has not been heard of for so long that the server may have closed it.
  std::unique_ptr<Connection> Take(const std::string& branch);

  // What the branch has prepared has no session. Returns when that has been seen for kDetachTime.
  void WaitDetached(const std::string& branch);
  void ForgetDetached(const std::string& branch);

 private:
  const ConnectionSettings settings_;
  Mutex mutex_;
  CondVar never_;  // to wait for a time
  std::vector<std::unique_ptr<Connection>> idle_ ASSENT_GUARDED_BY(mutex_);
  struct Kept {
    std::string branch;
    std::unique_ptr<Connection> session;
  };
  std::vector<Kept> kept_ ASSENT_GUARDED_BY(mutex_);  // the oldest first
  // Since when they were seen to have no session. Those that nobody asks about any more go.
  std::map<std::string, Clock::time_point> detached_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::mariadb::internal
