#include "coordinator/log/postgresql/observer_thread.h"

#include <algorithm>
#include <future>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"

namespace assent::log {
namespace {

std::int64_t BootMs() { return base::BootNow().count(); }

}  // namespace

ObserverThread::ObserverThread(PostgresMemberOptions options, std::chrono::microseconds lease,
                               Listener& listener)
    : listener_(listener), lease_(lease), store_(std::move(options)) {}

ObserverThread::~ObserverThread() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyOne();
  }
  thread_.join();
}

Result<cluster::Joined> ObserverThread::Join(const cluster::MemberCard& card) {
  const std::int64_t asked = BootMs();
  Result<cluster::Joined> joined = store_.Join(card);
  if (!joined.ok()) return joined;
  epoch_ = joined.value().epoch;
  answered_boot_ms_ = asked;
  observer_.emplace(store_, *joined,
                    cluster::Observer::Options{
                        .lease = lease_, .now = &base::MonoNow, .leaves_when_drained = false},
                    static_cast<cluster::ObserverEvents&>(*this));
  return joined;
}

void ObserverThread::Start() {
  listener_.OnStep(store_.serial_limit_ms(), store_.RanMs());
  thread_ = std::thread([this] {
    base::NameThisThread("assent-observer");
    Run();
  });
}

// ---- The thread ---------------------------------------------------------------------------------

void ObserverThread::Run() {
  for (;;) {
    std::vector<std::function<void()>> commands = WaitForWork();
    for (const std::function<void()>& command : commands) command();
    if (!leaving_) Step();
    const MutexLock lock(mutex_);
    due_ = leaving_ ? cluster::MonoTime::max() : observer_->NextDue();
    if (stopping_ && commands_.empty()) return;
  }
}

std::vector<std::function<void()>> ObserverThread::WaitForWork() {
  const MutexLock lock(mutex_);
  while (!stopping_ && commands_.empty()) {
    if (due_ == cluster::MonoTime::max()) {
      work_.Wait(mutex_);
    } else if (!work_.WaitUntil(mutex_, due_)) {
      break;
    }
  }
  return std::exchange(commands_, {});
}

void ObserverThread::Step() {
  const std::int64_t asked = BootMs();
  const std::uint64_t beats = store_.beats();
  observer_->Step();
  if (store_.beats() > beats) answered_boot_ms_ = asked;
  NoteAway();
  if (!observer_->out()) listener_.OnStep(store_.serial_limit_ms(), store_.RanMs());
}

void ObserverThread::NoteAway() {
  const bool away = observer_->away();
  if (away_.exchange(away) == away) return;
  if (!away) return listener_.OnBack();
  const Status& why = observer_->away_why();
  {
    const MutexLock lock(mutex_);
    // Not found: it answers, and says what is wrong with it.
    away_why_ =
        (why.code() == Code::kNotFound ? "" : "the database does not answer: ") + why.message();
  }
  listener_.OnAway(why);
}

std::string ObserverThread::away_why() const {
  const MutexLock lock(mutex_);
  return away_ ? away_why_ : "";
}

void ObserverThread::Post(std::function<void()> command) {
  const MutexLock lock(mutex_);
  commands_.push_back(std::move(command));
  work_.NotifyOne();
}

bool ObserverThread::away() const {
  const auto lease = std::chrono::duration_cast<std::chrono::milliseconds>(lease_);
  return away_ || BootMs() - answered_boot_ms_ > lease.count();
}

void ObserverThread::OnLine(std::uint64_t epoch, bool broken) {
  Post([this, epoch, broken] { observer_->OnLine(epoch, broken); });
}

void ObserverThread::OnKept(Slot slot) {
  Post([this, slot] { observer_->OnKept(slot); });
}

void ObserverThread::Tell() {
  Post([this] {
    {
      const MutexLock lock(telling_);
      tells_ = true;
    }
    TellSome();
  });
}

void ObserverThread::BeQuiet() {
  const MutexLock lock(telling_);
  quiet_ = true;
}

Status ObserverThread::Leave() {
  std::promise<Status> done;
  Post([&] {
    leaving_ = true;
    done.set_value(observer_->out() ? OkStatus() : observer_->End(epoch_, {}));
  });
  return done.get_future().get();
}

