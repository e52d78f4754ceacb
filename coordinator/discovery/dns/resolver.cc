#include "coordinator/discovery/dns/resolver.h"

#include <algorithm>
#include <ares.h>
#include <array>
#include <map>
#include <optional>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <sys/eventfd.h>

#include <assent/thread_safety.h>

#include "coordinator/base/thread_name.h"
#include "coordinator/discovery/dns/service_records.h"

namespace assent::discovery::dns {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The library's own state, once in a program.
void SetUpOnce() {
  static const int kDone = ares_library_init(ARES_LIB_INIT_ALL);
  ASSENT_CHECK(kDone == ARES_SUCCESS);
}

std::string HostOf(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address->sa_family == AF_INET)
    bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  else if (address->sa_family == AF_INET6)
    bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (bytes == nullptr) return {};
  return inet_ntop(address->sa_family, bytes, text.data(), text.size());
}

// The server has said so, in contrast to one that could not.
bool IsAnswer(int status) { return status == ARES_ENOTFOUND || status == ARES_ENODATA; }

}  // namespace

std::chrono::milliseconds IntervalOf(std::uint32_t ttl_seconds) {
  if (ttl_seconds == 0) return milliseconds(kUncachedLookIntervalMs);
  return milliseconds(std::clamp<std::int64_t>(std::int64_t{ttl_seconds} * 1000, kMinLookIntervalMs,
                                               kMaxLookIntervalMs));
}

struct Resolver::Impl {
  // A name, and when it is looked for.
  struct Watched {
    Name name;
    Clock::time_point due{};
    Clock::time_point last{};
    milliseconds pause{kFirstRetryPauseMs};
    bool looking = false;
  };
  // One look at a name: of hosts, of which SRV records may have told several.
  struct Look {
    Impl& impl;
    std::size_t number;
    std::size_t pending = 0;
    std::vector<Place> found{};
    std::optional<std::uint32_t> ttl{};
    Status trouble{};
  };
  struct Host {
    std::shared_ptr<Look> look;
    std::uint16_t port;
    std::string name;  // of an SRV record
  };

  Impl(ResolverOptions given, std::vector<Name> names, Told to_tell)
      : options(std::move(given)), told(std::move(to_tell)), wake(eventfd(0, EFD_CLOEXEC)) {
    ASSENT_CHECK(wake >= 0);
    for (Name& name : names) watched.push_back({.name = std::move(name)});
    doubted.resize(watched.size());
  }
  ~Impl() {
    if (channel != nullptr) ares_destroy(channel);
    close(wake);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status Open() {
    SetUpOnce();
    ares_options settings{};
    settings.timeout = static_cast<int>(kServerTimeoutMs);
    settings.tries = 2;
    settings.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
      static_cast<Impl*>(self)->Watch(socket, readable != 0, writable != 0);
    };
    settings.sock_state_cb_data = this;
    const int code = ares_init_options(
        &channel, &settings, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (code != ARES_SUCCESS) {
      return Unavailable(std::string("the system's settings of the DNS cannot be read: ") +
                         ares_strerror(code));
    }
    if (options.servers.empty()) return OkStatus();
    if (ares_set_servers_ports_csv(channel, options.servers.c_str()) == ARES_SUCCESS)
      return OkStatus();
    return InvalidArgument("dns-servers are " + options.servers +
                           ": they take HOST:PORT in digits, with commas between several");
  }

  // ---- Of the loop

  void Watch(ares_socket_t socket, bool readable, bool writable) {
    const int events = (readable ? POLLIN : 0) | (writable ? POLLOUT : 0);
    if (events == 0)
      sockets.erase(socket);
    else
      sockets[socket] = static_cast<short>(events);
  }

  void Run() {
    base::NameThisThread("assent-dns");
    while (Heed()) {
      BeginDue();
      Wait();
    }
  }

  // What was said from outside. False: it is over.
  bool Heed() ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    for (std::size_t number = 0; number < watched.size(); ++number) {
      if (!doubted[number]) continue;
      doubted[number] = false;
      Watched& one = watched[number];
      one.due = std::min(one.due, one.last + milliseconds(kMinLookIntervalMs));
    }
    return !closing;
  }

  void BeginDue() {
    const auto now = Clock::now();
    for (std::size_t number = 0; number < watched.size(); ++number) {
      Watched& one = watched[number];
      if (one.looking || one.due > now) continue;
      one.looking = true;
      one.last = now;
      auto look = std::make_shared<Look>(Look{.impl = *this, .number = number});
      if (one.name.by_service())
        AskForService(std::move(look));
      else
        AskForHost({std::move(look), static_cast<std::uint16_t>(std::stoi(one.name.port)), {}},
                   one.name.host);
    }
  }

  void AskForService(std::shared_ptr<Look> look) {
    ++look->pending;
    const std::string host = watched[look->number].name.host;
    ares_search(
        channel, host.c_str(), ns_c_in, ns_t_srv,
        [](void* self, int status, int, unsigned char* bytes, int size) {
          const std::unique_ptr<std::shared_ptr<Look>> of(
              static_cast<std::shared_ptr<Look>*>(self));
          if (status == ARES_EDESTRUCTION) return;
          (*of)->impl.HeardOfService(
              *of, status,
              {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(std::max(size, 0))});
        },
        new std::shared_ptr<Look>(std::move(look)));
  }

