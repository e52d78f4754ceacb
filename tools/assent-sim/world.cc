#include "tools/assent-sim/world.h"

#include <algorithm>
#include <utility>

#include "tools/assent-sim/planner.h"

namespace assent::sim {
namespace {

std::vector<bool> Unary(const Options& options) {
  std::vector<bool> unary(options.services, false);
  for (std::uint32_t i = 0; i < options.unary_services; ++i) unary[options.services - 1 - i] = true;
  return unary;
}

// No schedule needs so many: more is a storm (L3), or something that never ends (L1).
constexpr std::uint64_t kMaxEventsPerTransaction = 70'000;

}  // namespace

World::World(const Options& options, bool tracing, bool fixed_pace,
             std::vector<TransactionPlan> plans)
    : sim_(options, tracing), ledger_(sim_), network_(sim_, options.services) {
  sim_.fixed_pace = fixed_pace;
  ledger_.Open(plans.empty() ? DrawPlans(sim_) : std::move(plans));
  const std::vector<bool> unary = Unary(options);
  if (options.coordinators > 1) OpenStore();
  for (std::uint64_t i = 0; i < options.coordinators; ++i) {
    Place place{.index = i, .count = options.coordinators, .store = store_.get()};
    place.clock = static_cast<Time>(i) * options.clocks_apart * kHour;
    place.forward = [this, i](std::uint64_t to, const std::string& gid, engine::Request request) {
      Forward(i, to, gid, std::move(request));
    };
    coordinators_.push_back(
        std::make_unique<Coordinator>(sim_, ledger_, network_, unary, std::move(place)));
  }
  for (std::uint32_t i = 0; i < options.services; ++i) {
    participants_.push_back(std::make_unique<Participant>(sim_, ledger_, network_, i, unary[i]));
    for (const auto& c : coordinators_) participants_.back()->AddCoordinatorLife(&c->life());
  }
  std::vector<Coordinator*> all;
  for (const auto& c : coordinators_) all.push_back(c.get());
  people_ = std::make_unique<People>(sim_, ledger_, std::move(all));
  if (options.dead_service)
    dead_service_ = static_cast<std::int64_t>(sim_.dice.Below(options.services));
}

// ---- The course of a schedule -------------------------------------------------------------------

void World::Open() {
  for (const auto& c : coordinators_) c->Start();
  for (std::size_t i = 0; i < participants_.size(); ++i) StartParticipant(i);
  people_->Open();
}

void World::Run() {
  Open();
  DrawMisfortunes();
  sim_.At(sim_.options.window, EventKind::kHeal);
  while (Step()) {
    if (sim_.healed && AtRest()) break;
  }
  Finish();
}

bool World::Step() {
  if (!sim_.violation().empty() || !sim_.Next(event_)) return false;
  if (++events_ > kMaxEventsPerTransaction * ledger_.size()) {
    sim_.Violate("L3 broken: " + std::to_string(events_) + " events, and no end; " +
                 WhyNotAtRest());
    return false;
  }
  sim_.Mix(static_cast<std::uint64_t>(event_.at) * 32 + static_cast<std::uint64_t>(event_.kind));
  sim_.Mix(event_.a);
  Dispatch(event_);
  ledger_.CheckTouched();
  if (sim_.healed) CheckBound();
  return sim_.violation().empty();
}

void World::Heal() {
  sim_.Say([] { return std::string("---- the world heals: no more faults ----"); });
  sim_.healed = true;
  healed_at_ = sim_.now;
  network_.Heal();
  if (store_) store_->Heal();
  peers_blocked_.clear();
  for (const auto& c : coordinators_) {
    c->SetFull(log::MemoryLog::Full::kNone);
    if (c->HasSetAside()) c->Die(false, 0);
    if (!c->up()) c->Start();
  }
  for (std::size_t i = 0; i < participants_.size(); ++i) {
    participants_[i]->SetFull(false);
    if (!participants_[i]->up()) StartParticipant(i);
  }
  people_->ReleaseHolds();
  if (store_) sim_.After(sim_.options.lease, EventKind::kRelease);
}

void World::Finish() {
  if (!sim_.violation().empty()) return;
  people_->AskAll();
  for (int i = 0; i < 200 && Step(); ++i) {
  }
  while (!AtRest() && Step()) {
  }
  if (!sim_.violation().empty()) return;
  if (sim_.options.retire_rows && dead_service_ < 0) {
    // Hours later the participants clear their barriers; what was under way has long arrived.
    sim_.After(5 * kHour, EventKind::kRetire);
    healed_at_ = sim_.now + 5 * kHour;
    while (Step()) {
    }
  }
  CheckRest();
}

// ---- Events -------------------------------------------------------------------------------------

// Whose process is stopped does nothing until it is continued; what has arrived waits.
bool World::Waits(const Event& e) {
  std::size_t service = participants_.size();
  if (e.kind == EventKind::kFrameToParticipant || e.kind == EventKind::kWriteDoneAtParticipant ||
      e.kind == EventKind::kClosedAtParticipant || e.kind == EventKind::kConnected)
    service = network_.connection(e.a).service;
  if (e.kind == EventKind::kUnaryToParticipant) service = network_.letter(e.a).service;
  if (e.kind == EventKind::kParticipantTick || e.kind == EventKind::kGroupBegins ||
      e.kind == EventKind::kGroupCommits || e.kind == EventKind::kQuestionRound)
    service = e.a;
  if (service == participants_.size()) return false;
  const Time until = participants_[service]->stopped_until();
  if (sim_.now >= until) return false;
  sim_.At(until, e.kind, e.a, e.b);
  return true;
}

void World::Dispatch(const Event& e) {
  if (Waits(e)) return;
  switch (e.kind) {
    case EventKind::kTurn: return Of(e.a).OnTurn(e.a, e.b);
    case EventKind::kLogWrite: return Of(e.a).OnLogWrite(e.a);
    case EventKind::kLogSync: return Of(e.a).OnLogSync(e.a);
    case EventKind::kHubTick: return Of(e.a).OnHubTick(e.a);
    case EventKind::kPace: return Of(e.a).OnPace(e.a);
    case EventKind::kUnaryDeadline: return Of(e.a).OnUnaryDeadline(e.a, e.b);
    case EventKind::kUnaryLink: return Of(e.b).OnUnaryLink(e.a, participants_[e.a]->up());
    case EventKind::kCoordinatorStarts:
      if (!Of(e.a).up()) Of(e.a).Start();
      if (sim_.healed) people_->ReleaseHolds();  // a failure injected before may strike only now
      return;
    case EventKind::kFrameToCoordinator:
    case EventKind::kClosedAtCoordinator: {
      Coordinator& c = Of(network_.connection(e.a).coordinator_life);
      if (sim_.now < c.paused_until()) return sim_.At(c.paused_until(), e.kind, e.a, e.b);
      if (e.kind == EventKind::kClosedAtCoordinator) return c.OnClosed(e.a);
      if (auto frame = network_.TakeAtCoordinator(e.a)) c.OnFrame(e.a, *frame);
      return;
    }
    case EventKind::kFrameToParticipant: {
      const auto frame = network_.TakeAtParticipant(e.a);
      if (frame) participants_[network_.connection(e.a).service]->OnFrame(e.a, frame.get());
      return;
    }
    case EventKind::kConnected:
      return participants_[network_.connection(e.a).service]->OnConnected(e.a);
    case EventKind::kWriteDoneAtCoordinator:
      return Of(network_.connection(e.a).coordinator_life).OnWriteDone(e.a);
    case EventKind::kWriteDoneAtParticipant:
      return participants_[network_.connection(e.a).service]->OnWriteDone(e.a);
    case EventKind::kClosedAtParticipant:
      return participants_[network_.connection(e.a).service]->OnClosed(e.a);
    case EventKind::kUnaryToParticipant:
      --network_.letters_under_way;
      return participants_[network_.letter(e.a).service]->OnLetter(network_.letter(e.a));
    case EventKind::kUnaryToCoordinator:
      --network_.letters_under_way;
      return Of(network_.letter(e.a).coordinator_life).OnLetter(network_.letter(e.a));
    case EventKind::kParticipantStarts: return StartParticipant(e.a);
    case EventKind::kParticipantTick: return participants_[e.a]->OnTick(e.b);
    case EventKind::kGroupBegins: return participants_[e.a]->OnGroupBegins(e.b);
    case EventKind::kGroupCommits: return participants_[e.a]->OnGroupCommits(e.b);
    case EventKind::kQuestionRound: return participants_[e.a]->OnQuestionRound(e.b);
    case EventKind::kInitiator: return people_->OnInitiator(e.a);
    case EventKind::kPatienceEnds: return people_->OnPatienceEnds(e.a, e.b);
    case EventKind::kLocalCommit: return OnLocalCommit(e.a);
    case EventKind::kFault: return Suffer(misfortunes_[e.a].first, misfortunes_[e.a].second);
    case EventKind::kHeal: return Heal();
    case EventKind::kRetire:
      for (auto& participant : participants_) participant->AskAgain();
      return;
    case EventKind::kWallRight: sim_.wall_offset = 0; return;
    case EventKind::kFiber: return Of(e.a).OnFiber(e.a, e.b);
    case EventKind::kProcessEnds: return Of(e.a).OnProcessEnds(e.a);
    case EventKind::kForwarded:
    case EventKind::kStoreArrives:
    case EventKind::kStoreCommits:
    case EventKind::kStoreReplicates:
    case EventKind::kStoreLockTimeout:
    case EventKind::kStoreAnswer:
    case EventKind::kStoreBroken:
    case EventKind::kStoreUp:
    case EventKind::kRelease: return DispatchTogether(e);
  }
}

// In the database of its first branch, whose process may be down.
void World::OnLocalCommit(std::size_t t) {
  Participant& participant = *participants_[ledger_.plan(t).branches[0].service];
  if (participant.store().open())
    return sim_.After(sim_.Draw(sim_.options.commit_max), EventKind::kLocalCommit, t);
  people_->OnLocalEnd(t, !ledger_.books(t).by_hand && participant.CommitLocally(t));
}

void World::StartParticipant(std::size_t service) {
  if (participants_[service]->up() || static_cast<std::int64_t>(service) == dead_service_) return;
  participants_[service]->Start();
  if (participants_[service]->unary())
    for (const auto& c : coordinators_) c->LinkChanges(static_cast<std::uint32_t>(service));
}

bool World::SomebodyIsDown() const {
  return !coordinators_.front()->up() || std::any_of(participants_.begin(), participants_.end(),
                                                     [](const auto& p) { return !p->up(); });
}

void World::KillCoordinator(bool power, std::size_t kept, bool torn) {
  Kill(AnyIndex(), power, kept, torn);
}

void World::Kill(std::uint64_t i, bool power, std::size_t kept, bool torn) {
  if (!coordinators_[i]->up()) return;
  coordinators_[i]->Die(power, kept, torn);
  sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts, i);
}

