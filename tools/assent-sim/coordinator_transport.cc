// The coordinator's side of streams and unary calls: what session_hub.cc and unary_dialer.cc do around the same router.

#include <algorithm>
#include <utility>

#include <assent/limits.h>

#include "coordinator/transport/wire.h"
#include "tools/assent-sim/coordinator.h"
#include "tools/assent-sim/coordinator_life.h"
#include "tools/assent-sim/invariants.h"

namespace assent::sim {

void Coordinator::CheckSend(const transport::Command& command) {
  const std::size_t t = ledger_.Find(command.gid);
  if (t == ledger_.size())
    return sim_.Violate("a command for " + command.gid + ", which nobody began");
  TransactionBooks& books = ledger_.Touch(t);
  const core::Transaction* on_platter = books.platter ? &*books.platter : nullptr;
  const SendSeen seen{books, on_platter, disk_->platter().epoch, life_->epoch, command};
  const std::string broken = BrokenAtSend(seen);
  if (!broken.empty()) return sim_.Violate(broken);

  const std::size_t b = ledger_.FindBranch(t, command.branch_id);
  BranchBooks& branch = books.branches[b];
  const Time pause = sim_.now - branch.last_sent_at;
  const bool again = branch.last_sent == command.operation && branch.last_sent_life == life_number_;
  if (again) {
    sim_.marks.Set(Mark::kAttemptTimedOut);
    const Time least =
        on_platter->spec().branches[b].retry.initial_backoff.count() * kMillisecond / 2;
    if (pause < least) ++branch.hasty;
    if (on_platter->decision() == core::Decision::kCommit &&
        command.operation == core::Operation::kAction)
      sim_.marks.Set(Mark::kForwardAfterPivot);
  }
  branch.last_sent = command.operation;
  branch.last_sent_at = sim_.now;
  branch.last_sent_life = life_number_;
}

void Coordinator::Send(std::vector<transport::Command> commands) {
  std::vector<transport::Command> by_session;
  for (transport::Command& command : commands) {
    CheckSend(command);
    sim_.Mix(command.gid);
    sim_.Mix(static_cast<std::uint64_t>(command.operation) * 1000 + command.attempt);
    sim_.Say([&] {
      return "the coordinator sends " + std::string(core::Name(command.operation)) + " #" +
             std::to_string(command.attempt) + " of " + command.gid + " " + command.branch_id +
             " to " + command.service + (command.one_phase ? " (one phase)" : "");
    });
    const std::size_t service = static_cast<std::size_t>(command.service[1] - '0');
    if (unary_[service]) {
      SendUnary(std::move(command));
    } else {
      by_session.push_back(std::move(command));
    }
  }
  if (by_session.empty()) return;
  life_->last_send = sim_.now;
  if (!std::exchange(life_->ticking, true))
    sim_.After(sim_.options.hub_tick, EventKind::kHubTick, life_number_);
  std::vector<transport::SessionId> touched;
  std::vector<transport::Reply> refused =
      life_->router.Send(std::move(by_session), sim_.Mono(), touched);
  if (!refused.empty()) sim_.marks.Set(Mark::kNotSent);
  for (const transport::ServiceInfo& info : life_->router.List("")) {
    if (info.queued > 0) sim_.marks.Set(Mark::kRouterQueued);
  }
  Deliver(std::move(refused));
  Kick(std::move(touched));
}

void Coordinator::SendUnary(transport::Command command) {
  const std::uint64_t call = life_->next_unary++;
  const core::Millis timeout = command.timeout;
  transport::Reply unknown{command.gid,
                           command.branch,
                           command.operation,
                           command.attempt,
                           core::AttemptResult::kUnknown,
                           {},
                           "DEADLINE_EXCEEDED",
                           core::Millis(0)};
  Letter letter;
  letter.service = static_cast<std::uint32_t>(command.service[1] - '0');
  letter.coordinator_life = life_number_;
  letter.call = call;
  letter.command = std::move(command);
  life_->unary[call] = {std::move(unknown)};
  (void)network_.SendCommand(std::move(letter));
  sim_.After(std::chrono::duration_cast<core::Micros>(timeout).count(), EventKind::kUnaryDeadline,
             life_number_, call);
}

void Coordinator::OnUnaryDeadline(std::uint64_t life, std::uint64_t call) {
  if (!life_ || life != life_number_) return;
  const auto found = life_->unary.find(call);
  if (found == life_->unary.end()) return;
  std::vector<transport::Reply> replies;
  replies.push_back(std::move(found->second.unknown));
  life_->unary.erase(found);
  Deliver(std::move(replies));
}

void Coordinator::OnLetter(const Letter& letter) {
  if (!life_ || letter.coordinator_life != life_number_) return;
  const auto found = life_->unary.find(letter.call);
  if (found == life_->unary.end()) return;  // its deadline has passed: nobody listens any more
  life_->unary.erase(found);
  std::vector<transport::Reply> replies;
  replies.push_back(letter.reply);
  Deliver(std::move(replies));
}

void Coordinator::Deliver(std::vector<transport::Reply> replies) {
  std::vector<std::vector<transport::Reply>> by_shard(life_->shards.size());
  for (transport::Reply& reply : replies) {
    const std::size_t shard = ShardOf(reply.gid);
    by_shard[shard].push_back(std::move(reply));
  }
  for (std::size_t i = 0; i < by_shard.size(); ++i) {
    if (by_shard[i].empty()) continue;
    life_->mailboxes[i].push_back(engine::RepliesRequest{std::move(by_shard[i])});
    ArmTurn(i);
  }
}

void Coordinator::ServiceAppeared(std::uint32_t service) {
  if (!life_) return;
  const std::string name = "s" + std::to_string(service);
  for (std::size_t i = 0; i < life_->shards.size(); ++i) {
    life_->mailboxes[i].push_back(engine::ServiceAppearedRequest{name});
    ArmTurn(i);
  }
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    const auto& branches = ledger_.plan(t).branches;
    if (std::any_of(branches.begin(), branches.end(),
                    [&](const BranchPlan& b) { return b.service == service; })) {
      ++ledger_.Touch(t).wakers;
      if (ledger_.books(t).platter) sim_.marks.Set(Mark::kServiceAppeared);
    }
  }
}