// ---- What the observer sees ---------------------------------------------------------------------

void ObserverThread::OnView(cluster::ViewPtr view) {
  view_ = std::move(view);
  listener_.OnView(view_);
}

// Serials of a slot begin behind those that its last owner may have given, which may be beyond what
// our last beat lets us give: then nothing could begin in it until the next.
void ObserverThread::OnAssigned(const std::vector<cluster::Grant>& grants) {
  listener_.OnGranted(grants);
  if (std::any_of(grants.begin(), grants.end(), [this](const cluster::Grant& grant) {
        return grant.serial_floor_ms >= store_.serial_limit_ms();
      })) {
    observer_->BeatNow();
    if (observer_->out()) return;
    listener_.OnStep(store_.serial_limit_ms(), store_.RanMs());
  }
  {
    const MutexLock lock(telling_);
    untold_assigned_.insert(untold_assigned_.end(), grants.begin(), grants.end());
  }
  TellSome();
}

void ObserverThread::OnWanted(const std::vector<Slot>& slots) {
  {
    const MutexLock lock(telling_);
    untold_wanted_.insert(untold_wanted_.end(), slots.begin(), slots.end());
  }
  TellSome();
}

void ObserverThread::TellSome() {
  const MutexLock lock(telling_);
  if (!tells_ || quiet_) return;
  const auto assigned = std::exchange(untold_assigned_, {});
  const auto wanted = std::exchange(untold_wanted_, {});
  if (!assigned.empty()) listener_.OnAssigned(assigned);
  if (!wanted.empty()) listener_.OnWanted(wanted);
}

void ObserverThread::OnFence(const cluster::FenceReport& report) {
  const cluster::Member* victim = view_ ? view_->Find(report.victim) : nullptr;
  listener_.OnFence(victim == nullptr ? std::to_string(report.victim) : victim->node, report.result,
                    asked_by_);
}

void ObserverThread::OnOut(const Status& why_or_ok) {
  if (!leaving_ && !why_or_ok.ok()) listener_.OnFenced(why_or_ok);
}

// ---- What people ask for ------------------------------------------------------------------------

void ObserverThread::PostForNode(const std::string& node, Done done,
                                 std::function<Status(std::uint64_t epoch)> act) {
  Post([this, node, done = std::move(done), act = std::move(act)] {
    if (observer_->out()) return done(Unavailable("this coordinator is out of the cluster"));
    if (view_ == nullptr) return done(Unavailable("nothing is known of the cluster yet"));
    for (const cluster::Member& member : view_->members) {
      if (member.node == node) return done(act(member.epoch));
    }
    done(NotFound("no member has the name " + node));
  });
}

void ObserverThread::SetDraining(const std::string& node, bool draining,
                                 const cluster::Asked& asked, Done done) {
  PostForNode(node, std::move(done), [this, draining, asked](std::uint64_t epoch) {
    return observer_->SetDraining(epoch, draining, asked);
  });
}

void ObserverThread::Move(const std::vector<Slot>& slots, const std::string& node,
                          const cluster::Asked& asked, Done done) {
  PostForNode(node, std::move(done), [this, slots, asked](std::uint64_t epoch) {
    return observer_->Move(slots, epoch, asked);
  });
}

void ObserverThread::Unpin(const std::vector<Slot>& slots, Done done) {
  Post([this, slots, done = std::move(done)] {
    done(observer_->out() ? Unavailable("this coordinator is out of the cluster")
                          : observer_->Unpin(slots));
  });
}

void ObserverThread::Fence(const std::string& node, const cluster::Asked& asked, Done done) {
  PostForNode(node, std::move(done), [this, asked](std::uint64_t epoch) {
    asked_by_ = asked.who + ": " + asked.reason;
    Status ended = observer_->End(epoch, asked);
    asked_by_.clear();
    return ended;
  });
}

void ObserverThread::Look(Done done) {
  Post([this, done = std::move(done)] {
    done(leaving_ ? Unavailable("this coordinator is ending") : observer_->LookAtOnce());
  });
}

}  // namespace assent::log