void World::PauseCoordinator(Time until) {
  const std::uint64_t i = AnyIndex();
  sim_.Say([&] { return coordinators_[i]->name() + " is stopped, and will be continued"; });
  if (store_) stood_until_[i] = std::max(stood_until_[i], until);
  coordinators_[i]->Pause(until);
}

void World::StopParticipant(std::uint32_t s) {
  const Time until = sim_.now + sim_.Draw(sim_.options.attempt_timeout * 4 + sim_.options.window);
  sim_.Say([&] { return "s" + std::to_string(s) + " is stopped, and will be continued"; });
  if (until > sim_.now + sim_.options.attempt_timeout) sim_.marks.Set(Mark::kParticipantStopped);
  participants_[s]->Stop(until);
}

void World::KillParticipant(std::size_t service, bool power) {
  if (!participants_[service]->up()) return;
  participants_[service]->Die(power);
  if (participants_[service]->unary())
    for (const auto& c : coordinators_) c->LinkChanges(static_cast<std::uint32_t>(service));
  sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kParticipantStarts, service);
}

// ---- Misfortunes --------------------------------------------------------------------------------

void World::Add(Misfortune what, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    misfortunes_.emplace_back(what, sim_.dice.Below(participants_.size()));
    const Time when =
        static_cast<Time>(sim_.dice.Below(static_cast<std::uint64_t>(sim_.options.window)));
    sim_.At(when, EventKind::kFault, misfortunes_.size() - 1);
  }
}

