#include "coordinator/audit/audit.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <utility>

#include <assent/text.h>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"

namespace assent::audit {
namespace {

// How many rows are written before the oldest are removed again: each removal has to find them.
constexpr std::size_t kRowsPerRemoval = 10'000;

// Before what could not be written is tried again.
constexpr std::chrono::milliseconds kPause{1000};

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
                            &deed.claims, &deed.reason, &deed.address})
    *text = Stored(*text);
}

Status Stopping() { return Unavailable("the coordinator is stopping"); }

}  // namespace

Audit::Audit(AuditOptions options)
    : options_(std::move(options)), visits_(options_.visits_window.count()) {
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

EntryId Audit::NextId() { return {base::UnixNowMs(), options_.epoch, ++number_}; }

void Audit::Begin(Deed deed, Begun done) {
  MakeFit(deed);
  MutexLock lock(mutex_);
  const bool crowded = next_.begun.size() >= kMaxWaitingCount;
  if (crowded || stopping_) {
    lock.Unlock();
    return done(crowded ? Crowded() : Stopping());
  }
  next_.begun.push_back(AskedRow({.id = NextId(), .node = options_.node, .deed = std::move(deed)}));
  next_.told.push_back(std::move(done));
  work_ready_.NotifyOne();
}

void Audit::End(Ending ending) {
  ending.before = Stored(ending.before);
  ending.said = Stored(ending.said);
  const MutexLock lock(mutex_);
  next_.behind.push_back(EndingRow(ending, base::UnixNowMs()));
  next_.behind.back().node = options_.node;
  work_ready_.NotifyOne();
}

void Audit::Note(Kind kind, Deed deed, Code code, std::string said) {
  MakeFit(deed);
  Visit visit{.kind = kind, .deed = std::move(deed), .code = code, .said = Stored(said)};
  const bool at_a_door = kind == Kind::kRefused || kind == Kind::kLogin || kind == Kind::kLogout;
  const MutexLock lock(mutex_);
  if (stopping_) return;
  if (at_a_door) {
    auto now = visits_.Take(std::move(visit), base::MonoNowMs());
    if (!now) return;
    visit = *std::move(now);
  }
  AddVisit(std::move(visit));
  work_ready_.NotifyOne();
}

void Audit::AddVisit(Visit visit) {
  if (next_.behind.size() >= kMaxWaitingCount) return;
  const bool at_a_door = visit.kind == Kind::kRefused || visit.kind == Kind::kLogin;
  Row row =
      AskedRow({.id = NextId(), .kind = visit.kind, .node = options_.node, .deed = visit.deed});
  row.chain = std::string(at_a_door && visit.code != Code::kOk ? kRefusals : kDeeds);
  row.code = static_cast<std::uint8_t>(visit.code);
  row.said = std::move(visit.said);
  row.times = visit.times;
  next_.behind.push_back(std::move(row));
}

template <typename Answer, typename UseStore>
void Audit::Ask(UseStore use, std::function<void(const Result<Answer>&)> done) {
  MutexLock lock(mutex_);
  const bool crowded = next_.asked.size() >= kMaxWaitingCount;
  if (crowded || stopping_) {
    lock.Unlock();
    return done(crowded ? Crowded() : Stopping());
  }
  next_.asked.emplace_back([this, use = std::move(use), done = std::move(done)] {
    Answer found;
    Status status = Use([&](Store& store) {
      auto read = use(store);
      if (read.ok()) found = std::move(read).value();
      return read.status();
    });
    if (status.ok()) {
      done(std::move(found));
    } else {
      done(Unavailable("the record of what people do cannot be read: " + status.message()));
    }
    return status;
  });
  work_ready_.NotifyOne();
}

void Audit::Read(Query query, Found done) {
  Ask<std::vector<Entry>>([query = std::move(query)](Store& store) { return store.Read(query); },
                          std::move(done));
}

void Audit::ReadChains(std::string after, std::size_t max, FoundChains done) {
  Ask<std::vector<Span>>(
      [after = std::move(after), max](Store& store) { return store.Chains(after, max); },
      std::move(done));
}

void Audit::ReadRows(std::string chain, std::uint64_t after, std::size_t max, FoundRows done) {
  Ask<std::vector<Row>>([chain = std::move(chain), after,
                         max](Store& store) { return store.Rows(chain, after, max); },
                        std::move(done));
}

// The first look is at nothing, so that trouble is told before it matters.
void Audit::Run() {
  Work work;
  do {
    NoteTrouble(Do(work));
    TellHeads(false);
  } while (WaitForWork(work));
  TellHeads(true);
}

void Audit::NoteTrouble(const Status& done) {
  if (done.ok() == troubled_ && options_.on_trouble)
    options_.on_trouble(done.ok() ? "" : done.message());
  troubled_ = !done.ok();
}

bool Audit::WaitForWork(Work& work) {
  const std::int64_t pause_ends_ms = base::MonoNowMs() + kPause.count();
  const MutexLock lock(mutex_);
  while (next_.empty() && !stopping_) {
    const std::int64_t now_ms = base::MonoNowMs();
    for (Visit& visit : visits_.TakeEnded(now_ms, false)) AddVisit(std::move(visit));
    std::optional<std::int64_t> wake_ms = visits_.next_ms();
    if (troubled_) wake_ms = std::min(wake_ms.value_or(pause_ends_ms), pause_ends_ms);
    if (!heads_.empty()) wake_ms = std::min(wake_ms.value_or(heads_due_ms_), heads_due_ms_);
    if (!next_.empty()) break;
    if (!wake_ms) {
      work_ready_.Wait(mutex_);
    } else if (*wake_ms <= now_ms) {
      break;
    } else {
      (void)work_ready_.WaitUntil(mutex_,
                                  base::MonoNow() + std::chrono::milliseconds(*wake_ms - now_ms));
    }
  }
  if (stopping_) {
    for (Visit& visit : visits_.TakeEnded(base::MonoNowMs(), true)) AddVisit(std::move(visit));
  }
  work = std::exchange(next_, {});
  return !stopping_ || !work.empty();
}

Status Audit::Do(Work& work) {
  Status status = Write(work);
  for (std::size_t i = 0; i < work.told.size(); ++i)
    work.told[i](status.ok() ? Result<EntryId>(work.begun[i].about) : CannotBeKept(status));
  if (status.ok()) status = Retire();
  for (const Look& look : work.asked) {
    if (const Status read = look(); !read.ok()) status = read;
  }
  return status;
}

Status Audit::Open() {
  if (store_ != nullptr) return OkStatus();
  auto opened = options_.open();
  if (!opened.ok()) return opened.status();
  store_ = std::move(opened).value();
  written_ = kRowsPerRemoval;
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

// What came of deeds comes before new ones, so that of one transaction they are in their order.
Status Audit::Write(Work& work) {
  std::move(work.behind.begin(), work.behind.end(), std::back_inserter(late_));
  std::vector<Row> rows = late_;
  rows.insert(rows.end(), work.begun.begin(), work.begun.end());
  std::vector<Row> written;
  Status status = Use([&](Store& store) {
    written = rows;  // what an attempt has made of them is not for the next one
    if (!rows.empty()) return store.Append(written);
    return troubled_ ? store.TryToWrite() : OkStatus();
  });
  if (status.ok()) {
    written_ += written.size();
    NoteHeads(written);
    late_.clear();
  } else if (late_.size() > kMaxWaitingCount) {
    // What came of the oldest stays unknown.
    late_.erase(late_.begin(), late_.end() - static_cast<std::ptrdiff_t>(kMaxWaitingCount));
  }
  return status;
}

void Audit::NoteHeads(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    if (!row.hash.empty()) heads_[row.chain] = {row.number, row.hash};
  }
}

void Audit::TellHeads(bool closing) {
  if (heads_.empty() || (!closing && base::MonoNowMs() < heads_due_ms_)) return;
  for (const auto& [chain, head] : heads_) {
    if (options_.on_head) options_.on_head(chain, head.number, Hex(head.hash));
  }
  heads_.clear();
  heads_due_ms_ = base::MonoNowMs() + kHeadsInterval.count();
}

Status Audit::Retire() {
  if (written_ < kRowsPerRemoval) return OkStatus();
  const std::int64_t now = base::UnixNowMs();
  Status status = store_->Retire(kDeeds, options_.max_rows_count, now);
  if (status.ok()) status = store_->Retire(kRefusals, options_.max_refused_rows_count, now);
  if (!status.ok()) store_.reset();
  written_ = 0;
  return status;
}

}  // namespace assent::audit
