#include "tools/assent-sim/shared_store.h"

#include <algorithm>
#include <utility>

namespace assent::sim {

SharedStore::SharedStore(Sim& sim, Slot slots_count, bool synchronous)
    : sim_(sim), synchronous_(synchronous), audit_(sim) {
  seen_.slots.resize(slots_count);
  seen_.rows.coordinator_id = 1;
  durable_ = seen_;
}

// ---- Clients ------------------------------------------------------------------------------------

std::uint64_t SharedStore::Open(std::uint64_t life, std::function<void()> wake) {
  Link link;
  link.life = life;
  link.server = server_;
  link.wake = std::move(wake);
  links_.push_back(std::move(link));
  return links_.size() - 1;
}

std::uint64_t SharedStore::Send(std::uint64_t number, StoreRequest request) {
  const std::uint64_t n = works_.size();
  Work& work = works_.emplace_back();
  work.link = number;
  work.request = std::move(request);
  Link& link = links_[number];
  const Options& o = sim_.options;
  const Time trip = sim_.Draw(o.log_write_max);
  if (!up_ || link.cut) {
    Break(number, trip);
    return n;
  }
  Time arrives = std::max(link.last_arrival, sim_.now + trip);
  const auto blocked = blocked_.find(link.life);
  if (blocked != blocked_.end() && blocked->second > sim_.now) {
    arrives += blocked->second - sim_.now;
    if (blocked->second > sim_.now + o.keepalive) Break(number, o.keepalive);
  }
  if (sim_.Chance(o.store_cut)) {
    Break(number, sim_.Draw(2 * o.log_write_max + 2 * o.log_sync_max));
    switch (sim_.dice.Below(4)) {
      case 0: return n;  // lost
      case 1: arrives += sim_.Draw(2 * o.lease); break;
      case 2: work.half = true; break;
      default: break;  // its answer is lost
    }
  }
  link.last_arrival = arrives;
  sim_.At(arrives, EventKind::kStoreArrives, n);
  return n;
}

void SharedStore::Break(std::uint64_t number, Time after) {
  links_[number].cut = true;
  if (up_) Trouble(links_[number].life, sim_.now + after);
  sim_.After(after, EventKind::kStoreBroken, number);
}

void SharedStore::OnBroken(std::uint64_t number) {
  Link& link = links_[number];
  link.cut = true;
  if (std::exchange(link.broken, true)) return;
  if (link.wake) link.wake();
}

void SharedStore::Close(std::uint64_t number) {
  Link& link = links_[number];
  link.cut = link.broken = true;
  link.wake = nullptr;
}

void SharedStore::ClientDied(std::uint64_t life, bool power) {
  for (std::uint64_t number = 0; number < links_.size(); ++number) {
    Link& link = links_[number];
    if (link.life != life || link.gone) continue;
    Close(number);
    link.gone = !power;
  }
  if (power) return;  // the server is not told: what is half done stays so
  for (std::uint64_t n = 0; n < works_.size(); ++n) {
    if (works_[n].half && links_[works_[n].link].life == life) RollBack(n);
  }
}

// ---- A request at the server --------------------------------------------------------------------

void SharedStore::OnArrives(std::uint64_t n) {
  Work& work = works_[n];
  if (work.stage != Stage::kUnderWay || !up_) return;
  const Link& link = links_[work.link];
  if (work.half && work.request.simple) sim_.marks.Set(Mark::kHalfMessage);
  if (work.half && (work.request.simple || link.gone)) return;
  if (link.server != server_) {
    // The one before has no standby any more: it shows, and acknowledges nothing.
    Change change;
    work.status = work.request.run(deposed_, change);
    if (change) return;
    links_[work.link].misled = true;
    sim_.marks.Set(Mark::kDeposedRead);
    work.stage = Stage::kOver;
    return Say(n, 2);
  }
  if (!TakeLocks(n)) {
    work.stage = Stage::kWaits;
    sim_.Say([&] { return "the store: " + work.request.name + " waits for a lock"; });
    waiting_.push_back(n);
    if (work.request.lock_timeout > 0)
      sim_.After(work.request.lock_timeout, EventKind::kStoreLockTimeout, n);
    return;
  }
  Execute(n);
}

bool SharedStore::TakeLocks(std::uint64_t n) {
  const StoreRequest& request = works_[n].request;
  if (!request.locks) return true;
  const std::vector<LockName> wanted = request.locks(seen_);
  if (std::any_of(wanted.begin(), wanted.end(),
                  [&](const LockName& name) { return held_.contains(name); }))
    return false;
  for (const LockName& name : wanted) held_[name] = n;
  return true;
}

void SharedStore::DropLocks(std::uint64_t n) {
  std::erase_if(held_, [n](const auto& held) { return held.second == n; });
  RunWaiting();
}

void SharedStore::RunWaiting() {
  for (std::size_t i = 0; i < waiting_.size();) {
    const std::uint64_t n = waiting_[i];
    if (works_[n].stage == Stage::kWaits && !TakeLocks(n)) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    if (works_[n].stage == Stage::kWaits) return Execute(n);  // which comes here again
  }
}

void SharedStore::Execute(std::uint64_t n) {
  Work& work = works_[n];
  work.stage = Stage::kOpen;
  work.status = work.request.run(seen_, work.change);
  if (work.request.group.lane.first != 0 && !work.status.ok() && links_[work.link].cut)
    sim_.marks.Set(Mark::kArrivedLate);
  // It holds its locks until somebody ends it, if it has met its conditions.
  if (work.half && work.status.ok()) {
    sim_.marks.Set(Mark::kHalfGroup);
    return RunWaiting();
  }
  if (!work.status.ok() || !work.change) {
    work.stage = Stage::kOver;
    Say(n, 2);
    return DropLocks(n);
  }
  Say(n, 1);
  sim_.After(sim_.Draw(sim_.options.log_sync_max), EventKind::kStoreCommits, n);
  RunWaiting();
}

void SharedStore::OnCommits(std::uint64_t n) {
  Work& work = works_[n];
  if (work.stage != Stage::kOpen) return;
  work.stage = Stage::kInLog;
  log_.push_back(n);
  last_replicated_ = std::max(last_replicated_, sim_.now + sim_.Draw(sim_.options.log_sync_max));
  sim_.At(last_replicated_, EventKind::kStoreReplicates, n);
  if (!synchronous_) End(n);
}

void SharedStore::OnReplicates(std::uint64_t n) {
  if (std::find(log_.begin(), log_.end(), n) == log_.end()) return;  // a fail-over was faster
  if (sim_.now < standby_back_) return sim_.At(standby_back_, EventKind::kStoreReplicates, n);
  for (bool more = true; more;) {
    const std::uint64_t first = log_.front();
    log_.pop_front();
    more = first != n;
    MakeDurable(first);
    if (works_[first].stage == Stage::kInLog) End(first);
  }
}

// It is committed, and whoever wrote it is told so.
void SharedStore::End(std::uint64_t n) {
  Work& work = works_[n];
  work.stage = Stage::kOver;
  MakeVisible(n);
  Say(n, 2);
  DropLocks(n);
}

void SharedStore::MakeVisible(std::uint64_t n) {
  Work& work = works_[n];
  if (std::exchange(work.visible, true)) return;
  if (!synchronous_) audit_.OnCommit(work.request.group, seen_);
  work.change(seen_);
  if (!synchronous_ && on_durable) on_durable(work.request.group);
}

void SharedStore::MakeDurable(std::uint64_t n) {
  const Work& work = works_[n];
  if (synchronous_) audit_.OnCommit(work.request.group, durable_);
  work.change(durable_);
  if (synchronous_ && on_durable) on_durable(work.request.group);
}

// The transaction never was.
void SharedStore::RollBack(std::uint64_t n) {
  Work& work = works_[n];
  if (work.stage == Stage::kOver || work.stage == Stage::kInLog) return;
  work.stage = Stage::kOver;
  DropLocks(n);
}

// Its connection is ended, by another's.
void SharedStore::Terminate(std::uint64_t n) {
  Work& work = works_[n];
  Break(work.link, sim_.Draw(sim_.options.log_write_max));
  if (work.stage != Stage::kInLog) return RollBack(n);
  work.stage = Stage::kOver;
  MakeVisible(n);
  DropLocks(n);
}

void SharedStore::OnLockTimeout(std::uint64_t n) {
  Work& work = works_[n];
  if (work.stage != Stage::kWaits) return;
  work.stage = Stage::kOver;
  work.answer.locked = true;
  work.status = Unavailable("somebody holds a lock");
  Say(n, 2);
  std::set<std::uint64_t> holders;
  for (const LockName& name : work.request.locks(seen_)) {
    const auto held = held_.find(name);
    if (held != held_.end() && name != kSlotsLock) holders.insert(held->second);
  }
  for (const std::uint64_t holder : holders) Terminate(holder);
  RunWaiting();
}

// ---- Answers ------------------------------------------------------------------------------------

void SharedStore::Say(std::uint64_t n, std::uint64_t step) {
  if (links_[works_[n].link].cut) return;
  sim_.After(sim_.Draw(sim_.options.log_write_max), EventKind::kStoreAnswer, n, step);
}

void SharedStore::OnAnswer(std::uint64_t n, std::uint64_t step) {
  Work& work = works_[n];
  Link& link = links_[work.link];
  if (link.cut) return;
  work.answer.executed = true;
  work.answer.status = work.status;
  if (step == 2) {
    work.answer.done = true;
    if (work.change && !work.answer.warned) audit_.OnAcknowledged(work.request.group);
  }
  if (link.wake) link.wake();
}

// ---- Misfortunes --------------------------------------------------------------------------------

void SharedStore::Cut(std::uint64_t life) {
  for (std::uint64_t number = 0; number < links_.size(); ++number) {
    Link& link = links_[number];
    if (link.life != life || link.cut || link.broken) continue;
    Break(number, sim_.Draw(sim_.options.keepalive));
  }
}

void SharedStore::Block(std::uint64_t life, Time until) {
  Time& blocked = blocked_[life];
  blocked = std::max(blocked, until);
  Trouble(life, until);
}

void SharedStore::GoDown(Time until) {
  if (!up_) return;
  up_ = false;
  down_since_ = sim_.now;
  sim_.Say([] { return std::string("the store goes down"); });
  for (std::uint64_t n = 0; n < works_.size(); ++n) {
    if (works_[n].stage == Stage::kUnderWay) works_[n].stage = Stage::kOver;
    RollBack(n);
  }
  // What is in its own log is there when it comes back.
  for (const std::uint64_t n : log_) {
    works_[n].stage = Stage::kOver;
    MakeVisible(n);
  }
  held_.clear();
  for (std::uint64_t number = 0; number < links_.size(); ++number) {
    if (!links_[number].cut) Break(number, sim_.Draw(sim_.options.log_write_max));
  }
  sim_.At(until, EventKind::kStoreUp);
}

void SharedStore::OnUp() {
  if (std::exchange(up_, true)) return;
  if (sim_.now - down_since_ > sim_.options.lease) sim_.marks.Set(Mark::kStoreAway);
  sim_.Say([] { return std::string("the store is back"); });
}

void SharedStore::CancelWaits() {
  const std::deque<std::uint64_t> waiting = log_;
  for (const std::uint64_t n : waiting) {
    if (works_[n].stage != Stage::kInLog) continue;
    works_[n].answer.warned = true;
    End(n);
  }
}

void SharedStore::FailOver() {
  if (!up_) return;
  const std::size_t kept = log_.empty() ? 0 : sim_.dice.Below(log_.size() + 1);
  sim_.Say([&] {
    return "the standby takes over, without the last " + std::to_string(log_.size() - kept) +
           " commits";
  });
  const StoreImage before = seen_;
  for (std::size_t i = 0; i < kept; ++i) MakeDurable(log_[i]);
  if (!synchronous_) durable_.BeginGeneration(durable_.generation + 1);
  const StoreImage after = durable_;
  deposed_ = seen_;
  Become(after);
  for (std::uint64_t number = 0; number < links_.size(); ++number) {
    if (links_[number].cut) continue;
    if (synchronous_ && sim_.dice.Chance(500)) {
      // Nobody tells it: it notices when it hears nothing.
      const Time later = sim_.Draw(2 * sim_.options.lease);
      Trouble(links_[number].life, sim_.now + later);
      sim_.After(later, EventKind::kStoreBroken, number);
    } else {
      Break(number, sim_.Draw(sim_.options.log_write_max));
    }
  }
  audit_.OnFailOver(synchronous_, seen_);
  if (on_lost && !synchronous_) on_lost(before);
}

void SharedStore::Become(const StoreImage& image) {
  log_.clear();
  for (Work& work : works_) {
    // What is under way to the one before gets there, and finds it deposed.
    if (work.stage != Stage::kUnderWay) work.stage = Stage::kOver;
  }
  held_.clear();
  waiting_.clear();
  seen_ = durable_ = image;
  ++server_;
}

// All who are connected are thrown out, and find an older state, which says that it is another.
void SharedStore::Restore() {
  if (!up_ || copy_ == nullptr) return;
  sim_.Say([] { return std::string("an older state of the store is put back"); });
  sim_.marks.Set(Mark::kStoreRestored);
  const StoreImage before = seen_;
  StoreImage older = *copy_;
  older.BeginGeneration(std::max(older.generation, before.generation) + 1);
  deposed_ = seen_;
  Become(older);
  for (Work& work : works_) work.stage = Stage::kOver;  // what is under way finds no server
  for (std::uint64_t number = 0; number < links_.size(); ++number) {
    if (!links_[number].cut) Break(number, sim_.Draw(sim_.options.log_write_max));
  }
  audit_.OnFailOver(/*synchronous=*/false, seen_);
  if (on_lost) on_lost(before);
}

void SharedStore::LoseStandby(Time until) {
  standby_back_ = std::max(standby_back_, until);
  if (synchronous_ && until - sim_.now > sim_.options.lease) sim_.marks.Set(Mark::kStandbyGone);
  sim_.Say([] { return std::string("the standby is away"); });
}

void SharedStore::Damage(Slot slot) {
  sim_.Say([&] { return "a row of slot " + std::to_string(slot) + " cannot be read any more"; });
  for (StoreImage* image : {&seen_, &durable_, &deposed_}) image->damaged.insert(slot);
}

void SharedStore::Tell(const std::string& name, Change change) {
  StoreRequest request;
  request.name = name;
  request.locks = [](const StoreImage&) { return std::vector<LockName>{kSlotsLock}; };
  request.run = [change = std::move(change)](const StoreImage&, Change& changed) {
    changed = change;
    return OkStatus();
  };
  (void)Send(Open(UINT64_MAX, nullptr), std::move(request));
}

void SharedStore::Heal() {
  for (auto& [life, until] : blocked_) until = std::min(until, sim_.now);
  standby_back_ = 0;
  for (StoreImage* image : {&seen_, &durable_, &deposed_}) image->damaged.clear();
  OnUp();
}

}  // namespace assent::sim
