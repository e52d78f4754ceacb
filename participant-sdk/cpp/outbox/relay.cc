// The relay's threads: one turns between the table and the answers, one asks by Get, which blocks.

#include <algorithm>
#include <deque>
#include <map>
#include <thread>
#include <utility>
#include <variant>

#include <assent/outbox.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/outbox/relay_log.h"
#include "participant-sdk/cpp/outbox/rules.h"
#include "participant-sdk/cpp/src/seed.h"

namespace assent {

using internal::outbox::Asked;
using internal::outbox::Settled;
using internal::outbox::Step;
using internal::outbox::Taken;
using std::chrono::milliseconds;

namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds kDatabaseBackoff{100};
constexpr milliseconds kMaxDatabaseBackoff{5'000};
constexpr milliseconds kGetTimeout{5'000};

Status AtLeastOneMs(const char* field, milliseconds value) {
  if (value.count() >= 1) return OkStatus();
  return InvalidArgument(std::string("RelayOptions::") + field + " is " +
                         std::to_string(value.count()) + " ms; at least 1");
}

}  // namespace

Status RelayOptions::Validate() const {
  if (batch < 1 || batch > limits::kMaxRelayInFlightCount / 2) {
    return InvalidArgument("RelayOptions::batch is " + std::to_string(batch) + "; 1 to " +
                           std::to_string(limits::kMaxRelayInFlightCount / 2));
  }
  Status status = AtLeastOneMs("call_timeout", call_timeout);
  if (status.ok()) status = AtLeastOneMs("idle_poll", idle_poll);
  if (status.ok()) status = AtLeastOneMs("retention_guard", retention_guard);
  if (status.ok()) status = AtLeastOneMs("count_every", count_every);
  if (!status.ok() || lease > call_timeout) return status;
  return InvalidArgument("RelayOptions::lease is " + std::to_string(lease.count()) +
                         " ms; longer than call_timeout, " + std::to_string(call_timeout.count()) +
                         " ms, or a row would be handed over again while it is under way");
}

class Relay::Impl : public std::enable_shared_from_this<Relay::Impl> {
 public:
  Impl(Client client, std::unique_ptr<OutboxTable> table, RelayOptions options)
      : client_(std::move(client)),
        table_(std::move(table)),
        options_(std::move(options)),
        log_(options_.log),
        jitter_(internal::RandomSeed()) {}

  void Start() {
    table_->Listen([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Wake();
    });
    turner_ = std::thread([this] { Run(); });
    asker_ = std::thread([this] { AskLoop(); });
  }

  void Wake() {
    const MutexLock lock(mutex_);
    woken_ = true;
    changed_.NotifyAll();
  }

  void Stop() {
    {
      const MutexLock lock(mutex_);
      if (!stop_) stop_by_ = Clock::now() + options_.stop_patience;
      stop_ = true;
      changed_.NotifyAll();
    }
    const MutexLock lock(join_mutex_);
    if (turner_.joinable()) turner_.join();
    {
      const MutexLock end(mutex_);
      ask_no_more_ = true;
      changed_.NotifyAll();
    }
    if (asker_.joinable()) asker_.join();
  }

  // On the thread that lets the relay go, and never on one of the table's own.
  void CloseTable() { table_.reset(); }

  RelayStats Stats() const {
    const MutexLock lock(mutex_);
    return stats_;
  }

 private:
  using Token = std::uint64_t;
  struct Question {
    Token token = 0;
    Asked asked = Asked::kBeforeSubmit;
    std::string gid;
  };
  struct Answer {
    Token token = 0;
    std::variant<Result<Report>, Result<TransactionInfo>> result;
    Asked asked = Asked::kBeforeSubmit;
  };
  // Handed over and without an answer. The request stays with those alone that are asked for first.
  struct Flight {
    Taken row;
    std::size_t bytes = 0;
  };

  // ---- the turner

  void Run() {
    log_.Line("event=outbox_relay_started");
    while (true) {
      TakeAnswers();
      Settle();
      const bool stopping = IsStopping();
      if (stopping && MayEnd()) break;
      if (!stopping) Count();
      if (!stopping) Turn();
      ShowStats();
      Sleep();
    }
    log_.Line("event=outbox_relay_stopped not_answered=" + std::to_string(flights_.size()) +
              " not_settled=" + std::to_string(unsettled_.size()));
  }

  void TakeAnswers() {
    std::vector<Answer> answers;
    {
      const MutexLock lock(mutex_);
      answers.swap(answers_);
      if (std::exchange(woken_, false)) next_turn_ = Clock::now();
    }
    for (Answer& answer : answers) {
      const auto at = flights_.find(answer.token);
      if (at == flights_.end()) continue;
      if (const auto* report = std::get_if<Result<Report>>(&answer.result)) {
        AfterSubmit(at, *report);
      } else {
        AfterGet(at, answer.asked, std::get<Result<TransactionInfo>>(answer.result));
      }
    }
  }

  using FlightAt = std::map<Token, Flight>::iterator;

  void AfterSubmit(FlightAt flight, const Result<Report>& report) {
    auto settled = internal::outbox::AfterSubmit(flight->second.row, report, jitter_);
    if (settled) return Land(flight, std::move(*settled));
    Ask({flight->first, Asked::kAfterSubmit, flight->second.row.gid});
  }

  void AfterGet(FlightAt flight, Asked asked, const Result<TransactionInfo>& info) {
    auto settled = internal::outbox::AfterGet(flight->second.row, asked, info, jitter_);
    if (settled) return Land(flight, std::move(*settled));
    Submit(flight);
  }

  void Land(FlightAt flight, Settled settled) {
    const bool keyed = !flight->second.row.ordering_key.empty();
    (keyed ? keyed_ : plain_) -= 1;
    bytes_ -= flight->second.bytes;
    flights_.erase(flight);
    Note(settled);
    // The next of its key may come.
    if (keyed && settled.what == Settled::What::kAnswered) next_turn_ = Clock::now();
    unsettled_.push_back(std::move(settled));
  }

  void Note(const Settled& settled) {
    const bool is_answer = settled.what != Settled::What::kLater;
    const bool failed = !is_answer && settled.words != internal::outbox::kNotComplete;
    if (is_answer || failed) log_.Coordinator(failed ? settled.words : std::string());
    const MutexLock lock(mutex_);
    stats_.handed_over += settled.what == Settled::What::kAnswered ? 1 : 0;
    stats_.parked += settled.what == Settled::What::kParked ? 1 : 0;
    stats_.failed += failed ? 1 : 0;
  }

  void Settle() {
    if (unsettled_.empty() || Clock::now() < database_at_) return;
    At("answered");
    if (!Database(table_->Settle(unsettled_))) return;
    log_.Parked(unsettled_);
    unsettled_.clear();
    At("settled");
  }

  // Whether it worked; else it is left alone for a while.
  bool Database(const Status& status) {
    log_.Database(status);
    if (status.ok()) {
      database_backoff_ = kDatabaseBackoff;
      return true;
    }
    database_at_ = Clock::now() + database_backoff_;
    database_backoff_ = std::min(2 * database_backoff_, kMaxDatabaseBackoff);
    const MutexLock lock(mutex_);
    ++stats_.database_errors;
    return false;
  }

  void Count() {
    const auto now = Clock::now();
    if (now < next_count_ || now < database_at_) return;
    next_count_ = now + options_.count_every;
    const Result<OutboxTable::Counts> counts = table_->Count(options_.count_bound);
    if (!Database(counts.status())) return;
    log_.Counted(*counts, now);
    const MutexLock lock(mutex_);
    stats_.table = *counts;
    stats_.is_counted = true;
  }

  // What there is room for. Small takes are not worth their commit.
  OutboxTable::TakeParams Wanted() const {
    constexpr std::size_t kEach = limits::kMaxRelayInFlightCount / 2;
    const auto room = [this](std::size_t used) {
      return used + options_.batch / 2 > kEach ? 0 : std::min(options_.batch, kEach - used);
    };
    if (bytes_ >= limits::kMaxRelayInFlightBytes) return {};
    return {room(plain_), room(keyed_), options_.lease};
  }

  void Turn() {
    const auto now = Clock::now();
    if (now < next_turn_ || now < database_at_) return;
    const OutboxTable::TakeParams wanted = Wanted();
    if (wanted.max_plain_count + wanted.max_keyed_count == 0) return;
    Result<OutboxTable::Batch> batch = table_->Take(wanted);
    if (!Database(batch.status())) return;
    next_turn_ = batch->is_full ? now : now + options_.idle_poll;
    if (batch->rows.empty()) return;
    At("taken");
    {
      const MutexLock lock(mutex_);
      ++stats_.turns;
    }
    for (Taken& row : batch->rows) HandOver(std::move(row));
  }

  void HandOver(Taken row) {
    const std::size_t bytes = row.request.size();
    (row.ordering_key.empty() ? plain_ : keyed_) += 1;
    bytes_ += bytes;
    const auto flight = flights_.emplace(++last_token_, Flight{std::move(row), bytes}).first;
    switch (internal::outbox::FirstStep(flight->second.row, options_.retention_guard)) {
      case Step::kPark: return Land(flight, internal::outbox::TooLarge(flight->second.row));
      case Step::kAsk: return Ask({flight->first, Asked::kBeforeSubmit, flight->second.row.gid});
      case Step::kSubmit: return Submit(flight);
    }
  }

  void Submit(FlightAt flight) {
    Taken& row = flight->second.row;
    const CallOptions call{row.ordering_key.empty() ? WaitFor::kAccepted : WaitFor::kCompleted,
                           options_.call_timeout};
    client_.SubmitEncodedAsync(
        row.gid, std::move(row.request),
        [weak = weak_from_this(), token = flight->first](Result<Report> report) {
          if (const auto self = weak.lock()) self->Put({token, std::move(report), {}});
        },
        call);
  }

  void Put(Answer answer) {
    const MutexLock lock(mutex_);
    answers_.push_back(std::move(answer));
    changed_.NotifyAll();
  }

  bool IsStopping() const {
    const MutexLock lock(mutex_);
    return stop_;
  }

  bool MayEnd() const {
    const MutexLock lock(mutex_);
    return (flights_.empty() && unsettled_.empty()) || Clock::now() >= stop_by_;
  }

  void ShowStats() {
    const MutexLock lock(mutex_);
    stats_.in_flight = flights_.size() + unsettled_.size();
    stats_.last_error = log_.Trouble();
  }

  void Sleep() {
    const MutexLock lock(mutex_);
    while (answers_.empty() && !woken_) {
      Clock::time_point until = stop_ ? stop_by_ : next_count_;
      if (!stop_ && HasRoom()) until = std::min(until, next_turn_);
      if (!unsettled_.empty()) until = std::min(until, database_at_);
      if (!stop_) until = std::max(until, database_at_);
      if (stop_ && flights_.empty() && unsettled_.empty()) return;
      const bool was_stopping = stop_;
      if (Clock::now() >= until || !changed_.WaitUntil(mutex_, until)) return;
      if (stop_ != was_stopping) return;
    }
  }

  bool HasRoom() const {
    const OutboxTable::TakeParams wanted = Wanted();
    return wanted.max_plain_count + wanted.max_keyed_count > 0;
  }

  void At(const char* point) const {
    if (options_.at_point) options_.at_point(point);
  }

  // ---- the asker

  void Ask(Question question) {
    const MutexLock lock(mutex_);
    questions_.push_back(std::move(question));
    changed_.NotifyAll();
  }

  void AskLoop() {
    while (true) {
      Question question;
      {
        const MutexLock lock(mutex_);
        while (questions_.empty() && !ask_no_more_) changed_.Wait(mutex_);
        if (ask_no_more_) return;
        question = std::move(questions_.front());
        questions_.pop_front();
      }
      Put({question.token, client_.Get(question.gid, {.wait = {}, .timeout = kGetTimeout}),
           question.asked});
    }
  }

  const Client client_;
  std::unique_ptr<OutboxTable> table_;
  const RelayOptions options_;

  // Of the turner alone.
  internal::outbox::RelayLog log_;
  SplitMix64 jitter_;
  std::map<Token, Flight> flights_;
  std::size_t plain_ = 0;
  std::size_t keyed_ = 0;
  std::size_t bytes_ = 0;
  Token last_token_ = 0;
  std::vector<Settled> unsettled_;
  Clock::time_point next_turn_{};
  Clock::time_point next_count_{};
  Clock::time_point database_at_{};
  milliseconds database_backoff_ = kDatabaseBackoff;

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Answer> answers_ ASSENT_GUARDED_BY(mutex_);
  std::deque<Question> questions_ ASSENT_GUARDED_BY(mutex_);
  bool woken_ ASSENT_GUARDED_BY(mutex_) = false;
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
  bool ask_no_more_ ASSENT_GUARDED_BY(mutex_) = false;
  Clock::time_point stop_by_ ASSENT_GUARDED_BY(mutex_){};
  RelayStats stats_ ASSENT_GUARDED_BY(mutex_);

  Mutex join_mutex_;
  std::thread turner_;
  std::thread asker_;
};

Relay::Relay(Client client, std::unique_ptr<OutboxTable> table, RelayOptions options) {
  const Status valid = options.Validate();
  ASSENT_CHECK(valid.ok());
  ASSENT_CHECK(table != nullptr);
  impl_ = std::make_shared<Impl>(std::move(client), std::move(table), std::move(options));
  impl_->Start();
}

Relay::~Relay() {
  Stop();
  impl_->CloseTable();
}

void Relay::Wake() { impl_->Wake(); }
void Relay::Stop() { impl_->Stop(); }
RelayStats Relay::Stats() const { return impl_->Stats(); }

}  // namespace assent
