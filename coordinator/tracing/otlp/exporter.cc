#include "coordinator/tracing/otlp/exporter.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"

namespace assent::tracing {

using std::chrono::milliseconds;

static_assert(kMaxBatchSpansCount <= kMaxQueuedSpansCount && kMaxBatchBytes <= kMaxQueuedSpansBytes,
              "the largest request fits into the queue");
static_assert(sizeof(FittedSpan) + 2 * kMaxTextBytes + kMaxTracestateBytes +
                      kMaxAttributesCount * (sizeof(Attribute) + kMaxTextBytes) <=
                  kMaxBatchBytes,
              "the largest span fits into a request");

Exporter::Exporter(ExporterOptions options)
    : options_(std::move(options)),
      poster_(options_.target, post::Connections::kKept, options_.dialling),
      random_(static_cast<std::uint64_t>(base::MonoNow().time_since_epoch().count())) {}

void Exporter::Open(Resource resource) {
  resource_ = std::move(resource);
  headers_ = {{"Content-Type", kContentType}, {"User-Agent", options_.agent}};
  headers_.insert(headers_.end(), options_.headers.begin(), options_.headers.end());
  {
    const MutexLock lock(mutex_);
    ended_ = false;
  }
  thread_ = std::thread([this] {
    base::NameThisThread("tracing");
    Run();
  });
}

void Exporter::Offer(Span&& span) {
  const bool sound = IsSound(span);
  FittedSpan fitted = Fit(std::move(span));
  bool newly_full = false;
  {
    const MutexLock lock(mutex_);
    if (!sound) {
      ++figures_.rejected;
    } else if (closing_) {
      ++figures_.gave_up;
    } else if (HasRoom(fitted.bytes)) {
      if (queue_.empty()) since_ = base::MonoNow();
      queued_bytes_ += fitted.bytes;
      queue_.push_back(std::move(fitted));
      if (queue_.size() == 1 || queue_.size() == kMaxBatchSpansCount) changed_.NotifyAll();
    } else {
      ++figures_.queue_full;
      newly_full = !std::exchange(full_, true);
    }
  }
  if (newly_full) Say(TracingTrouble::kFull, std::to_string(options_.max_queued_spans_count));
}

bool Exporter::HasRoom(std::size_t bytes) const {
  return queue_.size() < options_.max_queued_spans_count &&
         queued_bytes_ + bytes <= options_.max_queued_spans_bytes;
}

std::size_t Exporter::Close() {
  std::uint64_t given_up_before = 0;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    given_up_before = figures_.gave_up;
    changed_.NotifyAll();
    const auto until = base::MonoNow() + milliseconds(kLastSpansMs);
    while (!ended_ && changed_.WaitUntil(mutex_, until)) {
    }
  }
  poster_.Stop();
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(mutex_);
  figures_.gave_up += queue_.size();
  queue_.clear();
  queued_bytes_ = 0;
  return figures_.gave_up - given_up_before;
}

ExporterFigures Exporter::Figures() const {
  const MutexLock lock(mutex_);
  ExporterFigures figures = figures_;
  figures.queued = queue_.size() + under_way_;
  return figures;
}

void Exporter::Run() {
  std::vector<FittedSpan> batch;
  while (WaitForBatch(batch)) Export(batch);
  const MutexLock lock(mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

// Until there are enough, or the first has waited for long enough. False: it is over.
bool Exporter::WaitForBatch(std::vector<FittedSpan>& batch) {
  const MutexLock lock(mutex_);
  while (!closing_ && queue_.empty()) changed_.Wait(mutex_);
  const auto until = since_ + options_.max_batch_wait;
  while (!closing_ && queue_.size() < kMaxBatchSpansCount && base::MonoNow() < until)
    (void)changed_.WaitUntil(mutex_, until);
  if (queue_.empty() || hopeless_) return false;
  TakeBatch(batch);
  return true;
}

// What is left has come later than `since_`, and so does not wait for longer than it may.
void Exporter::TakeBatch(std::vector<FittedSpan>& batch) {
  batch.clear();
  std::size_t bytes = 0;
  while (!queue_.empty() && batch.size() < kMaxBatchSpansCount &&
         bytes + queue_.front().bytes <= kMaxBatchBytes) {
    bytes += queue_.front().bytes;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  under_way_ = batch.size();
  if (queue_.size() <= options_.max_queued_spans_count / 2 &&
      queued_bytes_ <= options_.max_queued_spans_bytes / 2)
    full_ = false;
}

void Exporter::Export(const std::vector<FittedSpan>& batch) {
  const std::string body = Encode(resource_, batch);
  const TimePoint began = base::MonoNow();
  for (std::uint32_t tries = 1;; ++tries) {
    const bool last = WaitForTurn();
    const Verdict verdict =
        Judge(poster_.Post(headers_, body, milliseconds(kSpansTryMs)), batch.size());
    if (verdict.fate != Fate::kLater) return Settle(batch.size(), verdict);
    PauseAfter(verdict);
    const bool over =
        last || tries == kMaxBatchTriesCount || not_before_ - began > options_.max_age;
    CountFailedTry(over ? batch.size() : 0, last);
    if (failures_ == 1 && !last) Say(TracingTrouble::kAway, verdict.said);
    troubled_ = true;
    if (!over) continue;
    if (!std::exchange(giving_up_, true) && !last)
      Say(TracingTrouble::kGaveUp, std::to_string(batch.size()));
    return;
  }
}

// True: it is closing, and this is the last try.
bool Exporter::WaitForTurn() {
  const MutexLock lock(mutex_);
  while (!closing_ && base::MonoNow() < not_before_) (void)changed_.WaitUntil(mutex_, not_before_);
  return closing_;
}

// The pause is the collector's, not the batch's.
void Exporter::PauseAfter(const Verdict& verdict) {
  const std::uint32_t doublings = std::min<std::uint32_t>(failures_, 16);
  ++failures_;
  const milliseconds most =
      std::min(options_.first_pause * (1 << doublings), milliseconds(kMaxSpansPauseMs));
  const auto less = milliseconds(random_.Below(static_cast<std::uint64_t>(most.count()) / 2 + 1));
  const milliseconds asked = std::min<milliseconds>(verdict.pause, milliseconds(kMaxRetryAfterMs));
  not_before_ = base::MonoNow() + std::max(most - less, asked);
}

void Exporter::CountFailedTry(std::size_t given_up, bool last) {
  const MutexLock lock(mutex_);
  ++figures_.failed_tries;
  figures_.gave_up += given_up;
  under_way_ -= given_up;
  if (last) hopeless_ = true;
}

void Exporter::Settle(std::size_t sent, const Verdict& verdict) {
  failures_ = 0;
  {
    const MutexLock lock(mutex_);
    figures_.exported += sent - verdict.rejected;
    figures_.rejected += verdict.rejected;
    under_way_ = 0;
  }
  if (verdict.rejected > 0) {
    troubled_ = true;
    if (!std::exchange(rejecting_, true)) Say(TracingTrouble::kRejected, verdict.said);
    return;
  }
  rejecting_ = giving_up_ = false;
  if (std::exchange(troubled_, false)) Say(TracingTrouble::kNone, "");
  const bool remarks = !verdict.said.empty();
  if (!std::exchange(remarking_, remarks) && remarks) Say(TracingTrouble::kRemark, verdict.said);
}

void Exporter::Say(TracingTrouble trouble, const std::string& said) const {
  if (options_.on_trouble) options_.on_trouble(trouble, said);
}

}  // namespace assent::tracing
