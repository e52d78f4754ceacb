#include "coordinator/discovery/etcd/registration.h"

#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include <assent/thread_safety.h>

#include "coordinator/base/thread_name.h"

namespace assent::discovery::etcd {
namespace {

using std::chrono::milliseconds;

}  // namespace

struct Registration::Impl {
  Impl(std::vector<std::string> at, Dial to_dial, std::string its_key, std::string its_value,
       Told to_tell)
      : endpoints(std::move(at)),
        dial(std::move(to_dial)),
        key(std::move(its_key)),
        value(std::move(its_value)),
        told(std::move(to_tell)) {
    ASSENT_CHECK(!endpoints.empty());
  }

  // ---- Its thread

  void Run() {
    base::NameThisThread("assent-etcd-reg");
    std::map<std::string, std::string> troubles;  // of this round, by endpoint
    for (std::size_t at = 0, tried = 0; !IsClosing(); at = (at + 1) % endpoints.size()) {
      const std::shared_ptr<Store> store = dial(endpoints[at]);
      Ask(store);
      bool registered = false;
      const Status end = Hold(*store, registered);
      Ask(nullptr);
      if (registered) {
        tried = 0;
        troubles.clear();
      }
      troubles[endpoints[at]] = end.message();
      if (IsClosing() || ++tried < endpoints.size()) continue;
      tried = 0;
      Tell(troubles);
      Nap(milliseconds(kRegisterPauseMs));
    }
    const MutexLock lock(mutex);
    gone = true;
    news.NotifyAll();
  }

  // Until it is over, or something is wrong.
  Status Hold(Store& store, bool& registered) {
    while (true) {
      const Result<std::int64_t> lease = store.Put(key, value, kRegistrationSeconds);
      if (!lease.ok()) return lease.status();
      registered = true;
      Tell({});
      const Status end = Keep(store, *lease);
      if (end.code() == Code::kCancelled) (void)store.Revoke(*lease);
      if (end.code() != Code::kNotFound) return end;
    }
  }

  // kNotFound: it is not there any more, as when etcd was restored from last week.
  Status Keep(Store& store, std::int64_t lease) {
    while (true) {
      Nap(milliseconds(kRenewIntervalMs));
      if (IsClosing()) return Status(Code::kCancelled, "it is over");
      if (Status renewed = store.Renew(lease); !renewed.ok()) return renewed;
      const Result<Listing> there = store.List(key);
      if (!there.ok()) return there.status();
      if (there->values.empty() || there->values.front() != value)
        return NotFound("somebody has taken it away");
    }
  }

  void Tell(const std::map<std::string, std::string>& troubles) {
    std::string words;
    for (const auto& [endpoint, why] : troubles)
      words += (words.empty() ? "etcd at " : "; at ") + endpoint + ": " + why;
    if (known && *known == words) return;
    known = words;
    told(words.empty() ? OkStatus() : Unavailable(words));
  }

  // ---- Any thread

  void Ask(std::shared_ptr<Store> store) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    asked = std::move(store);
  }
  void Leave() ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    closing = true;
    news.NotifyAll();
  }
  // What is asked and not answered in time is given up.
  void AwaitEnd() ASSENT_EXCLUDES(mutex) {
    const auto until = std::chrono::steady_clock::now() + milliseconds(kLeavePatienceMs);
    const MutexLock lock(mutex);
    while (!gone && news.WaitUntil(mutex, until)) continue;
    if (!gone && asked != nullptr) asked->Cancel();
  }
  bool IsClosing() ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return closing;
  }
  void Nap(milliseconds pause) ASSENT_EXCLUDES(mutex) {
    const auto until = std::chrono::steady_clock::now() + pause;
    const MutexLock lock(mutex);
    while (!closing && news.WaitUntil(mutex, until)) continue;
  }

  const std::vector<std::string> endpoints;
  const Dial dial;
  const std::string key;
  const std::string value;
  const Told told;
  std::optional<std::string> known;  // what was last told; the thread's

  Mutex mutex;
  CondVar news;
  std::shared_ptr<Store> asked ASSENT_GUARDED_BY(mutex);  // nullptr: nobody is
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  bool gone ASSENT_GUARDED_BY(mutex) = false;
  std::thread thread;
};

Registration::Registration(std::vector<std::string> endpoints, Dial dial, std::string key,
                           std::string value, Told told)
    : impl_(std::make_unique<Impl>(std::move(endpoints), std::move(dial), std::move(key),
                                   std::move(value), std::move(told))) {}
Registration::~Registration() { Stop(); }

void Registration::Start() {
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

void Registration::Leave() { impl_->Leave(); }

void Registration::Stop() {
  if (!impl_->thread.joinable()) return;
  impl_->Leave();
  impl_->AwaitEnd();
  impl_->thread.join();
}

}  // namespace assent::discovery::etcd
