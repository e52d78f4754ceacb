#include "coordinator/discovery/etcd/resolver.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <assent/text.h>
#include <assent/thread_safety.h>

#include "coordinator/base/thread_name.h"
#include "coordinator/discovery/etcd/value.h"

namespace assent::discovery::etcd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxShownBytes = 100;

}  // namespace

struct Resolver::Impl {
  struct Prefix {
    Name name;
    bool rung = false;    // something has changed, or may have
    bool denied = false;  // this one may not be read, though others may
    Clock::time_point listed{};
    Clock::time_point Due() const {
      return listed + milliseconds(rung     ? kMinListIntervalMs
                                   : denied ? kMaxPauseMs
                                            : kMaxListIntervalMs);
    }
  };

  Impl(std::vector<std::string> at, Dial to_dial, std::vector<Name> names, Told to_tell)
      : endpoints(std::move(at)), dial(std::move(to_dial)), told(std::move(to_tell)) {
    ASSENT_CHECK(!endpoints.empty());
    for (Name& name : names) prefixes.push_back({.name = std::move(name)});
  }

  // ---- Its thread

  void Run() {
    base::NameThisThread("assent-etcd");
    std::map<std::string, std::string> troubles;  // of this round, by endpoint
    milliseconds pause(kFirstPauseMs);
    for (std::size_t tried = 0, at = 0; !IsClosing();) {
      const auto began = Clock::now();
      const Status end = Visit(endpoints[at]);
      if (Clock::now() - began >= milliseconds(kMaxPauseMs)) {
        troubles.clear();
        pause = milliseconds(kFirstPauseMs);
        tried = 0;
      }
      if (end.code() == Code::kOutOfRange) {  // it is listed anew, by the same one
        Nap(milliseconds(kMinListIntervalMs));
        continue;
      }
      troubles[endpoints[at]] = end.message();
      at = (at + 1) % endpoints.size();
      if (++tried < endpoints.size()) continue;
      tried = 0;
      if (!IsClosing()) TellOfTrouble(troubles);
      Nap(pause);
      pause = std::min(2 * pause, milliseconds(kMaxPauseMs));
    }
  }

  void TellOfTrouble(const std::map<std::string, std::string>& troubles) {
    std::string words;
    for (const auto& [endpoint, why] : troubles)
      words += (words.empty() ? "etcd at " : "; at ") + endpoint + ": " + why;
    for (std::size_t number = 0; number < PrefixCount(); ++number)
      told(number, Unavailable(words), "");
  }

  // Until something is wrong with it.
  Status Visit(const std::string& endpoint) {
    const std::shared_ptr<Store> store = dial(endpoint);
    {
      const MutexLock lock(mutex);
      if (closing) return Status(Code::kCancelled, "");
      asked = store;
      broken.reset();
    }
    const Status end = Serve(*store);
    const MutexLock lock(mutex);
    asked.reset();
    return end;
  }

  Status Serve(Store& store) {
    std::vector<Watched> watched;
    std::vector<std::size_t> numbers;  // of each
    for (std::size_t number = 0; number < PrefixCount(); ++number) {
      const Result<std::int64_t> revision = List(store, number);
      if (revision.status().code() == Code::kPermissionDenied) continue;
      if (!revision.ok()) return revision.status();
      watched.push_back({PrefixOf(number), *revision + 1});
      numbers.push_back(number);
    }
    std::thread watcher([&] {
      base::NameThisThread("assent-etcd-w");
      const Status end = store.Watch(watched, [&](std::size_t at) { Ring(numbers[at]); });
      const MutexLock lock(mutex);
      broken = end;
      news.NotifyAll();
    });
    const Status end = Heed(store, {numbers.begin(), numbers.end()});
    store.Cancel();
    watcher.join();
    return end;
  }

