#include "coordinator/audit/audit.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <assent/text.h>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"

namespace assent::audit {
namespace {

// How many entries are written before the oldest are removed again: each removal has to find them.
constexpr std::size_t kEntriesPerRemoval = 10'000;

// Before what could not be written is tried again.
constexpr std::chrono::seconds kPause{1};

Status Crowded() {
  return ResourceExhausted("too many actions wait to be put on record (" +
                           std::to_string(kMaxWaitingCount) + "): try again");
}

Status CannotBeKept(const Status& why) {
  return FailedPrecondition("the record of what people do cannot be kept: " + why.message() +
                            "; nothing was done");
}

// What any store takes: of bounded length, UTF-8, and without zeros, which PostgreSQL has none of.
std::string Stored(const std::string& text) {
  std::string stored = CleanText(text);
  std::replace(stored.begin(), stored.end(), '\0', '?');
  return stored;
}

void MakeFit(Deed& deed) {
  for (std::string* text : {&deed.verb, &deed.gid, &deed.branch_id, &deed.detail, &deed.who,
                            &deed.reason, &deed.address})
    *text = Stored(*text);
}

}  // namespace

Audit::Audit(AuditOptions options) : options_(std::move(options)) {
  thread_ = std::thread([this] {
    base::NameThisThread("audit");
    Run();
  });
}

void Audit::Close() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    work_ready_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void Audit::Begin(Deed deed, Begun done) {
  MakeFit(deed);
  MutexLock lock(mutex_);
  const bool crowded = next_.begun.size() >= kMaxWaitingCount;
  if (crowded || stopping_) {
    lock.Unlock();
    return done(crowded ? Crowded() : Unavailable("the coordinator is stopping"));
  }
  next_.begun.push_back({.id = {base::UnixNowMs(), options_.epoch, ++number_},
                         .node = options_.node,
                         .deed = std::move(deed)});
  next_.told.push_back(std::move(done));
  work_ready_.NotifyOne();
}

void Audit::End(Ending ending) {
  ending.before = Stored(ending.before);
  ending.said = Stored(ending.said);
  const MutexLock lock(mutex_);
  next_.ended.push_back(std::move(ending));
  work_ready_.NotifyOne();
}

void Audit::Note(Deed deed, Code code, std::string said) {
  MakeFit(deed);
  const MutexLock lock(mutex_);
  if (next_.begun.size() >= kMaxWaitingCount || stopping_) return;
  const EntryId id{base::UnixNowMs(), options_.epoch, ++number_};
  next_.begun.push_back({.id = id, .node = options_.node, .deed = std::move(deed)});
  next_.told.emplace_back([](const Result<EntryId>&) {});
  next_.ended.push_back({.id = id, .code = code, .said = Stored(said)});
  work_ready_.NotifyOne();
}

void Audit::Read(Query query, Found done) {
  MutexLock lock(mutex_);
  const bool crowded = next_.asked.size() >= kMaxWaitingCount;
  if (crowded || stopping_) {
    lock.Unlock();
    return done(crowded ? Crowded() : Unavailable("the coordinator is stopping"));
  }
  next_.asked.emplace_back(std::move(query), std::move(done));
  work_ready_.NotifyOne();
}

// The first look is at nothing, so that trouble is told before it matters.
void Audit::Run() {
  Work work;
  do {
    NoteTrouble(Do(work));
  } while (WaitForWork(work));
}

void Audit::NoteTrouble(const Status& done) {
  if (done.ok() == troubled_ && options_.on_trouble)
    options_.on_trouble(done.ok() ? "" : done.message());
  troubled_ = !done.ok();
}

bool Audit::WaitForWork(Work& work) {
  const auto pause_ends = base::MonoNow() + kPause;
  const MutexLock lock(mutex_);
  while (next_.empty() && !stopping_) {
    if (!troubled_) {
      work_ready_.Wait(mutex_);
    } else if (!work_ready_.WaitUntil(mutex_, pause_ends)) {
      break;
    }
  }
  work = std::exchange(next_, {});
  return !stopping_ || !work.empty();
}

Status Audit::Do(Work& work) {
  Status status = Write(work);
  for (std::size_t i = 0; i < work.told.size(); ++i)
    work.told[i](status.ok() ? Result<EntryId>(work.begun[i].id) : CannotBeKept(status));
  if (status.ok()) status = Retire();
  for (const auto& [query, found] : work.asked) {
    if (const Status read = Look(query, found); !read.ok()) status = read;
  }
  return status;
}

Status Audit::Open() {
  if (store_ != nullptr) return OkStatus();
  auto opened = options_.open();
  if (!opened.ok()) return opened.status();
  store_ = std::move(opened).value();
  begun_ = kEntriesPerRemoval;
  return OkStatus();
}

// A store that was good when it was used last may have been lost meanwhile, and be there again. If
// that was what somebody did to it, another one is begun, and people are told.
Status Audit::Use(const std::function<Status(Store&)>& use) {
  for (;;) {
    const bool used = store_ != nullptr;
    Status status = Open();
    if (!status.ok()) return status;
    status = use(*store_);
    if (status.ok()) return status;
    store_.reset();
    if (!used) return status;
    if (status.code() == Code::kDataLoss) NoteTrouble(status);
  }
}

Status Audit::Write(Work& work) {
  std::move(work.ended.begin(), work.ended.end(), std::back_inserter(late_));
  const bool nothing = work.begun.empty() && late_.empty();
  Status status = Use([&](Store& store) {
    if (!nothing) return store.Write(work.begun, late_);
    return troubled_ ? TryToWrite(store) : OkStatus();
  });
  if (status.ok()) {
    begun_ += work.begun.size();
    late_.clear();
  } else if (late_.size() > kMaxWaitingCount) {
    // What came of the oldest stays unknown.
    late_.erase(late_.begin(), late_.end() - static_cast<std::ptrdiff_t>(kMaxWaitingCount));
  }
  return status;
}

// A store that can be opened and read may still be full: an entry comes and goes at once.
Status Audit::TryToWrite(Store& store) const {
  const EntryId id{base::UnixNowMs(), options_.epoch, 0};
  return store.Write({Entry{.id = id}}, {Ending{.id = id, .elsewhere = true}});
}

Status Audit::Retire() {
  if (begun_ < kEntriesPerRemoval) return OkStatus();
  Status status = store_->Retire(options_.max_entries_count);
  if (!status.ok()) store_.reset();
  begun_ = 0;
  return status;
}

Status Audit::Look(const Query& query, const Found& found) {
  std::vector<Entry> entries;
  Status status = Use([&](Store& store) {
    auto read = store.Read(query);
    if (read.ok()) entries = std::move(read).value();
    return read.status();
  });
  if (status.ok()) {
    found(std::move(entries));
  } else {
    found(Unavailable("the record of what people do cannot be read: " + status.message()));
  }
  return status;
}

}  // namespace assent::audit