void World::DrawMisfortunes() {
  const Options& o = sim_.options;
  Add(Misfortune::kCoordinatorDies, o.coordinator_deaths);
  Add(Misfortune::kParticipantDies, o.participant_deaths);
  Add(Misfortune::kSessionCut, o.session_cuts);
  Add(Misfortune::kPartition, o.partitions);
  Add(Misfortune::kPause, o.pauses);
  Add(Misfortune::kWallJump, o.wall_jumps);
  Add(Misfortune::kLogFull, o.log_full_spells);
  Add(Misfortune::kLogFree, o.log_full_spells);
  Add(Misfortune::kSyncFails, o.log_sync_failures);
  Add(Misfortune::kParticipantFull, o.participant_full_spells);
  Add(Misfortune::kParticipantFree, o.participant_full_spells);
  Add(Misfortune::kOperator, o.operator_acts);
  Add(Misfortune::kParticipantStops, o.participant_stops);
  Add(Misfortune::kWallLeaps, o.wall_leaps);
  Add(Misfortune::kWalLost, o.lost_wals);
  Add(Misfortune::kGidTaken, o.taken_gids);
  Add(Misfortune::kStoreCut, o.store_cuts);
  Add(Misfortune::kStoreBlocked, o.store_blocks);
  Add(Misfortune::kStoreDown, o.store_outages);
  Add(Misfortune::kFailOver, o.fail_overs);
  Add(Misfortune::kWaitsCancelled, o.cancelled_waits);
  Add(Misfortune::kPeersBlocked, o.peer_blocks);
  Add(Misfortune::kDrain, o.drains);
  Add(Misfortune::kMove, o.moves);
  Add(Misfortune::kStandbyGone, o.standby_gones);
  Add(Misfortune::kSeparated, o.unreached);
  Add(Misfortune::kSlotDamaged, o.slot_damages);
  Add(Misfortune::kStoreCopied, o.store_restores);
  Add(Misfortune::kStoreRestored, 2 * o.store_restores);  // the first may come before the copy
  Add(Misfortune::kAllDie, o.all_die);
  if (!o.restores) return;
  Add(Misfortune::kLogCopied, 1);
  Add(Misfortune::kLogRestored, 2);  // the first may come before there is a copy
}

