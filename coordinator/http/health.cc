#include "coordinator/http/health.h"

#include <algorithm>
#include <utility>

#include "coordinator/http/limits.h"

namespace assent::http {
namespace {

constexpr std::chrono::milliseconds kPatience{kMaxLogWriteMs};

std::string Ms(std::chrono::steady_clock::duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) +
         " ms";
}

}  // namespace

Answer ReadyAnswer(const std::vector<Check>& checks, bool verbose) {
  const bool ready =
      std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.ok; });
  Answer answer{.code = ready ? 200U : 503U, .type = "text/plain; charset=utf-8"};
  answer.try_later = !ready;
  for (const Check& check : checks) {
    if (!verbose && check.ok) continue;
    answer.body += (check.ok ? "[+]" : "[-]") + check.name + ": " + check.said + "\n";
  }
  answer.body += ready ? "ready\n" : "not ready\n";
  return answer;
}

// One who asks; told by the write, or when that takes too long.
class Health::Asking final : public Pending {
 public:
  Asking(std::shared_ptr<Exchange> exchange, bool verbose, std::vector<Check> checks)
      : verbose_(verbose), exchange_(std::move(exchange)), checks_(std::move(checks)) {}

  void Tell(Check log) {
    std::shared_ptr<Exchange> exchange;
    std::vector<Check> checks;
    {
      const MutexLock lock(mutex_);
      exchange = std::move(exchange_);
      checks = std::move(checks_);
    }
    if (exchange == nullptr) return;
    checks.push_back(std::move(log));
    exchange->Reply(
        [checks = std::move(checks), verbose = verbose_] { return ReadyAnswer(checks, verbose); });
  }
  std::chrono::milliseconds patience() const override { return kPatience; }
  void TimedOut() override {
    Tell({.name = "log", .said = "a write has had no answer for " + Ms(kPatience)});
  }
  void Close() override {
    const MutexLock lock(mutex_);
    exchange_.reset();
  }

 private:
  const bool verbose_;
  Mutex mutex_;
  std::shared_ptr<Exchange> exchange_ ASSENT_GUARDED_BY(mutex_);  // nullptr: told, or has left
  std::vector<Check> checks_ ASSENT_GUARDED_BY(mutex_);
};

void Health::SetWrite(std::function<void(std::function<void(const Status&)>)> write) {
  const MutexLock lock(mutex_);
  write_ = std::move(write);
}

std::shared_ptr<Pending> Health::Ready(bool verbose, const std::shared_ptr<Exchange>& exchange) {
  const auto asking = std::make_shared<Asking>(exchange, verbose, options_.look());
  const Clock::time_point now = Clock::now();
  std::function<void(std::function<void(const Status&)>)> write;
  Check known;
  {
    const MutexLock lock(mutex_);
    const auto age = now - asked_at_;
    if (!write_) {
      known = {.name = "log", .said = "not open yet"};
    } else if (under_way_ && age > kPatience) {
      known = {.name = "log", .said = "a write has had no answer for " + Ms(age)};
    } else if (!under_way_ && !last_.name.empty() &&
               age <= std::chrono::milliseconds(kLogWriteAgeMs)) {
      known = last_;
    } else {
      askers_.push_back(asking);
      if (!std::exchange(under_way_, true)) {
        asked_at_ = now;
        write = write_;
      }
    }
  }
  if (!known.name.empty()) asking->Tell(std::move(known));
  if (write) write([self = shared_from_this()](const Status& status) { self->Written(status); });
  return asking;
}

void Health::Written(const Status& status) {
  std::vector<std::shared_ptr<Asking>> askers;
  Check check{.name = "log", .ok = status.ok()};
  {
    const MutexLock lock(mutex_);
    check.said = status.ok() ? "written in " + Ms(Clock::now() - asked_at_) : status.ToString();
    last_ = check;
    under_way_ = false;
    askers.swap(askers_);
  }
  for (const auto& asking : askers) asking->Tell(check);
}

}  // namespace assent::http