  // Lists what is due, until something breaks.
  Status Heed(Store& store, const std::set<std::size_t>& watched) {
    while (true) {
      Status end;
      const std::optional<std::size_t> number = WaitForDue(end);
      if (!number) return end;
      const Result<std::int64_t> listed = List(store, *number);
      if (listed.status().code() == Code::kPermissionDenied) continue;
      if (!listed.ok()) return listed.status();
      if (!watched.contains(*number)) return Status(Code::kOutOfRange, "it may be read by now");
    }
  }

  std::optional<std::size_t> WaitForDue(Status& end) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    while (true) {
      if (closing || broken) {
        end = broken.value_or(Status(Code::kCancelled, ""));
        return {};
      }
      const auto next =
          std::min_element(prefixes.begin(), prefixes.end(),
                           [](const Prefix& a, const Prefix& b) { return a.Due() < b.Due(); });
      if (next->Due() <= Clock::now())
        return static_cast<std::size_t>(std::distance(prefixes.begin(), next));
      (void)news.WaitUntil(mutex, next->Due());
    }
  }

  // Tells what stands there, as of the revision that it returns.
  Result<std::int64_t> List(Store& store, std::size_t number) ASSENT_EXCLUDES(mutex) {
    Name name;
    {
      const MutexLock lock(mutex);
      prefixes[number].rung = false;
      prefixes[number].listed = Clock::now();
      name = prefixes[number].name;
    }
    const Result<Listing> listing = store.List(name.host);
    const bool denied = listing.status().code() == Code::kPermissionDenied;
    {
      const MutexLock lock(mutex);
      prefixes[number].denied = denied;
    }
    if (denied) told(number, listing.status(), "");
    if (!listing.ok()) return listing.status();
    std::vector<Place> places;
    std::string left_out;
    for (const std::string& value : listing->values) {
      Result<Place> place = ReadPlace(name, value);
      if (place.ok()) {
        places.push_back(std::move(place).value());
        continue;
      }
      left_out = "\"" + EscapeUnseen(CleanText(value, kMaxShownBytes), false) +
                 "\" is left out: " + place.status().message();
    }
    const auto read = static_cast<std::int64_t>(listing->values.size());
    if (listing->count > read) {
      left_out = "it has " + std::to_string(listing->count) + " keys, of which " +
                 std::to_string(read) + " are read";
    }
    told(number, std::move(places), left_out);
    return listing->revision;
  }

  // ---- Any thread

  void Ring(std::size_t number) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    prefixes[number].rung = true;
    news.NotifyAll();
  }
  bool IsClosing() ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return closing;
  }
  std::size_t PrefixCount() ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return prefixes.size();
  }
  std::string PrefixOf(std::size_t number) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return prefixes[number].name.host;
  }
  void Nap(milliseconds pause) ASSENT_EXCLUDES(mutex) {
    const auto until = Clock::now() + pause;
    const MutexLock lock(mutex);
    while (!closing && news.WaitUntil(mutex, until)) continue;
  }

  const std::vector<std::string> endpoints;
  const Dial dial;
  const Told told;

  Mutex mutex;
  CondVar news;
  std::vector<Prefix> prefixes ASSENT_GUARDED_BY(mutex);
  std::shared_ptr<Store> asked ASSENT_GUARDED_BY(mutex);  // nullptr: nobody is
  std::optional<Status> broken ASSENT_GUARDED_BY(mutex);  // why its watch has ended
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  std::thread thread;
};

Resolver::Resolver(std::vector<std::string> endpoints, Dial dial, std::vector<Name> names,
                   Told told)
    : impl_(std::make_unique<Impl>(std::move(endpoints), std::move(dial), std::move(names),
                                   std::move(told))) {}
Resolver::~Resolver() { Stop(); }

void Resolver::Start() {
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

void Resolver::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    const MutexLock lock(impl_->mutex);
    impl_->closing = true;
    if (impl_->asked != nullptr) impl_->asked->Cancel();
    impl_->news.NotifyAll();
  }
  impl_->thread.join();
}

void Resolver::LookAgain(std::size_t number) { impl_->Ring(number); }

}  // namespace assent::discovery::etcd