// ---- Streams ----------------------------------------------------------------------------------------------

void Coordinator::OnFrame(std::uint64_t number, const v1::ParticipantFrame& frame) {
  const Connection& c = network_.connection(number);
  if (!life_ || c.coordinator_life != life_number_) return;
  Life::Stream& stream = life_->streams[number];
  if (!stream.attached) {
    bool first = false;
    const Status status =
        life_->router.Attach(number, transport::FromWire(frame.hello()), "sim", sim_.Wall(), first);
    if (!status.ok()) return Leave(number, true);
    stream.service = c.service;
    stream.attached = stream.welcome = true;
    sim_.Say([&] { return "the coordinator welcomes s" + std::to_string(c.service); });
    MaybeWrite(number);
    if (first) ServiceAppeared(c.service);
    return;
  }
  if (frame.replies_size() > 0) {
    std::vector<transport::SessionReply> replies;
    for (const v1::BranchReply& reply : frame.replies())
      replies.push_back(transport::FromWire(reply));
    std::vector<transport::SessionId> touched;
    const transport::RouterCounters before = life_->router.counters();
    std::vector<transport::Reply> accepted =
        life_->router.OnReplies(number, std::move(replies), sim_.Mono(), touched);
    if (life_->router.counters().stale_replies > before.stale_replies)
      sim_.marks.Set(Mark::kStaleReply);
    if (life_->router.counters().mismatched_replies > before.mismatched_replies)
      sim_.marks.Set(Mark::kLieIgnored);
    Deliver(std::move(accepted));
    Kick(std::move(touched));
  }
  for (const v1::OutcomeQuery& query : frame.queries()) Ask(number, query);
  if (frame.goodbye()) life_->router.Drain(number);
}

