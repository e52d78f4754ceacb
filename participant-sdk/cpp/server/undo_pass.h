#pragma once

// The way back of what a step wrote, for the adapters that keep images of rows: rows are looked at
// and written many to a message. What is asked and written is the adapter's to say.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "participant-sdk/cpp/server/undo_rows.h"

namespace assent::server {

// `Impl`: an adapter's Db::Impl. `Answer`: of one of its statements. `Write`: a statement with
// `row`, of which row it is, for people.
template <typename Impl, typename Answer, typename Shape, typename Write>
class UndoPass {
 public:
  // Empty: nothing is in the way; of what failed the Db knows what.
  const std::string& conflict() const { return conflict_; }

 protected:
  using Rows = UndoRows<Shape>;
  using Key = typename Rows::Key;
  using Moment = typename Rows::Moment;

  explicit UndoPass(Impl& db) : db_(db) {}
  ~UndoPass() = default;

  // Adds the question for one row, with its lock: no row, or its image.
  virtual void AddLook(const Shape& shape, const Key& key) = 0;
  virtual Result<Fields> Parse(const Shape& shape, std::string_view image) const = 0;
  virtual void AddWrite(const Write& write) = 0;
  virtual std::vector<Answer> SendWrites(std::size_t count) = 0;

  // Locks all rows, and looks whether they are as the step left them, or as they were before it.
  bool CheckRows(Moment moment) {
    for (auto first = rows_.rows().begin(); first != rows_.rows().end();) {
      auto last = first;
      std::size_t count = 0;
      for (; last != rows_.rows().end() && count < kMaxBatchCount; ++last, ++count)
        AddLook(*last->second.shape, last->first.second);
      std::vector<Answer> answers;
      if (!db_.Send(count, answers)) return false;
      for (std::size_t i = 0; first != last; ++first, ++i) {
        if (!CheckRow(first->first.second, first->second, answers[i], moment)) return false;
      }
    }
    return true;
  }

  // Writes what is in the batch, if it is full.
  bool WriteFullBatch() { return batch_.size() < kMaxBatchCount || WriteBatch(); }
  bool WriteBatch() {
    if (batch_.empty()) return true;
    for (const Write& write : batch_) AddWrite(write);
    const std::vector<Answer> answers = SendWrites(batch_.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Answer& answer = answers[i];
      if (answer.ok() && answer.table.changed() == 1) continue;
      if (answer.ok()) return Conflict(CannotBeWritten(batch_[i].row));
      if (answer.failure == decltype(answer.failure)::kConstraint)
        return Conflict(WouldViolate(batch_[i].row, answer.message));
      db_.Fail(answer.failure, answer.status());
      return false;
    }
    batch_.clear();
    return true;
  }

  bool Conflict(std::string what) {
    conflict_ = std::move(what);
    return false;
  }

  Impl& db_;
  Rows rows_;
  std::vector<Write> batch_;

 private:
  // Statements that go in one message.
  static constexpr std::size_t kMaxBatchCount = 256;

  bool CheckRow(const Key& key, const typename Rows::Row& row, const Answer& found, Moment moment) {
    Fields now;
    if (found.table.rows() > 0) {
      Result<Fields> parsed = Parse(*row.shape, found.table.Text(0, 0));
      if (!parsed.ok())
        return Conflict("row " + row.shape->Describe(key) + ": " + parsed.status().message());
      now = std::move(*parsed);
    }
    conflict_ = Rows::FindConflict(key, row, now, moment);
    return conflict_.empty();
  }

  std::string conflict_;
};

}  // namespace assent::server
