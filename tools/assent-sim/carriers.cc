#include "tools/assent-sim/carriers.h"

#include <algorithm>
#include <utility>

#include "tools/assent-sim/coordinator_life.h"

namespace assent::sim {

// ---- Streams ------------------------------------------------------------------------------------

void Coordinator::Stream::Write(const v1::CoordinatorFrame& frame) {
  for (const v1::BranchCommand& command : frame.commands())
    owner_.CheckLeaves(command.gid(), command.branch_id(), command.operation(), command.attempt());
  owner_.network_.FromCoordinator(number_, std::make_unique<v1::CoordinatorFrame>(frame));
}

void Coordinator::Stream::Finish(const Status&) {
  Connection& c = owner_.network_.connection(number_);
  owner_.sim_.Say(
      [&] { return "the coordinator's session of s" + std::to_string(c.service) + " is over"; });
  const bool tell = !c.closed_at_coordinator && !c.closed_at_participant && !c.cut;
  c.closed_at_coordinator = true;
  if (tell) owner_.network_.CloseByCoordinator(number_);
  owner_.life_->streams.erase(number_);  // and this
}

void Coordinator::OnFrame(std::uint64_t number, v1::ParticipantFrame& frame) {
  const Connection& c = network_.connection(number);
  if (!life_ || c.coordinator_life != life_number_) return;
  auto& stream = life_->streams[number];
  if (!stream) {
    stream = std::make_unique<Stream>(*this, number);
    stream->sink = life_->hub.OnStream(*stream, "ipv4:sim:" + std::to_string(number));
  }
  ASSENT_CHECK(
      std::exchange(stream->reading, false));  // nobody here asks as much as would pause it
  const transport::DispatcherCounters before = life_->board.counters();
  const std::shared_ptr<transport::FrameSink> sink = stream->sink;
  sink->OnFrame(frame, 0);
  const transport::DispatcherCounters after = life_->board.counters();
  if (after.stale_replies > before.stale_replies) sim_.marks.Set(Mark::kStaleReply);
  if (after.mismatched_replies > before.mismatched_replies) sim_.marks.Set(Mark::kLieIgnored);
}

void Coordinator::OnWriteDone(std::uint64_t number) {
  if (!life_ || network_.connection(number).coordinator_life != life_number_) return;
  const auto found = life_->streams.find(number);
  if (found == life_->streams.end()) return;
  const std::shared_ptr<transport::FrameSink> sink = found->second->sink;
  sink->OnWritten();
}

void Coordinator::OnClosed(std::uint64_t number) {
  Connection& c = network_.connection(number);
  if (c.closed_at_coordinator && c.cut) return;
  if (!life_ || c.coordinator_life != life_number_) return;
  const auto found = life_->streams.find(number);
  if (found == life_->streams.end()) {
    c.closed_at_coordinator = true;
    return;
  }
  const std::shared_ptr<transport::FrameSink> sink = found->second->sink;
  sink->OnClosed();
}

void Coordinator::OnHubTick(std::uint64_t life) {
  if (!life_ || life != life_number_) return;
  if (Postponed(EventKind::kHubTick, life, 0)) return;
  life_->board.Tick();
  life_->hub.Tick();
  life_->ticking = sim_.now <= life_->last_send + 2 * sim_.options.attempt_timeout;
  if (life_->ticking) sim_.After(sim_.options.hub_tick, EventKind::kHubTick, life_number_);
}

void Coordinator::OnPace(std::uint64_t life) {
  if (!life_ || life != life_number_) return;
  if (Postponed(EventKind::kPace, life, 0)) return;
  life_->board.Tick();
  for (const transport::ServiceFigures& figures : life_->board.Figures()) {
    if (figures.opened > 0) sim_.marks.Set(Mark::kBreakerOpened);
  }
}

// ---- Calls --------------------------------------------------------------------------------------

void Coordinator::Calls::Start(std::uint32_t, transport::CallSink& sink) { sink_ = &sink; }

void Coordinator::Calls::Add(std::size_t target, const transport::Endpoint& endpoint) {
  const auto service = static_cast<std::uint32_t>(std::stoul(endpoint.address.substr(1)));
  services_.emplace(target, service);
  owner_.LinkChanges(service);
}

void Coordinator::Calls::Remove(std::size_t target) {
  for (const auto& [call, to] : under_way_) ASSENT_CHECK(to != target);
  services_.erase(target);
}

bool Coordinator::Calls::Call(std::size_t target, std::uint64_t call, transport::Command& command) {
  if (!linked_[services_.at(target)]) return false;
  owner_.CheckLeaves(command.gid, command.branch_id, static_cast<int>(command.operation),
                     command.attempt);
  Letter letter;
  letter.service = services_.at(target);
  letter.coordinator_life = owner_.life_number_;
  letter.call = call;
  const core::Millis timeout = command.timeout;
  letter.command = std::move(command);
  under_way_[call] = target;
  (void)owner_.network_.SendCommand(std::move(letter));
  owner_.sim_.After(std::chrono::duration_cast<core::Micros>(timeout).count(),
                    EventKind::kUnaryDeadline, owner_.life_number_, call);
  return true;
}

void Coordinator::Calls::OnLink(std::uint32_t service, bool up) {
  linked_[service] = up;
  owner_.sim_.Say([&] {
    return "the coordinator is " + std::string(up ? "" : "not ") + "connected to s" +
           std::to_string(service);
  });
  for (const auto& [target, at] : services_) {
    if (at != service) continue;
    if (up) return sink_->OnConnected(target);
    return sink_->OnUnreachable(target, "cannot connect to s" + std::to_string(service));
  }
}

void Coordinator::Calls::OnLetter(const Letter& letter) {
  transport::CallEnd end;
  end.call = letter.call;
  end.replied = letter.words.empty();
  end.reply = letter.reply;
  end.words = letter.words;
  End(std::move(end));
}

void Coordinator::Calls::OnDeadline(std::uint64_t call) {
  transport::CallEnd end;
  end.call = call;
  end.words = "DEADLINE_EXCEEDED: ";
  End(std::move(end));
}

void Coordinator::Calls::End(transport::CallEnd end) {
  const auto found = under_way_.find(end.call);
  if (found == under_way_.end()) return;  // it has ended: nobody listens any more
  end.target = found->second;
  under_way_.erase(found);
  std::vector<transport::CallEnd> ended;
  ended.push_back(std::move(end));
  sink_->OnEnded(std::move(ended));
}

void Coordinator::LinkChanges(std::uint32_t service) {
  sim_.After(sim_.Draw(sim_.options.net_max), EventKind::kUnaryLink, service, place_.index);
}

void Coordinator::OnUnaryLink(std::uint64_t service, bool up) {
  if (open_number_ == 0 || Postponed(EventKind::kUnaryLink, service, place_.index)) return;
  life_->calls.OnLink(static_cast<std::uint32_t>(service), up);
}

void Coordinator::OnUnaryDeadline(std::uint64_t life, std::uint64_t call) {
  if (life_ && life == life_number_) life_->calls.OnDeadline(call);
}

void Coordinator::OnLetter(const Letter& letter) {
  if (life_ && letter.coordinator_life == life_number_) life_->calls.OnLetter(letter);
}

// ---- What is delivered --------------------------------------------------------------------------

void Coordinator::Ears::OnReplies(std::vector<transport::Reply> replies) {
  Life& life = *owner_.life_;
  std::vector<std::vector<transport::Reply>> by_shard(life.shards.size());
  for (transport::Reply& reply : replies) {
    if (reply.result == core::AttemptResult::kNotSent) owner_.sim_.marks.Set(Mark::kNotSent);
    if (reply.result == core::AttemptResult::kUnknown &&
        reply.reason.find("was lost before it answered") != std::string::npos)
      owner_.sim_.marks.Set(Mark::kSessionLost);
    const std::size_t shard = owner_.ShardOf(reply.gid);
    by_shard[shard].push_back(std::move(reply));
  }
  for (std::size_t i = 0; i < by_shard.size(); ++i) {
    if (by_shard[i].empty()) continue;
    life.mailboxes[i].push_back(engine::RepliesRequest{std::move(by_shard[i])});
    owner_.ArmTurn(i);
  }
}

void Coordinator::Ears::OnServiceAppeared(const std::string& name) {
  const auto service = static_cast<std::uint32_t>(name[1] - '0');
  for (std::size_t i = 0; i < owner_.life_->shards.size(); ++i) {
    owner_.life_->mailboxes[i].push_back(engine::ServiceAppearedRequest{name});
    owner_.ArmTurn(i);
  }
  for (std::size_t t = 0; t < owner_.ledger_.size(); ++t) {
    const auto& branches = owner_.ledger_.plan(t).branches;
    if (std::any_of(branches.begin(), branches.end(),
                    [&](const BranchPlan& b) { return b.service == service; })) {
      ++owner_.ledger_.Touch(t).wakers;
      if (owner_.ledger_.books(t).durable) owner_.sim_.marks.Set(Mark::kServiceAppeared);
    }
  }
}

void Coordinator::Ears::OnQuestion(transport::OutcomeQuestion question,
                                   std::function<void(transport::OutcomeAnswer)> answer) {
  const std::string gid = question.gid;
  const std::uint64_t began_epoch = question.began_epoch;
  owner_.sim_.Say([&] { return "somebody asks what became of " + gid + " " + question.branch_id; });
  (void)owner_.Post(
      gid, engine::QuestionRequest{std::move(question),
                                   [&owner = owner_, life = owner_.life_number_, began_epoch,
                                    answer = std::move(answer)](transport::OutcomeAnswer told) {
                                     if (!owner.life_ || owner.life_number_ != life) return;
                                     owner.CheckTold(told, began_epoch);
                                     answer(std::move(told));
                                   }});
}

}  // namespace assent::sim
