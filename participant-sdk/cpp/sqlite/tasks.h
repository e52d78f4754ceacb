#pragma once

// The kinds of work that queue for the executor.

#include <future>
#include <memory>
#include <utility>

#include "participant-sdk/cpp/sqlite/executor.h"

namespace assent::sqlite::internal {

// One operation of a branch. When the outcome is unknown the responder is dropped uncalled: the
// coordinator hears nothing, which is the truth, and asks again. One that has been answered while
// it waits for a claim may run once more, as a command that comes twice does; the barrier keeps
// what it comes to for whoever asks again.
class CallTask final : public Task {
 public:
  CallTask(Call call, Responder respond) : call_(std::move(call)), respond_(std::move(respond)) {}
  void Run(Runner& runner) override {
    reply_ = runner.Run(call_);
    blocked_by_ = runner.blocked_by();
    tells_ = runner.tells();
  }
  void Answer() override {
    if (const Responder respond = std::exchange(respond_, nullptr)) respond(std::move(reply_));
  }
  void NotDone(const Status& why) override {
    reply_ = Reply::RetryLater(why.ToString());
    Answer();
  }
  void Unknown(const Status&) override { respond_ = nullptr; }
  bool goes_first() const override { return call_.operation == Operation::kCommit; }
  std::string_view blocked_by() const override { return blocked_by_; }
  bool tells() const override { return tells_; }
  std::pair<std::int64_t, std::string_view> age() const override {
    return {call_.began_unix_ms, call_.gid};
  }

 private:
  Call call_;
  Responder respond_;
  Reply reply_;
  std::string blocked_by_;
  bool tells_ = false;
};

// A write of the service's own. Its caller waits.
class LocalTask final : public Task {
 public:
  struct Outcome {
    Status status;
    bool conflict = false;
  };
  explicit LocalTask(const std::function<Status(Db&)>& write) : write_(write) {}
  std::future<Outcome> future() { return promise_.get_future(); }
  void Run(Runner& runner) override {
    outcome_.status = runner.RunLocal(write_, outcome_.conflict);
  }
  void Answer() override { promise_.set_value(std::move(outcome_)); }
  void NotDone(const Status& why) override { promise_.set_value({why, false}); }
  void Unknown(const Status& why) override {
    promise_.set_value(
        {UnknownOutcome("the write may or may not have been kept: " + why.message()), false});
  }

 private:
  const std::function<Status(Db&)>& write_;
  Outcome outcome_;
  std::promise<Outcome> promise_;
};

// The coordinator's word on a branch held here. Lost ones are asked for again.
class AnswerTask final : public Task {
 public:
  AnswerTask(HeldBranch branch, Verdict verdict, bool finished)
      : branch_(std::move(branch)), verdict_(verdict), finished_(finished) {}
  void Run(Runner& runner) override { runner.RunAnswer(branch_, verdict_, finished_); }
  void Answer() override {}
  void NotDone(const Status&) override {}
  void Unknown(const Status&) override {}
  bool goes_first() const override { return verdict_ == Verdict::kCommit; }

 private:
  HeldBranch branch_;
  Verdict verdict_;
  bool finished_;
};

}  // namespace assent::sqlite::internal