  void HeardOfService(const std::shared_ptr<Look>& look, int status, std::string_view answer) {
    if (status != ARES_SUCCESS) {
      look->trouble = Unavailable(ares_strerror(status));
      return End(*look);
    }
    const auto records = ReadServiceRecords(answer);
    if (!records.ok()) {
      look->trouble = records.status();
      return End(*look);
    }
    const std::size_t count = std::min(records->size(), kMaxServiceRecordsCount);
    for (std::size_t i = 0; i < count; ++i) {
      const ServiceRecord& record = (*records)[i];
      look->ttl = std::min(look->ttl.value_or(record.ttl_seconds), record.ttl_seconds);
      AskForHost({look, record.port, record.target}, record.target);
    }
    End(*look);
  }

  void AskForHost(Host host, const std::string& name) {
    ++host.look->pending;
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = ARES_AI_NOSORT;
    ares_getaddrinfo(
        channel, name.c_str(), nullptr, &hints,
        [](void* self, int status, int, ares_addrinfo* result) {
          const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(
              result, &ares_freeaddrinfo);
          const std::unique_ptr<Host> asked(static_cast<Host*>(self));
          if (status != ARES_EDESTRUCTION)
            asked->look->impl.HeardOfHost(*asked, status, owned.get());
        },
        new Host(std::move(host)));
  }

  void HeardOfHost(const Host& asked, int status, const ares_addrinfo* result) {
    Look& look = *asked.look;
    if (status != ARES_SUCCESS || result == nullptr) {
      // One of several that is no more does not hide the others; one that nobody can tell of does:
      // it would be given up for that.
      if (!IsAnswer(status) || asked.name.empty())
        look.trouble = Unavailable(ares_strerror(status));
      return End(look);
    }
    for (const ares_addrinfo_node* node = result->nodes; node != nullptr; node = node->ai_next) {
      const auto ttl = static_cast<std::uint32_t>(std::max(node->ai_ttl, 0));
      look.ttl = std::min(look.ttl.value_or(ttl), ttl);
      look.found.push_back({HostOf(node->ai_addr), asked.port, asked.name});
    }
    End(look);
  }

  // One of its questions has been answered.
  void End(Look& look) {
    if (--look.pending != 0) return;
    Watched& one = watched[look.number];
    one.looking = false;
    if (look.trouble.ok() && look.found.empty()) look.trouble = Unavailable("it has no address");
    if (!look.trouble.ok()) {
      one.due = Clock::now() + one.pause;
      one.pause = std::min(2 * one.pause, milliseconds(kMaxRetryPauseMs));
      return told(look.number, look.trouble);
    }
    one.due = Clock::now() + IntervalOf(look.ttl.value_or(0));
    one.pause = milliseconds(kFirstRetryPauseMs);
    told(look.number, std::move(look.found));
  }

  void Wait() {
    std::vector<pollfd> polled{{.fd = wake, .events = POLLIN, .revents = 0}};
    for (const auto& [socket, events] : sockets)
      polled.push_back({.fd = socket, .events = events, .revents = 0});
    (void)poll(polled.data(), polled.size(), NapMs());
    if (polled[0].revents != 0) {
      std::uint64_t count = 0;
      (void)!read(wake, &count, sizeof count);
    }
    for (std::size_t i = 1; i < polled.size(); ++i) {
      const pollfd& one = polled[i];
      const bool broken = (one.revents & (POLLERR | POLLHUP)) != 0;
      const bool readable = broken || (one.revents & POLLIN) != 0;
      const bool writable = (one.revents & POLLOUT) != 0;
      if (!readable && !writable) continue;
      ares_process_fd(channel, readable ? one.fd : ARES_SOCKET_BAD,
                      writable ? one.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what is over time
  }

  int NapMs() {
    auto until = Clock::now() + milliseconds(kMaxLookIntervalMs);
    for (const Watched& one : watched) {
      if (!one.looking) until = std::min(until, one.due);
    }
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    const auto nap = static_cast<int>(std::max<std::int64_t>(left, 0));
    timeval most{.tv_sec = nap / 1000, .tv_usec = (nap % 1000) * 1000};
    timeval of_library{};
    const timeval* const next = ares_timeout(channel, &most, &of_library);
    return static_cast<int>(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
  }

  void Wake() const {
    const std::uint64_t one = 1;
    (void)!write(wake, &one, sizeof one);
  }

  const ResolverOptions options;
  const Told told;
  const int wake;
  ares_channel channel = nullptr;

  // The loop's.
  std::vector<Watched> watched;
  std::map<ares_socket_t, short> sockets;

  Mutex mutex;
  std::vector<bool> doubted ASSENT_GUARDED_BY(mutex);  // by number
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  std::thread thread;
};

Resolver::Resolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Resolver>> Resolver::Open(ResolverOptions options, std::vector<Name> names,
                                                 Told told) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(names), std::move(told));
  if (Status status = impl->Open(); !status.ok()) return status;
  return std::unique_ptr<Resolver>(new Resolver(std::move(impl)));
}

Resolver::~Resolver() { Stop(); }

void Resolver::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    const MutexLock lock(impl_->mutex);
    impl_->closing = true;
  }
  impl_->Wake();
  impl_->thread.join();
}

void Resolver::Start() {
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

void Resolver::LookAgain(std::size_t number) {
  {
    const MutexLock lock(impl_->mutex);
    impl_->doubted[number] = true;
  }
  impl_->Wake();
}

}  // namespace assent::discovery::dns
