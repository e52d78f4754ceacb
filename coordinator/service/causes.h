#pragma once

// Unfinished transactions, counted by what keeps them from ending.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/core/transaction.h"
#include "coordinator/service/asker.h"
#include "coordinator/service/list.h"

namespace assent::service {

// Rows of an answer; transactions of further causes are one number.
inline constexpr std::size_t kMaxCausesCount = 200;
// Beyond so many different words for one thing that fails, it is one row without words.
inline constexpr std::size_t kMaxWordingsCount = 16;
inline constexpr std::size_t kMaxSampleGidsCount = 5;
// Counts that walk at a time; whoever asks the same meanwhile gets the same answer.
inline constexpr std::size_t kMaxCauseWalksCount = 4;
inline constexpr std::size_t kMaxCauseAskersCount = 100;  // of the same

// Counts, in bounded room.
class CauseTable {
 public:
  explicit CauseTable(bool by_service) : by_service_(by_service) {}

  void Add(const core::Transaction& txn, bool decision_visible, const core::Now& now);
  // What another one has counted.
  void Add(const v1::ListCausesReply& counted);
  // What somebody should look at comes first.
  void Fill(v1::ListCausesReply& out) const;

 private:
  struct Group {
    std::map<std::string, v1::Cause> rows;  // by key
    bool merged = false;                    // there is one row, under the group's own key
  };
  // nullptr: there is no room.
  v1::Cause* RowFor(const std::string& group, const std::string& exact);
  void Merge(const std::string& key, Group& group);

  const bool by_service_;
  std::map<std::string, Group> groups_;  // by key
  std::size_t rows_ = 0;
  std::uint64_t others_ = 0;
  std::uint64_t total_ = 0;
};

// Answers a ListCauses: walks the shards in slices, as a List does, and asks all other coordinators
// for what they have counted; with a slice, a part of what this one has. `abandoned` is asked now
// and then. `done` is called once, from another thread.
void RunCauses(const ListScope& scope, v1::ListCausesRequest request,
               std::function<bool()> abandoned,
               std::function<void(const Status&, v1::ListCausesReply)> done);

// One walk for all who ask the same at a time. Thread-safety: all of it, from any thread. Outlives
// the walks.
class CauseWalks {
 public:
  void Ask(const ListScope& scope, const v1::ListCausesRequest& request,
           const AskerPtr<v1::ListCausesReply>& asker) ASSENT_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  // By request.
  std::map<std::string, std::vector<AskerPtr<v1::ListCausesReply>>> askers_
      ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::service
