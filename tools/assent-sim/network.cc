#include "tools/assent-sim/network.h"

#include <algorithm>

namespace assent::sim {
// ---- Connections --------------------------------------------------------------------------------

std::uint64_t Network::Dial(std::uint32_t service, std::uint64_t participant_life,
                            std::uint64_t dial, std::uint64_t coordinator_life,
                            std::uint32_t session) {
  Connection connection;
  connection.service = service;
  connection.participant_life = participant_life;
  connection.dial = dial;
  connection.session = session;
  connection.coordinator_life = coordinator_life;
  connection.reaches = coordinator_life != 0;
  connection.last_to_coordinator = connection.last_to_participant = sim_.now;
  connections_.push_back(std::move(connection));
  const std::uint64_t number = connections_.size() - 1;
  sim_.At(Arrival(service, false, sim_.now),
          coordinator_life == 0 ? EventKind::kClosedAtParticipant : EventKind::kConnected, number);
  return number;
}

Time Network::Arrival(std::uint32_t service, bool to_participant, Time last) {
  const Blocked& blocked = blocked_[service];
  const Time until = to_participant ? blocked.to_participant : blocked.to_coordinator;
  const Time from = std::max(sim_.now, until);
  return std::max(last, from + sim_.Draw(sim_.options.net_max));
}

void Network::FromParticipant(std::uint64_t number, v1::ParticipantFrame frame) {
  Connection& c = connections_[number];
  if (frame.replies_size() > 0 && sim_.Chance(sim_.options.lie)) Forge(frame);
  c.last_to_coordinator = Arrival(c.service, false, c.last_to_coordinator);
  c.to_coordinator.push_back(std::make_unique<v1::ParticipantFrame>(std::move(frame)));
  sim_.At(c.last_to_coordinator, EventKind::kFrameToCoordinator, number);
  sim_.After(sim_.Draw(sim_.options.turn_max), EventKind::kWriteDoneAtParticipant, number);
}

void Network::FromCoordinator(std::uint64_t number, std::unique_ptr<v1::CoordinatorFrame> frame) {
  Connection& c = connections_[number];
  c.last_to_participant = Arrival(c.service, true, c.last_to_participant);
  c.to_participant.push_back(std::move(frame));
  sim_.At(c.last_to_participant, EventKind::kFrameToParticipant, number);
  // A peer that reads nothing: the write is not done before the way is free.
  const Time free = std::max(sim_.now, blocked_[c.service].to_participant);
  sim_.At(free + sim_.Draw(sim_.options.turn_max), EventKind::kWriteDoneAtCoordinator, number);
}

std::unique_ptr<v1::ParticipantFrame> Network::TakeAtCoordinator(std::uint64_t number) {
  Connection& c = connections_[number];
  if (c.to_coordinator.empty()) return nullptr;
  auto frame = std::move(c.to_coordinator.front());
  c.to_coordinator.pop_front();
  return c.closed_at_coordinator || !c.reaches ? nullptr : std::move(frame);
}

std::unique_ptr<v1::CoordinatorFrame> Network::TakeAtParticipant(std::uint64_t number) {
  Connection& c = connections_[number];
  if (c.to_participant.empty()) return nullptr;
  auto frame = std::move(c.to_participant.front());
  c.to_participant.pop_front();
  return c.closed_at_participant ? nullptr : std::move(frame);
}

void Network::CloseByParticipant(std::uint64_t number) {
  Connection& c = connections_[number];
  sim_.After(1, EventKind::kClosedAtParticipant, number);
  if (!c.cut)
    sim_.At(Arrival(c.service, false, c.last_to_coordinator), EventKind::kClosedAtCoordinator,
            number);
}

void Network::CloseByCoordinator(std::uint64_t number) {
  Connection& c = connections_[number];
  c.closed_at_coordinator = true;
  if (!c.cut)
    sim_.At(Arrival(c.service, true, c.last_to_participant), EventKind::kClosedAtParticipant,
            number);
}

void Network::Cut(std::uint64_t number) {
  Connection& c = connections_[number];
  if (c.cut || (c.closed_at_coordinator && c.closed_at_participant)) return;
  c.cut = true;
  c.to_coordinator.clear();
  c.to_participant.clear();
  const bool half_open = sim_.dice.Chance(300);
  const bool coordinator_late = sim_.dice.Chance(500);
  const Time soon = sim_.Draw(sim_.options.net_max);
  const Time late = half_open ? sim_.Draw(sim_.options.keepalive) : soon;
  if (half_open) sim_.marks.Set(Mark::kHalfOpen);
  sim_.After(coordinator_late ? late : soon, EventKind::kClosedAtCoordinator, number);
  sim_.After(coordinator_late ? soon : late, EventKind::kClosedAtParticipant, number);
  sim_.Say([&] {
    return "the connection of s" + std::to_string(c.service) + " breaks" +
           (half_open ? std::string(", and ") +
                            (coordinator_late ? "the coordinator" : "the participant") +
                            " will not notice for a while"
                      : "");
  });
}

void Network::CutOneOf(std::uint32_t service) {
  for (std::uint64_t n = connections_.size(); n > 0; --n) {
    const Connection& c = connections_[n - 1];
    if (c.service == service && c.reaches && !c.cut && !c.closed_at_participant) return Cut(n - 1);
  }
}

void Network::CoordinatorDied(std::uint64_t life, bool power) {
  for (std::uint64_t n = 0; n < connections_.size(); ++n) {
    Connection& c = connections_[n];
    if (c.coordinator_life != life || c.cut) continue;
    c.closed_at_coordinator = true;
    c.to_coordinator.clear();
    if (c.closed_at_participant) continue;
    // A dead process' kernel still sends what it has and says that the connection is gone; a dead
    // machine says nothing.
    if (power) c.to_participant.clear();
    const Time notice = power ? sim_.Draw(sim_.options.keepalive) : sim_.Draw(sim_.options.net_max);
    sim_.At(power ? sim_.now + notice : std::max(c.last_to_participant, sim_.now + notice),
            EventKind::kClosedAtParticipant, n);
  }
}

void Network::ParticipantDied(std::uint32_t service, std::uint64_t life, bool power) {
  for (std::uint64_t n = 0; n < connections_.size(); ++n) {
    Connection& c = connections_[n];
    if (c.service != service || c.participant_life != life || c.cut) continue;
    c.closed_at_participant = true;
    c.to_participant.clear();
    if (c.closed_at_coordinator || !c.reaches) continue;
    if (power) c.to_coordinator.clear();
    const Time notice = power ? sim_.Draw(sim_.options.keepalive) : sim_.Draw(sim_.options.net_max);
    sim_.At(power ? sim_.now + notice : std::max(c.last_to_coordinator, sim_.now + notice),
            EventKind::kClosedAtCoordinator, n);
  }
}

void Network::Block(std::uint32_t service, bool to_participant, Time until) {
  Time& blocked =
      to_participant ? blocked_[service].to_participant : blocked_[service].to_coordinator;
  blocked = std::max(blocked, until);
}

void Network::Separate(std::uint32_t service, std::uint32_t coordinator, Time until) {
  Time& separate = separate_[{service, coordinator}];
  separate = std::max(separate, until);
  for (std::uint64_t n = 0; n < connections_.size(); ++n) {
    const Connection& c = connections_[n];
    if (c.service == service && c.session == coordinator && c.reaches) Cut(n);
  }
}

void Network::Heal() {
  separate_.clear();
  for (Blocked& blocked : blocked_) blocked = {};
}

void Network::Forge(v1::BranchReply& lie) {
  switch (sim_.dice.Below(5)) {
    case 0: lie.set_gid(lie.gid() + "0"); break;
    case 1: lie.set_branch_id("b" + std::to_string(sim_.dice.Below(4))); break;
    case 2: lie.set_operation(static_cast<v1::Operation>(1 + sim_.dice.Below(8))); break;
    case 3: lie.set_command_id(lie.command_id() + 1 + sim_.dice.Below(3)); break;
    case 4: break;  // the same word twice
  }
}

// A participant that lies: about another branch, another operation, another command; and says the
// truth as well.
void Network::Forge(v1::ParticipantFrame& frame) {
  v1::BranchReply lie = frame.replies(0);
  Forge(lie);
  const bool still_true = lie.gid() == frame.replies(0).gid() &&
                          lie.branch_id() == frame.replies(0).branch_id() &&
                          lie.operation() == frame.replies(0).operation();
  if (!still_true && sim_.dice.Chance(500)) lie.set_kind(v1::BranchReply::DONE);
  v1::ParticipantFrame forged;
  *forged.add_replies() = std::move(lie);
  for (v1::BranchReply& reply : *frame.mutable_replies()) *forged.add_replies() = std::move(reply);
  forged.mutable_queries()->Swap(frame.mutable_queries());
  forged.set_goodbye(frame.goodbye());
  frame = std::move(forged);
}

// ---- Letters ------------------------------------------------------------------------------------

void Network::Post(Letter letter, EventKind kind, Time wait) {
  letters_.push_back(std::move(letter));
  ++letters_under_way;
  if (hold_) {
    held_.emplace_back(letters_.size() - 1, kind);
  } else {
    sim_.After(wait, kind, letters_.size() - 1);
  }
}

void Network::DeliverHeld(std::size_t i, bool keep_a_copy) {
  const auto [number, kind] = held_[i];
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
  if (keep_a_copy) {
    letters_.push_back(letters_[number]);
    ++letters_under_way;
    held_.emplace_back(letters_.size() - 1, kind);
  }
  sim_.After(1, kind, number);
}

void Network::DropHeld(std::size_t i) {
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
  --letters_under_way;
}

int Network::SendCommand(Letter letter) {
  int copies = sim_.Chance(sim_.options.unary_duplicate) ? 2 : 1;
  if (sim_.Chance(sim_.options.unary_loss)) --copies;
  if (sim_.now < blocked_[letter.service].to_participant) copies = 0;
  for (int i = 0; i < copies; ++i) {
    const bool hours = sim_.Chance(sim_.options.unary_hours);
    Post(letter, EventKind::kUnaryToParticipant,
         sim_.Draw(hours ? 3 * kHour : sim_.options.net_max));
    if (i == 1) sim_.marks.Set(Mark::kUnaryDuplicated);
  }
  return copies;
}

// In place of an answer words may come: those that the participant had from its own downstream, or
// a proxy's, which sound like the transport's own.
void Network::SendReply(Letter letter) {
  if (sim_.Chance(sim_.options.unary_loss) || sim_.now < blocked_[letter.service].to_coordinator)
    return;
  if (sim_.Chance(sim_.options.unary_words)) {
    letter.words =
        "UNAVAILABLE: failed to connect to all addresses; last error: UNKNOWN: Connection refused";
    sim_.marks.Set(Mark::kWordsLied);
  } else if (sim_.Chance(sim_.options.lie)) {
    Forge(letter.reply);
  }
  Post(std::move(letter), EventKind::kUnaryToCoordinator, sim_.Draw(sim_.options.net_max));
}

}  // namespace assent::sim
