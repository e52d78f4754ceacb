#include "coordinator/engine/engine.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <future>
#include <map>
#include <numeric>
#include <thread>
#include <utility>

#include <sys/random.h>

#include "coordinator/base/clock.h"
#include "coordinator/base/mailbox.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/base/together.h"

namespace assent::engine {
namespace {

// What a request brings into memory by its caller's choice.
std::size_t BytesOf(const Request& request) {
  if (const auto* begin = std::get_if<BeginRequest>(&request)) return AttachedBytes(begin->spec);
  if (const auto* execute = std::get_if<ExecuteRequest>(&request))
    return AttachedBytes(execute->branch);
  return 0;
}

constexpr std::chrono::microseconds kMaxSleep = std::chrono::milliseconds(100);
// How often a shard looks whether the log's database is away.
constexpr std::chrono::milliseconds kLookPause{50};

}  // namespace

// One shard, its mailbox and its thread.
class Engine::Worker final : public ShardPorts {
 public:
  Worker(Engine& engine, ShardOptions options) : engine_(engine), shard_(options, *this) {}
  ~Worker() override { Stop(); }

  Shard& shard() { return shard_; }
  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void Put(Request request) {
    ++asked_;
    mailbox_.Put(std::move(request));
  }
  bool TryPut(Request& request) {
    const EngineOptions& options = engine_.options_;
    ++asked_;
    const bool taken = mailbox_.TryPut(request, options.max_waiting_count, BytesOf(request),
                                       options.max_waiting_bytes);
    if (!taken) --asked_;
    return taken;
  }
  // Whether all that it was asked so far has had its turn.
  bool Quiet() const { return begun_ && answered_ == asked_; }

  std::uint64_t NextSerial(Slot slot) override { return engine_.log_.NextSerial(slot); }
  std::uint64_t Generation() override { return engine_.log_.Generation(); }
  void Append(std::vector<log::Entry> entries, std::uint64_t batch) override {
    engine_.log_.Append(std::move(entries), [this, batch](log::AppendResult result) {
      Put(AppendedRequest{batch, std::move(result)});
    });
  }
  void Find(std::string gid, std::uint64_t token) override {
    engine_.log_.Find(std::move(gid), [this, token](Result<log::Found> found) {
      Put(FoundRequest{token, std::move(found)});
    });
  }
  void Send(std::vector<transport::Command> commands) override {
    if (MaySend()) return engine_.transport_->Send(std::move(commands));
    std::vector<transport::Reply> kept;
    for (transport::Command& command : commands) {
      kept.push_back({.gid = std::move(command.gid),
                      .branch = command.branch,
                      .operation = command.operation,
                      .attempt = command.attempt,
                      .result = core::AttemptResult::kNotSent,
                      .bytes = {},
                      .reason = "not sent: the database has not answered for too long"});
    }
    Put(RepliesRequest{std::move(kept)});
  }
  void GiveWay(GiveWayRequest request) override {
    if (!engine_.Has(request.gid)) {
      if (engine_.in_the_way_elsewhere_) engine_.in_the_way_elsewhere_(std::move(request));
      return;
    }
    Worker& worker = engine_.Of(request.gid);
    worker.Put(std::move(request));
  }
  void Waiting(const std::string& service, std::int64_t more) override {
    engine_.AddWaiting(service, more);
  }
  void Fatal(const Status& status) override { engine_.fatal_(status); }

 private:
  // Whether the database that others share has answered lately. Reads the log's figures only when
  // what they were is too long ago.
  bool MaySend() {
    if (!engine_.MayMove()) return true;
    const auto since = (base::BootNow() - engine_.options_.max_silence).count();
    if (answered_boot_ms_ > since) return true;
    answered_boot_ms_ = engine_.log_.GetStats().answered_boot_ms;
    return answered_boot_ms_ == 0 || answered_boot_ms_ > since;
  }
  void LookAtLog(core::MonoTime now) {
    if (!engine_.MayMove() || now < look_at_) return;
    look_at_ = now + kLookPause;
    engine_.away_.store(engine_.log_.GetStats().away, std::memory_order_relaxed);
  }

  void Run() {
    base::NameThisThread("assent-shard");
    shard_.Start(engine_.recovered_);
    std::vector<Request> turn;
    begun_ = true;
    while (!stopping_) {
      const core::MonoTime wakeup = shard_.Wakeup();
      const core::MonoTime now = base::MonoNow();
      auto patience = wakeup == core::kNever
                          ? kMaxSleep
                          : std::min<std::chrono::microseconds>(wakeup - now, kMaxSleep);
      if (patience.count() < 0) patience = std::chrono::microseconds(0);
      mailbox_.TakeAll(turn, patience);
      const core::MonoTime mono = base::MonoNow();
      const core::WallTime wall = base::WallNow();
      for (Request& request : turn) shard_.Handle(std::move(request), mono, wall);
      shard_.EndTurn(mono, wall);
      answered_ += turn.size();
      LookAtLog(mono);
    }
  }

