// The turn: state machines, writes, effects. What is asked of a shard is in shard_requests.cc.

#include "coordinator/engine/shard.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "coordinator/core/codec.h"
#include "coordinator/core/trace.h"

namespace assent::engine {

Shard::Shard(ShardOptions options, ShardPorts& ports)
    : options_(std::move(options)),
      ports_(ports),
      random_(options_.seed),
      writes_(options_, ports),
      history_(ports),
      waiting_(options_),
      spans_(options_),
      teller_(options_.events) {}

Shard::~Shard() {
  while (timers_.PopDue(core::kNever) != nullptr) {
  }
}

void Shard::Start(const log::Joined& joined) {
  epoch_ = joined.epoch;
  slots_count_ = joined.slots_count;
  holdings_.resize(slots_count_);
  history_.Start(joined.log_id);
}

void Shard::Handle(Request&& request, core::MonoTime mono, core::WallTime wall) {
  if (dead_) return;
  mono_ = std::max(mono_, mono);
  wall_ = wall;
  std::visit([this](auto& r) { On(std::move(r)); }, request);
}

void Shard::EndTurn(core::MonoTime mono, core::WallTime wall) {
  if (dead_) return;
  mono_ = std::max(mono_, mono);
  wall_ = wall;
  RecoverSome();
  WakeSome();
  FireTimers();
  writes_.HandOver(mono_);
  for (const auto& [serial, live] : std::exchange(changed_, {}))
    live->audience.ServeWatchers(live->txn, Now());
  if (!outgoing_.empty()) {
    sent_count_ = outgoing_.size();
    ports_.Send(std::exchange(outgoing_, {}));
  }
  PartSome();
  // Last of all: who has left does not wait here any more, and there may be no other turn.
  for (const auto& [service, more] : waiting_.TakeChanges()) {
    if (more != 0) ports_.Waiting(service, more);
  }
}

core::MonoTime Shard::Wakeup() const {
  if (dead_) return core::kNever;
  if (MayRecoverSome()) return mono_;
  return std::min({timers_.Next(), waiting_.Wakeup(mono_), writes_.Wakeup(), NextParting()});
}

// A slice at a time: the deadlines of a hundred thousand may be the same moment. While the log is
// behind only a few, so that what others write does not queue up behind all of them; but some,
// always, or a busy log would stop time.
void Shard::FireTimers() {
  if (timers_.Next() <= mono_) census_.figures.timers_late.Observe(mono_ - timers_.Next());
  for (std::size_t left = 1 + options_.slice_count / (writes_.behind() ? 16 : 1); left > 0;
       --left) {
    Timer* timer = timers_.PopDue(mono_);
    if (timer == nullptr) return;
    Live& live = *static_cast<Live*>(timer->owner);
    if (!live.holding.closed()) (void)Apply(live, core::Tick{});
  }
}

void Shard::WakeSome() {
  std::string service;
  for (std::size_t left = options_.slice_count; left > 0; --left) {
    Live* live = waiting_.Next(mono_, service);
    if (live == nullptr) return;
    if (!live->holding.closed()) (void)Apply(*live, core::ServiceAppeared{service});
  }
}

// ---- Steps --------------------------------------------------------------------------------------

Status Shard::Apply(Live& live, const core::Event& event) {
  const core::Phase phase = live.txn.phase();
  const std::vector<Spans::OnItsWay> watched = spans_.Watch(live.txn);
  core::Step step = live.txn.Apply(event, {mono_, wall_, random_.Next()});
  spans_.TellEnded(live.txn, watched);
  MarkChanged(live);
  for (const core::Effect& effect : step.effects) live.audience.Expect(effect);
  writes_.Take(live, step, mono_);
  step.effects.empty() ? Count(live) : Release(live, step.effects);
  timers_.Set(live.timer, live.txn.Wakeup());
  // Of an answer only its own branch's service is concerned, and looked after by whoever handed it
  // in.
  if (!std::holds_alternative<core::Answered>(event) || live.txn.phase() != phase)
    waiting_.SettleAll(live);
  return std::move(step.status);
}

void Shard::Release(Live& live, const std::vector<core::Effect>& effects) {
  for (const core::Effect& effect : effects) {
    std::visit([&](const auto& e) { Perform(live, e); }, effect);
  }
  Count(live);
  live.audience.Serve(live.txn, Now());
}

void Shard::Perform(Live& live, const core::Send& send) {
  const core::Branch& branch = live.txn.branches()[send.branch];
  // Overtaken while it waited to be durable (an answer to an earlier attempt, an abort, the slot's
  // leaving): nobody needs it any more.
  if (live.txn.Due(send.branch) != send.operation || !branch.in_flight ||
      branch.attempts != send.attempt || live.holding.closed())
    return;
  live.txn.NoteSent(send, Now());
  if (outgoing_.empty()) outgoing_.reserve(sent_count_);  // as many as the last time, in one piece
  const core::BranchSpec& spec = live.txn.spec().branches[send.branch];
  transport::Command& command = outgoing_.emplace_back(transport::Command{
      .gid = live.txn.gid(),
      .branch = send.branch,
      .branch_id = spec.id,
      .operation = send.operation,
      .protocol = spec.protocol,
      .service = spec.service,
      .action = spec.action,
      .payload = spec.payload,
      .results = {},
      .headers = spec.headers,
      .attempt = send.attempt,
      .one_phase = send.one_phase,
      .timeout = spec.attempt_timeout,
      .began_epoch = live.txn.began_epoch(),
      .never_sent = !branch.maybe_sent,
      .check_back = spec.check_back,
      .began_at = live.txn.began_at(),
      .slot = live.holding.slot,
      .slot_epoch = live.holding.slot_epoch,
  });
  if (live.txn.spec().trace != nullptr) {
    core::CarriedTrace trace = core::TraceFor(live.txn, send, spans_.on());
    command.traceparent = std::move(trace.traceparent);
    command.tracestate = std::move(trace.tracestate);
  }
  if (!spec.receive_results) return;
  for (const core::BranchIndex after : spec.after) {
    command.results.emplace_back(live.txn.spec().branches[after].id,
                                 live.txn.branches()[after].result);
  }
}

void Shard::Perform(Live& live, const core::Announce& announce) {
  teller_.Announced(live, announce, wall_);
  live.audience.Announce(announce);
  if (announce.milestone != core::Milestone::kDecided) return;
  const bool commit = live.txn.decision() == core::Decision::kCommit;
  ++(commit ? census_.figures.committed : census_.figures.aborted);
  census_.figures.decided_after.Observe(wall_ - live.txn.began_at());
}

void Shard::Count(Live& live) {
  const bool needs_person = census_.Count(live);
  teller_.Counted(live, needs_person, Now());
  // Nobody is told of what is not durable.
  if (needs_person && options_.on_alarm && !live.txn.finished() &&
      (live.audience.decided() || live.txn.decision() == core::Decision::kNone))
    Alert(live);
}

void Shard::Alert(Live& live) {
  const Alarm alarm = AlarmOf(live.txn);
  if (alarm == Alarm::kNone || live.AddRare().told == alarm) return;
  live.rare->told = alarm;
  options_.on_alarm(alarm, live.txn, Now());
}

void Shard::TellWritten(const Live& live, core::MonoTime handed_over) const {
  if (!spans_.Follows(live.txn)) return;
  const bool decides = !live.audience.decided() && live.txn.decision() != core::Decision::kNone;
  const std::string_view record = live.write == WriteState::kEnding ? "end"
                                  : decides                         ? "decision"
                                  : live.version == 1               ? "begin"
                                                                    : "progress";
  spans_.TellWritten(live.txn, record, live.version, mono_ - handed_over, Now());
}

void Shard::MarkChanged(Live& live) {
  if (live.audience.watched()) changed_.emplace(live.serial, &live);
}

void Shard::Attach(Live& live, std::size_t bytes, std::size_t transactions) {
  live.attached_bytes += bytes;
  live_bytes_ += bytes;
  if (options_.initiators != nullptr)
    options_.initiators->Add(live.txn.spec().initiator, transactions, bytes);
}

Status Shard::CheckAllowance(const Initiators::Name& initiator, const Allowance& allowance,
                             std::size_t transactions, std::size_t bytes) const {
  if (options_.initiators == nullptr) return OkStatus();
  return options_.initiators->Check(initiator, allowance, transactions, bytes);
}

Status Shard::CheckRoom(std::size_t bytes) const {
  if (live_bytes_ + bytes <= options_.max_live_bytes) return OkStatus();
  return ResourceExhausted("payloads and results of unfinished transactions take " +
                           std::to_string(live_bytes_ >> 20) +
                           " MiB, the limit is --max-payload-mib: try again later");
}

// ---- What the log answers -----------------------------------------------------------------------

void Shard::On(AppendedRequest&& request) {
  const Status& status = request.result.status;
  if (!status.ok() && status.code() != Code::kResourceExhausted) {
    dead_ = true;
    return ports_.Fatal(status);
  }
  Writes::Batch batch = writes_.Pop(request);
  auto refused = request.result.refused.begin();
  const auto answer_to = [&](std::size_t index) -> const Status& {
    const bool is_next = refused != request.result.refused.end() && refused->index == index;
    return is_next ? (refused++)->status : status;
  };
  if (batch.forgets != nullptr) {
    --batch.forgets->unanswered;
    return batch.forgotten(answer_to(0), nullptr, Now());
  }
  std::vector<Request> deferred;
  for (std::size_t i = 0; i < batch.written.size(); ++i) {
    Live& live = *batch.written[i];
    const Status& answer = answer_to(i);
    const Writes::Fate fate = writes_.Settle(live, answer, mono_);
    if (fate != Writes::Fate::kAgain) {
      std::vector<Request> asked = live.audience.TakeDeferred();
      std::move(asked.begin(), asked.end(), std::back_inserter(deferred));
    }
    switch (fate) {
      case Writes::Fate::kAgain: break;
      case Writes::Fate::kNotBegun: BeginRefused(live, answer); continue;
      case Writes::Fate::kNotEnded:
        // It has ended, and what it did is durable; only it cannot be found by its gid, which is
        // another's.
        SetAside(live.holding, live.serial, live.txn.gid(), answer.message());
        [[fallthrough]];
      case Writes::Fate::kEnded:
        census_.CountEnd(live.txn);
        TellWritten(live, batch.handed_over);
        spans_.TellEnd(live.txn, Now());
        if (options_.on_alarm) Alert(live);
        Release(live, std::exchange(live.after_this_write, {}));
        teller_.Ended(live, wall_);
        live.audience.Dismiss(OkStatus(), &live.txn, Now());
        Remove(live);
        continue;
      case Writes::Fate::kDurable:
        TellWritten(live, batch.handed_over);
        if (!live.audience.decided() && live.txn.decision() != core::Decision::kNone)
          live.txn.NoteDecisionDurable(
              core::WallTime(core::Millis(request.result.durable_unix_ms)));
        MarkChanged(live);
        Release(live, std::exchange(live.after_this_write, {}));
    }
    if (live.holding.closed()) Forsake(live);
  }
  for (Request& asked : deferred) Handle(std::move(asked), mono_, wall_);
}

// Nothing was begun. Either the gid belongs to a finished transaction, whose answer is theirs, or
// there was no room.
void Shard::BeginRefused(Live& live, const Status& status) {
  --census_.figures.begun;
  if (status.code() == Code::kAlreadyExists) {
    Look({.gid = live.txn.gid(),
          .spec = core::Codec::EncodeSpec(live.txn),
          .views = live.audience.TakeWaiters(),
          .watchers = live.audience.TakeWatchers(),
          .only_of = live.txn.spec().initiator});
  }
  if (status.code() == Code::kResourceExhausted) ++census_.figures.refused;
  live.audience.Dismiss(status, nullptr, Now());
  Remove(live);
}

}  // namespace assent::engine
