#pragma once

// What a group of batches comes to in statements, and what their answers say of its entries.
//
// The order of statements is that of the entries as far as it matters: what begins is checked
// against what had finished before the group, and what the group itself finishes counts from its
// end on. A kForget stands between what comes before it and what comes behind.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/group_plan.h"
#include "coordinator/log/log.h"
#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/row_store.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

// What an attempt that was undone has taught about a group.
struct GroupLessons {
  std::set<std::uint64_t> refused_begins;  // serials: a finished row has their gid
  std::set<std::string> taken_gids;        // of ends: a finished row has it
  std::set<std::uint64_t> taken_serials;   // of ends, likewise
};

class Group {
 public:
  Group(const std::vector<const std::vector<Entry>*>& batches, const Unwritten& unwritten,
        std::function<bool(Slot)> is_loaded, std::int64_t age_ms)
      : batches_(batches),
        unwritten_(unwritten),
        is_loaded_(std::move(is_loaded)),
        age_ms_(age_ms) {}

  // kFailedPrecondition: an entry is out of turn.
  Status Plan(const GroupLessons& lessons);
  // Adds the statements; `answers` of Take and NameFault are theirs, in this order.
  void AddTo(Connection& connection) const;
  std::size_t statements_count() const { return steps_.size(); }

  // All of it is committed: what became of the entries.
  void Take(const std::vector<Answer>& answers, GroupOutcome& outcome);
  // The same, when the answers are lost; `began`: those of its Begun() that are there.
  void TakeUnseen(const std::set<std::uint64_t>& began, GroupOutcome& outcome);
  void Begun(Column& slots, Column& serials) const;

  // Undone by this statement: it moves rows to where others may be in the way.
  bool IsEnd(std::size_t statement) const { return steps_[statement].kind == Kind::kEnd; }
  void Ends(Column& gids, Column& serials) const;
  // Which begins were refused, as far as the answers go.
  std::set<std::uint64_t> RefusedBegins(const std::vector<Answer>& answers) const;
  // The rows that a statement writes, and why it must have failed; `stored`: the answer of
  // which_stored.
  void RowsOf(std::size_t statement, Column& slots, Column& serials) const;
  Status NameFault(std::size_t statement, const Rows& stored) const;

  std::int64_t finished_rows() const { return finished_rows_; }  // that Take counted

 private:
  enum class Kind : std::uint8_t { kBegin, kUpdate, kEnd, kWhole, kForget };
  struct Forgotten {
    std::size_t batch;
    std::size_t index;
    const Entry* entry;
  };
  struct Step {
    Kind kind;
    std::vector<NetWrite> rows{};
    std::vector<Forgotten> forgets{};
  };

  Status PlanEntry(std::size_t batch, std::size_t index, const Entry& entry,
                   const GroupLessons& lessons);
  void PlanForget(const Forgotten& forget);
  void FlushPlan();
  void Refuse(std::size_t batch, std::size_t index, Status status);
  void RefuseRow(std::uint64_t serial);
  void RefuseCollided();
  void Finish(GroupOutcome& outcome);
  bool Collides(const NetWrite& write);
  static void AddRows(const Step& step, std::int64_t age_ms, Connection& connection);

  const std::vector<const std::vector<Entry>*>& batches_;
  const Unwritten& unwritten_;
  const std::function<bool(Slot)> is_loaded_;
  const std::int64_t age_ms_;

  GroupPlan plan_;  // since the last kForget
  std::vector<Step> steps_;
  std::vector<std::vector<RefusedEntry>> refused_;
  std::vector<std::uint64_t> never_begun_;
  std::unordered_set<std::string_view> ended_;    // gids, in the order of entries
  std::unordered_set<std::string_view> claimed_;  // gids, in the order of rows
  std::set<std::string, std::less<>> taken_gids_;
  std::set<std::uint64_t> taken_serials_;
  std::vector<const Entry*> collided_;
  std::set<std::string_view> forgotten_;
  std::int64_t finished_rows_ = 0;
};

}  // namespace assent::log
