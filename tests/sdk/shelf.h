#pragma once

// A resource in memory that keeps the participant's contract in all three protocols, and can be
// told to break it: goods are free, held or sold, and their sum is constant.

#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <assent/resource.h>

namespace assent::testing {

class Shelf final : public Resource {
 public:
  enum class Bug { kNone, kNoTombstone, kOtherAnswer, kConfirmWithoutTry, kRefusesEmptyUndo };

  explicit Shelf(int goods) : free_(goods) {}

  void set_bug(Bug bug) { bug_ = bug; }
  void set_busy(bool busy) { busy_ = busy; }
  int free() const { return free_; }
  int held() const { return held_; }
  int sold() const { return sold_; }

  std::vector<OfferedAction> Actions() const override {
    return {{"take", Protocol::kTwoPhase},
            {"take", Protocol::kTcc},
            {"take", Protocol::kSaga},
            {"busy", Protocol::kSaga}};
  }

  void Execute(Call call, Responder respond) override { respond(Run(call)); }
  std::vector<HeldBranch> Questions(std::size_t) override { return {}; }
  void Answer(const HeldBranch&, Verdict, bool) override {}

 private:
  enum class State { kNothing, kHeld, kSold, kUndone };
  struct Row {
    State state = State::kNothing;
    int quantity = 0;
    std::map<Operation, Reply> answers;
  };

  Reply Run(const Call& call) {
    const std::lock_guard lock(mutex_);
    if (call.action == "busy" && busy_) return Reply::RetryLater("busy");
    Row& row = rows_[{call.gid, call.branch_id}];
    const auto known = row.answers.find(call.operation);
    if (known != row.answers.end()) {
      Reply again = known->second;
      if (bug_ == Bug::kOtherAnswer) again.result += "!";
      return again;
    }
    Reply reply = Apply(call, row);
    row.answers.emplace(call.operation, reply);
    return reply;
  }

  Reply Apply(const Call& call, Row& row) {
    switch (call.operation) {
      case Operation::kPrepare:
      case Operation::kTry: {
        Reply reply = Hold(call, row);
        if (call.one_phase && reply.kind == Reply::Kind::kDone) Sell(row);
        return reply;
      }
      case Operation::kAction: {
        Reply reply = Hold(call, row);
        if (reply.kind == Reply::Kind::kDone) Sell(row);
        return reply;
      }
      case Operation::kCommit:
      case Operation::kConfirm:
        if (row.state == State::kHeld) {
          Sell(row);
          return Reply::Done();
        }
        return bug_ == Bug::kConfirmWithoutTry ? Reply::Done() : Reply::Refused("nothing is held");
      case Operation::kRollback:
      case Operation::kCancel:
        if (row.state == State::kSold) return Reply::Refused("it is sold");
        return Release(row);
      case Operation::kCompensate: return Release(row);
    }
    return Reply::RetryLater("unknown");
  }

  Reply Hold(const Call& call, Row& row) {
    if (row.state == State::kUndone && bug_ != Bug::kNoTombstone)
      return Reply::Refused("undone before it came");
    const int quantity = std::atoi(call.payload.c_str());
    if (quantity > free_) return Reply::Refused("only " + std::to_string(free_) + " left");
    free_ -= quantity;
    held_ += quantity;
    row.state = State::kHeld;
    row.quantity = quantity;
    return Reply::Done("took " + std::to_string(quantity));
  }
  void Sell(Row& row) {
    held_ -= row.quantity;
    sold_ += row.quantity;
    row.state = State::kSold;
  }
  Reply Release(Row& row) {
    if (row.state == State::kNothing && bug_ == Bug::kRefusesEmptyUndo)
      return Reply::Refused("what undo?");
    if (row.state == State::kHeld) held_ -= row.quantity, free_ += row.quantity;
    if (row.state == State::kSold) sold_ -= row.quantity, free_ += row.quantity;
    row.state = State::kUndone;
    return Reply::Done();
  }

  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Row> rows_;
  int free_ = 0;
  int held_ = 0;
  int sold_ = 0;
  Bug bug_ = Bug::kNone;
  bool busy_ = true;
};

}  // namespace assent::testing
