#include "coordinator/webhook/sender.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/post/signature.h"

namespace assent::webhook {

using std::chrono::milliseconds;

Sender::Sender(SenderOptions options)
    : options_(std::move(options)),
      poster_(options_.target, post::Connections::kOneEach, options_.dialling) {}

void Sender::Open(Teller teller) {
  teller_ = std::move(teller);
  {
    const MutexLock lock(mutex_);
    ended_ = false;
  }
  thread_ = std::thread([this] {
    base::NameThisThread("webhook");
    Run();
  });
}

void Sender::Tell(const std::function<Event()>& make) {
  bool newly_full = false;
  {
    const MutexLock lock(mutex_);
    if (closing_) return;
    if (queue_.size() < options_.max_queued_count) {
      queue_.push_back({make(), base::MonoNowMs()});
      return changed_.NotifyAll();
    }
    ++figures_.dropped;
    newly_full = !std::exchange(full_, true);
  }
  if (newly_full) Say(Trouble::kFull, std::to_string(options_.max_queued_count));
}

std::size_t Sender::Close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    last_words_ = queue_.size();
    changed_.NotifyAll();
    const auto until = base::MonoNow() + milliseconds(kLastWordsMs);
    while (!ended_ && changed_.WaitUntil(mutex_, until)) {
    }
    last_words_ = 0;
  }
  poster_.Stop();
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(mutex_);
  return std::exchange(queue_, {}).size();
}

SenderFigures Sender::Figures() const {
  const MutexLock lock(mutex_);
  SenderFigures figures = figures_;
  figures.queued = queue_.size();
  return figures;
}

void Sender::Run() {
  Queued next;
  while (WaitForTurn(next)) {
    const std::string failed = Try(next.event);
    Settle(std::move(next), failed);
  }
  const MutexLock lock(mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

// False: it is over. The pause is the receiver's, not the event's.
bool Sender::WaitForTurn(Queued& next) {
  const MutexLock lock(mutex_);
  const std::uint32_t doublings = std::min<std::uint32_t>(failures_, 16);
  const milliseconds pause = failures_ == 0 ? milliseconds(0)
                                            : std::min(options_.first_pause * (1 << doublings) / 2,
                                                       milliseconds(kMaxPauseMs));
  const auto until = base::MonoNow() + pause;
  while (!closing_ && base::MonoNow() < until) (void)changed_.WaitUntil(mutex_, until);
  while (!closing_ && queue_.empty()) changed_.Wait(mutex_);
  if (queue_.empty() || (closing_ && last_words_ == 0)) return false;
  if (closing_) --last_words_;
  next = std::move(queue_.front());
  queue_.pop_front();
  return true;
}

std::string Sender::Try(const Event& event) {
  const std::string id = IdOf(event);
  const std::string body = Body(event, id, teller_);
  return poster_
      .Post({{"Content-Type", "application/json"},
             {"User-Agent", options_.agent},
             {"Assent-Event", id},
             {"Assent-Signature", post::Sign(options_.secret, base::UnixNowMs() / 1000, body)}},
            body, milliseconds(kTryMs))
      .failed;
}

void Sender::Settle(Queued tried, const std::string& failed) {
  Trouble trouble = Trouble::kNone;
  bool say = false;
  const std::string gid = tried.event.gid;
  {
    const MutexLock lock(mutex_);
    if (failed.empty()) {
      ++figures_.delivered;
      say = std::exchange(failures_, 0) > 0;
      giving_up_ = false;
    } else {
      ++figures_.failed_tries;
      trouble = Trouble::kAway;
      say = failures_++ == 0 && !closing_;
      ++tried.tries;
      if (tried.tries < kMaxTriesCount && base::MonoNowMs() - tried.since_ms < kMaxAgeMs) {
        queue_.push_back(std::move(tried));
      } else {
        ++figures_.given_up;
        trouble = Trouble::kGivenUp;
        say = !std::exchange(giving_up_, true);
      }
    }
    if (queue_.size() <= options_.max_queued_count / 2) full_ = false;
  }
  if (say) Say(trouble, trouble == Trouble::kGivenUp ? gid : failed);
}

void Sender::Say(Trouble trouble, const std::string& said) const {
  if (options_.on_trouble) options_.on_trouble(trouble, said);
}

}  // namespace assent::webhook