  Engine& engine_;
  base::Mailbox<Request> mailbox_;
  Shard shard_;  // the thread's, once started
  std::int64_t answered_boot_ms_ = 0;
  core::MonoTime look_at_{};
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> asked_ = 0;
  std::atomic<std::uint64_t> answered_ = 0;  // of those asked
  std::atomic<bool> begun_ = false;
  std::thread thread_;
};

Engine::Engine(EngineOptions options, log::Log& log, std::function<void(const Status&)> fatal)
    : options_(options), log_(log), fatal_(std::move(fatal)) {
  for (std::size_t i = 0; i < options_.shards_count; ++i) {
    ShardOptions shard = options_.shard;
    shard.seed += i;
    shard.events = &events_;
    shard.initiators = &initiators_;
    workers_.push_back(std::make_unique<Worker>(*this, shard));
  }
}

Engine::~Engine() { Stop(); }

// ---- Slots --------------------------------------------------------------------------------------

std::size_t Engine::ShardOf(std::string_view gid) const {
  if (workers_.size() == 1) return 0;
  const Slot slots = recovered_.slots_count;
  return (slots == 1 ? GidHash(gid) : SlotOf(gid, slots)) % workers_.size();
}

std::vector<std::size_t> Engine::ServersOf(Slot slot) const {
  if (recovered_.slots_count > 1) return {slot % workers_.size()};
  std::vector<std::size_t> all(workers_.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

bool Engine::Serves(std::string_view gid) const {
  if (recovered_.slots_count == 1) return true;
  const MutexLock lock(slots_mutex_);
  const auto slot = slots_.find(SlotOf(gid, recovered_.slots_count));
  return slot != slots_.end() && slot->second.hold == Hold::kServing;
}

bool Engine::Has(std::string_view gid) const {
  return !MayMove() || Holds(SlotOf(gid, recovered_.slots_count));
}

bool Engine::Holds(Slot slot) const {
  const MutexLock lock(slots_mutex_);
  return slots_.contains(slot);
}

std::vector<Slot> Engine::SlotsSetAside() const {
  const MutexLock lock(slots_mutex_);
  return {set_aside_.begin(), set_aside_.end()};
}

std::size_t Engine::served_slots() const {
  const MutexLock lock(slots_mutex_);
  return static_cast<std::size_t>(std::count_if(slots_.begin(), slots_.end(), [](const auto& slot) {
    return slot.second.hold == Hold::kServing || slot.second.hold == Hold::kParting;
  }));
}

Result<log::Recovered> Engine::Recover() {
  Result<log::Joined> joined = log_.Join(*this);
  if (!joined.ok()) return joined.status();
  static_cast<log::Joined&>(recovered_) = *std::move(joined);
  events_.Start(recovered_.epoch);
  std::promise<Status> promise;
  TakeUp(recovered_.slots, [&](const Status& status) { promise.set_value(status); });
  if (const Status status = promise.get_future().get(); !status.ok()) return status;
  recovered_.live_rows = loaded_rows_;
  recovered_.finished_rows = log_.GetStats().finished_rows;
  return recovered_;
}

void Engine::TakeUp(const std::vector<log::SlotGrant>& grants,
                    std::function<void(const Status&)> done) {
  std::map<std::size_t, std::vector<log::SlotGrant>> by_worker;
  {
    const MutexLock lock(slots_mutex_);
    for (const log::SlotGrant& grant : grants) {
      slots_[grant.slot] = {.hold = Hold::kLoading, .slot_epoch = grant.slot_epoch};
      by_worker[ServersOf(grant.slot).front()].push_back(grant);
    }
  }
  if (by_worker.empty()) return done(OkStatus());
  const auto all = std::make_shared<base::Together<Status>>(by_worker.size(), std::move(done));
  for (auto& [worker, theirs] : by_worker) {
    Load(std::move(theirs), [all](const Status& status) {
      all->Add([&status](Status& worst) {
        if (!status.ok()) worst = status;
      });
    });
  }
}

void Engine::Load(std::vector<log::SlotGrant> grants, std::function<void(const Status&)> done) {
  const auto rows = std::make_shared<std::map<Slot, Rows>>();
  std::vector<Slot> slots;
  for (const log::SlotGrant& grant : grants) {
    slots.push_back(grant.slot);
    Rows& of_slot = (*rows)[grant.slot];
    of_slot.resize(workers_.size());
    for (const std::size_t i : ServersOf(grant.slot)) of_slot[i] = std::make_unique<Adopted>();
  }
  const auto visit = [this, rows](const log::LiveRow& row) {
    rows_read_.fetch_add(1, std::memory_order_relaxed);
    (*rows)[SlotOf(row.gid, recovered_.slots_count)][ShardOf(row.gid)]->Add(row);
    return OkStatus();
  };
  log_.Load(std::move(slots), visit,
            [this, rows, grants = std::move(grants), done = std::move(done),
             began = base::MonoNow()](const log::Loaded& loaded) {
              if (!loaded.status.ok()) return done(loaded.status);
              std::map<Slot, std::string> damaged;
              for (const log::DamagedSlot& slot : loaded.damaged) {
                if (!MayMove()) return done(DataLoss(slot.why));
                damaged[slot.slot] = slot.why;
                if (options_.on_damaged_slot) options_.on_damaged_slot(slot);
              }
              std::vector<TakenUp> taken;
              for (const log::SlotGrant& grant : grants)
                taken.push_back(TakeUpLoaded(grant, std::move((*rows)[grant.slot]),
                                             damaged[grant.slot], loaded.generation));
              if (options_.on_taken_up) options_.on_taken_up(taken, base::MonoNow() - began);
              done(OkStatus());
            });
}

TakenUp Engine::TakeUpLoaded(const log::SlotGrant& grant, Rows rows, const std::string& damage,
                             std::uint64_t generation) {
  const Slot slot = grant.slot;
  std::string said;
  if (!damage.empty())
    said = "slot " + std::to_string(slot) + " of the log is set aside: " + damage +
           "; its rows stay as they are, and nobody works on its transactions";
  TakenUp taken{.slot = slot};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] == nullptr) continue;
    if (!damage.empty()) rows[i] = std::make_unique<Adopted>();
    taken.unfinished += rows[i]->left();
    loaded_rows_ += rows[i]->left();
    workers_[i]->Put(TakeUpRequest{slot, std::move(rows[i]), grant.slot_epoch, said, generation});
  }
  Held was;
  {
    const MutexLock lock(slots_mutex_);
    Held& held = slots_.at(slot);
    was = held;
    held.hold = Hold::kServing;
    if (!damage.empty()) set_aside_.insert(slot);
  }
  if (was.slot_epoch > grant.slot_epoch) Raise({.slot = slot, .slot_epoch = was.slot_epoch});
  if (was.hold == Hold::kWanted) GiveUp(slot);
  return taken;
}