void Coordinator::Ask(std::uint64_t number, const v1::OutcomeQuery& query) {
  const std::uint64_t life = life_number_;
  const std::size_t t = ledger_.Find(query.gid());
  sim_.Say([&] {
    return "s" + std::to_string(network_.connection(number).service) + " asks what became of " +
           query.gid() + " " + query.branch_id();
  });
  (void)Post(
      query.gid(),
      engine::QuestionRequest{
          transport::FromWire(query), [this, life, number, t, began_epoch = query.began_epoch()](
                                          transport::OutcomeAnswer answer) {
            if (!life_ || life_number_ != life) return;
            const TransactionBooks& books = ledger_.books(t);
            const bool by_hand = books.by_hand || books.restored;
            const auto& lives = disk_->seen().lives;
            const bool own = std::binary_search(lives.begin(), lives.end(), began_epoch);
            if (answer.verdict == transport::Verdict::kAbort && !own)
              sim_.Violate("S9 broken by " + answer.gid +
                           ": abort is presumed of a life that this log has missed");
            if (answer.verdict == transport::Verdict::kCannotTell)
              sim_.marks.Set(Mark::kCannotTell);
            if (answer.verdict == transport::Verdict::kAbort && books.commit_durable && !by_hand &&
                !books.forgotten)
              sim_.Violate("S9 broken by " + answer.gid +
                           ": a participant is told abort, and COMMIT is durable");
            if (answer.verdict == transport::Verdict::kCommit && !books.commit_durable && !by_hand)
              sim_.Violate("S6 broken by " + answer.gid +
                           ": a participant is told commit, and COMMIT is not durable");
            sim_.Mix(static_cast<std::uint64_t>(answer.verdict));
            const auto stream = life_->streams.find(number);
            if (stream == life_->streams.end()) return;
            stream->second.answers.push_back(std::move(answer));
            MaybeWrite(number);
          }});
}

void Coordinator::MaybeWrite(std::uint64_t number) {
  const auto found = life_->streams.find(number);
  if (found == life_->streams.end() || !found->second.attached || found->second.writing) return;
  Life::Stream& stream = found->second;
  auto frame = std::make_unique<v1::CoordinatorFrame>();
  bool any = stream.welcome || !stream.answers.empty();
  if (std::exchange(stream.welcome, false)) {
    frame->mutable_welcome()->set_session_id("session-" + std::to_string(number));
    frame->mutable_welcome()->set_coordinator_id(1);
    frame->mutable_welcome()->set_epoch(life_->epoch);
  }
  for (const transport::OutcomeAnswer& answer : stream.answers)
    transport::ToWire(answer, *frame->add_answers());
  stream.answers.clear();
  auto commands = life_->router.TakeOutbox(number, limits::kMaxFrameMessagesCount, 1024 * 1024);
  for (auto& [id, command] : commands) {
    transport::ToWire(std::move(command), id, 1, *frame->add_commands());
    any = true;
  }
  if (!any) return;
  stream.writing = true;
  network_.FromCoordinator(number, std::move(frame));
}

void Coordinator::Kick(std::vector<transport::SessionId> touched) {
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const transport::SessionId id : touched) MaybeWrite(id);
}

void Coordinator::OnWriteDone(std::uint64_t number) {
  if (!life_ || network_.connection(number).coordinator_life != life_number_) return;
  const auto found = life_->streams.find(number);
  if (found == life_->streams.end()) return;
  found->second.writing = false;
  MaybeWrite(number);
}

void Coordinator::OnClosed(std::uint64_t number) {
  Connection& c = network_.connection(number);
  if (c.closed_at_coordinator && c.cut) return;
  if (!life_ || c.coordinator_life != life_number_) return;
  Leave(number, !c.closed_at_participant && !c.cut);
}

void Coordinator::Leave(std::uint64_t number, bool tell) {
  if (life_->streams.erase(number) == 0) return;
  network_.connection(number).closed_at_coordinator = true;
  if (tell) network_.CloseByCoordinator(number);
  std::vector<transport::Reply> lost = life_->router.Detach(number);
  if (!lost.empty()) sim_.marks.Set(Mark::kSessionLost);
  sim_.Say([&] {
    return "the coordinator notices that a session of s" +
           std::to_string(network_.connection(number).service) + " is gone";
  });
  Deliver(std::move(lost));
}

void Coordinator::OnHubTick(std::uint64_t life) {
  if (!life_ || life != life_number_) return;
  if (Postponed(EventKind::kHubTick, life, 0)) return;
  std::vector<transport::SessionId> touched;
  life_->router.ExpireSlots(sim_.Mono(), touched);
  Kick(std::move(touched));
  life_->ticking = sim_.now <= life_->last_send + 2 * sim_.options.attempt_timeout;
  if (life_->ticking) sim_.After(sim_.options.hub_tick, EventKind::kHubTick, life_number_);
}

}  // namespace assent::sim