void World::Partition(std::uint32_t s) {
  const Time until = sim_.now + sim_.Draw(sim_.options.window);
  const std::uint64_t way = sim_.dice.Below(3);
  sim_.Say([&] {
    return "partition between s" + std::to_string(s) + " and the coordinator" +
           (way == 0   ? ""
            : way == 1 ? ", towards s"
                       : ", from s");
  });
  if (way != 2) network_.Block(s, true, until);
  if (way != 1) network_.Block(s, false, until);
}

void World::Suffer(Misfortune what, std::uint64_t service) {
  if (sim_.healed) return;
  const auto s = static_cast<std::uint32_t>(service);
  if (what >= Misfortune::kStoreCut) return SufferTogether(what, s);
  switch (what) {
    case Misfortune::kCoordinatorDies:
      return KillCoordinator(sim_.dice.Chance(sim_.options.power_loss),
                             sim_.dice.Below(coordinator().disk().unsynced_groups() + 1),
                             sim_.dice.Chance(500));
    case Misfortune::kParticipantDies: return KillParticipant(s, sim_.dice.Chance(300));
    case Misfortune::kSessionCut: return network_.CutOneOf(s);
    case Misfortune::kPartition: return Partition(s);
    case Misfortune::kPause:
      sim_.marks.Set(Mark::kPaused);
      return PauseCoordinator(sim_.now +
                              sim_.Draw(sim_.options.attempt_timeout * 4 + sim_.options.window));
    case Misfortune::kWallJump:
      sim_.marks.Set(Mark::kWallJumped);
      sim_.wall_offset += sim_.dice.Between(-5, 5) * kHour;
      return sim_.Say([&] { return std::string("the wall clock jumps"); });
    case Misfortune::kLogFull:
      sim_.Say([] { return std::string("the log's disk is full"); });
      return coordinator().SetFull(static_cast<log::MemoryLog::Full>(
          sim_.dice.Between(1, log::MemoryStore::kFullCount - 1)));
    case Misfortune::kLogFree: return coordinator().SetFull(log::MemoryLog::Full::kNone);
    case Misfortune::kSyncFails: return coordinator().FailNextSync();
    case Misfortune::kParticipantFull: return participants_[s]->SetFull(true);
    case Misfortune::kParticipantFree: return participants_[s]->SetFull(false);
    case Misfortune::kParticipantStops: return StopParticipant(s);
    case Misfortune::kLogCopied:
      if (!coordinator().up()) return;  // who is down is not stopped to be copied
      coordinator().Copy();
      return sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts);
    case Misfortune::kLogRestored:
      if (!coordinator().up() || !coordinator().has_copy()) return;
      coordinator().Restore();
      return sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts);
    case Misfortune::kWallLeaps:
      sim_.marks.Set(Mark::kWallLeapt);
      sim_.wall_offset = (sim_.dice.Chance(700) ? 1 : -1) * (sim_.options.retention + kHour);
      sim_.Say([] { return std::string("the wall clock leaps by more than the retention"); });
      return sim_.After(sim_.Draw(sim_.options.window), EventKind::kWallRight);
    case Misfortune::kWalLost:
      if (!coordinator().up()) return;
      KillCoordinator(sim_.dice.Chance(sim_.options.power_loss),
                      sim_.dice.Below(coordinator().disk().unsynced_groups() + 1));
      return coordinator().LoseWal();
    case Misfortune::kGidTaken: {
      const std::size_t t = sim_.dice.Below(ledger_.size());
      if (!coordinator().up() || !ledger_.books(t).durable) return;
      KillCoordinator(false, 0);
      ledger_.Touch(t).gid_taken = true;
      return coordinator().TakeGid(t);
    }
    case Misfortune::kOperator:
      if (coordinator().up() || store_) people_->Operate();
      return;
    default: return;  // tidy: of several coordinators are SufferTogether's
  }
}

}  // namespace assent::sim