// Of one that is loading the shards hear when they have it.
void Engine::Raise(const log::SlotGrant& grant) {
  {
    const MutexLock lock(slots_mutex_);
    Held& held = slots_.at(grant.slot);
    held.slot_epoch = grant.slot_epoch;
    if (held.hold == Hold::kLoading || held.hold == Hold::kWanted) return;
  }
  for (const std::size_t i : ServersOf(grant.slot))
    workers_[i]->Put(RaiseRequest{grant.slot, grant.slot_epoch});
}

void Engine::OnAssigned(const std::vector<log::SlotGrant>& grants) {
  std::vector<log::SlotGrant> gained;
  for (const log::SlotGrant& grant : grants) {
    if (Holds(grant.slot)) {
      Raise(grant);
    } else {
      gained.push_back(grant);
    }
  }
  TakeUp(gained, [this](const Status& status) {
    if (!status.ok() && status.code() != Code::kUnavailable) fatal_(status);
  });
}

void Engine::GiveUp(Slot slot) {
  {
    const MutexLock lock(slots_mutex_);
    const auto found = slots_.find(slot);
    if (found == slots_.end()) return;
    Hold& hold = found->second.hold;
    if (hold != Hold::kServing) {
      if (hold == Hold::kLoading) hold = Hold::kWanted;
      return;
    }
    hold = Hold::kParting;
  }
  const std::vector<std::size_t> servers = ServersOf(slot);
  const auto left = std::make_shared<std::atomic<std::size_t>>(servers.size());
  for (const std::size_t i : servers) {
    workers_[i]->Put(GiveUpRequest{slot, [this, slot, left] {
                                     if (--*left > 0) return;
                                     {
                                       const MutexLock lock(slots_mutex_);
                                       slots_.erase(slot);
                                       set_aside_.erase(slot);
                                     }
                                     // What becomes of it is the log's to say (SlotEvents).
                                     log_.Release(slot, [](const Status&) {});
                                   }});
  }
}

void Engine::Start(transport::Transport& transport) {
  transport_ = &transport;
  for (auto& worker : workers_) worker->Start();
}

void Engine::Refuse(std::string why) {
  std::atomic_store(&refusing_, std::make_shared<const std::string>(std::move(why)));
}

std::string Engine::refusing() const {
  const auto why = std::atomic_load(&refusing_);
  if (why) return *why;
  const log::Stats stats = log_.GetStats();
  if (stats.away) return stats.away_why.empty() ? "the database does not answer" : stats.away_why;
  return stats.full ? "disk full" : "";
}

void Engine::Stop() {
  for (auto& worker : workers_) worker->Stop();
}

Status Engine::Post(const std::string& gid, Request request) {
  // What has begun may still be looked at, finished and intervened in: an operator wants to see
  // what holds up a drain.
  const bool new_work = std::holds_alternative<BeginRequest>(request) ||
                        std::holds_alternative<ExecuteRequest>(request);
  if (const auto why = std::atomic_load(&refusing_); why && new_work)
    return Unavailable("this coordinator takes no new work: " + *why);
  if (new_work && away()) return Away();
  return Of(gid).TryPut(request) ? OkStatus() : Overloaded();
}

Status Engine::Overloaded() const {
  refused_.fetch_add(1, std::memory_order_relaxed);
  return ResourceExhausted(
      "this coordinator is overloaded: " + std::to_string(options_.max_waiting_count) +
      " requests or " + std::to_string(options_.max_waiting_bytes >> 20) +
      " MiB wait; nothing was begun, try again later");
}

void Engine::Visit(const SliceRequest& like,
                   std::function<void(const Status&, const SliceEnds&)> done,
                   const SliceEnds& from) {
  using Ends = std::pair<Status, SliceEnds>;
  const auto all = std::make_shared<base::Together<Ends>>(
      workers_.size(),
      [done = std::move(done)](const Ends& ends) { done(ends.first, ends.second); },
      Ends{OkStatus(), SliceEnds(workers_.size())});
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    SliceRequest slice = like;
    if (!from.empty()) slice.after = from.at(i).serial;
    slice.done = [all, i](const SliceEnd& end) {
      all->Add([&end, i](Ends& ends) { ends.second[i] = end; });
    };
    Request request = std::move(slice);
    if (!workers_[i]->TryPut(request)) all->Add([this](Ends& ends) { ends.first = Overloaded(); });
  }
}

std::string Engine::IssueGid() const {
  std::array<char, 64> text{};
  bool any = !MayMove();
  if (!any) {
    const MutexLock lock(slots_mutex_);
    any = std::any_of(slots_.begin(), slots_.end(),
                      [](const auto& slot) { return slot.second.hold == Hold::kServing; });
  }
  for (std::size_t tries = any ? 64 * std::size_t{recovered_.slots_count} : 1; tries > 0; --tries) {
    std::uint64_t drawn = 0;  // a quarter of a microsecond; never cut short (getrandom(2))
    ASSENT_CHECK(getrandom(&drawn, sizeof drawn, 0) == sizeof drawn);
    const auto ms = base::WallNow().time_since_epoch().count();
    std::snprintf(text.data(), text.size(), "%012llx-%04x-%016llx",
                  static_cast<unsigned long long>(ms) & 0xFFFF'FFFF'FFFFULL, recovered_.log_id,
                  static_cast<unsigned long long>(drawn));
    if (Serves(text.data())) break;
  }
  return text.data();
}

ShardStats Engine::Stats() const {
  ShardStats sum;
  for (const auto& worker : workers_) {
    sum.silent_shards += worker->Quiet() ? 0 : 1;  // first: what it says then is not older
    worker->shard().Stats().AddTo(sum);
  }
  sum.refused += refused_.load(std::memory_order_relaxed);
  return sum;
}

void Engine::OnReplies(std::vector<transport::Reply> replies) {
  if (workers_.size() == 1) return workers_[0]->Put(RepliesRequest{std::move(replies)});
  std::vector<std::vector<transport::Reply>> by_shard(workers_.size());
  for (transport::Reply& reply : replies) {
    const std::size_t shard = ShardOf(reply.gid);
    by_shard[shard].push_back(std::move(reply));
  }
  for (std::size_t i = 0; i < by_shard.size(); ++i) {
    if (!by_shard[i].empty()) workers_[i]->Put(RepliesRequest{std::move(by_shard[i])});
  }
}

void Engine::OnServiceAppeared(const std::string& service) {
  for (auto& worker : workers_) worker->Put(ServiceAppearedRequest{service});
}

void Engine::OnQuestion(transport::OutcomeQuestion question,
                        std::function<void(transport::OutcomeAnswer)> answer) {
  Worker& worker = Of(question.gid);
  worker.Put(QuestionRequest{std::move(question), std::move(answer)});
}

}  // namespace assent::engine
