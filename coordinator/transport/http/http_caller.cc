#include "coordinator/transport/http/http_caller.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/post/signature.h"
#include "coordinator/transport/http/exchange.h"
#include "coordinator/transport/http/message.h"

namespace assent::transport {
namespace {

using http::Exchange;

// Handles that are kept for the next calls.
constexpr std::size_t kMaxSpareHandlesCount = 256;
// How a target stands is told again so often to whoever had no connection.
constexpr std::int64_t kTellAgainMs = 300;
// The longest nap.
constexpr std::int64_t kMaxWaitMs = 1'000;

bool FitsHeader(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 127; });
}

}  // namespace

struct HttpCaller::Impl {
  struct Target {
    Target(std::size_t n, std::shared_ptr<const http::Place> place)
        : number(n), where(std::move(place)) {}
    const std::size_t number;
    const std::shared_ptr<const http::Place> where;
    // Calls are taken. Of any thread; the rest is the loop's.
    std::atomic<bool> ready = false;
    std::atomic<bool> missed = false;  // a call was not, since the last that was
    bool looking = false;
    std::int64_t pause_ms = kFirstLookPauseMs;
    std::int64_t look_at_ms = 0;
    std::int64_t told_at_ms = 0;
  };

  using TargetPtr = std::shared_ptr<Target>;
  using Targets = std::map<std::size_t, TargetPtr>;

  explicit Impl(HttpCallerOptions given) : options(std::move(given)) {
    ASSENT_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    multi = curl_multi_init();
    ASSENT_CHECK(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(kMaxKeptHttpConnectionsCount));
  }
  ~Impl() {
    exchanges.clear();
    spare.clear();
    curl_multi_cleanup(multi);
    curl_global_cleanup();
  }

  // ---- Of any thread

  std::vector<std::string> HeadersOf(const Command& command, const std::string& body) const {
    std::vector<std::string> headers = {
        "Content-Type: application/json",
        std::string("Accept: ") + http::kReplyType + ", application/json",
        "Expect:",  // nobody is asked first whether he wants it
    };
    const auto secret = options.secrets.find(command.service);
    if (secret != options.secrets.end()) {
      headers.push_back(std::string(http::kSignatureHeader) + ": " +
                        post::Sign(secret->second, base::UnixNowMs() / 1000, body));
    }
    // Where a participant's own tracing looks for it.
    if (FitsHeader(command.traceparent)) headers.push_back("traceparent: " + command.traceparent);
    if (FitsHeader(command.tracestate)) headers.push_back("tracestate: " + command.tracestate);
    return headers;
  }

  void Add(std::size_t number, const Endpoint& endpoint) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    const auto target = std::make_shared<Target>(number, PlaceOf(endpoint));
    ASSENT_CHECK(!target->where->target.secure || options.dialling);  // the settings' check
    ASSENT_CHECK(targets.emplace(number, target).second);
    changed = true;
    curl_multi_wakeup(multi);
  }

  void Remove(std::size_t number) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    targets.erase(number);
    changed = true;
  }

  static std::shared_ptr<const http::Place> PlaceOf(const Endpoint& endpoint) {
    auto parsed = post::ParseUrl(endpoint.address);
    ASSENT_CHECK(parsed.ok());  // the settings' check
    auto place = std::make_shared<http::Place>();
    place->target = std::move(parsed).value();
    post::Target& target = place->target;
    if (endpoint.name.empty() || endpoint.name == target.host) return place;
    place->connect_to = target.authority;
    target.host = endpoint.name;
    target.authority = endpoint.name + ":" + target.port;
    return place;
  }

  TargetPtr Find(std::size_t number) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    const auto found = targets.find(number);
    return found == targets.end() ? nullptr : found->second;
  }

  bool Call(std::size_t number, std::uint64_t call, Command& command) ASSENT_EXCLUDES(mutex) {
    const TargetPtr there = Find(number);
    if (there == nullptr) return false;
    Target& target = *there;
    if (!target.ready.load()) {
      target.missed.store(true);
      return false;
    }
    http::Request request;
    request.target = number;
    request.call = call;
    request.body = http::BodyOf(command, coordinator_id);
    request.headers = HeadersOf(command, request.body);
    {
      const MutexLock lock(mutex);
      if (closing) return false;
      request.command = std::move(command);
      inbox.push_back(std::move(request));
    }
    target.missed.store(false);
    curl_multi_wakeup(multi);
    return true;
  }

  void Close() ASSENT_EXCLUDES(mutex) {
    {
      const MutexLock lock(mutex);
      closing = true;
    }
    curl_multi_wakeup(multi);
  }

  // ---- Of the loop

  void Run() {
    base::NameThisThread("assent-http");
    while (BeginWhatCame()) {
      LookAround();
      int running = 0;
      curl_multi_perform(multi, &running);
      Collect();
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(NapMs()), nullptr);
    }
    EndAll();
  }

  // False: it is over.
  bool BeginWhatCame() ASSENT_EXCLUDES(mutex) {
    std::vector<http::Request> came;
    {
      const MutexLock lock(mutex);
      if (closing) return false;
      came.swap(inbox);
      if (std::exchange(changed, false)) known = targets;
    }
    for (http::Request& request : came) {
      // (Nothing is removed that something is under way to.)
      const auto where = known.at(request.target)->where;
      Begin(std::make_unique<Exchange>(NewEasy(), where, options.agent, DialledWith(*where),
                                       std::move(request)));
    }
    return true;
  }

  tls::DialMaterialPtr DialledWith(const http::Place& where) const {
    return where.target.secure ? options.dialling() : nullptr;
  }

  http::Easy NewEasy() {
    if (spare.empty()) {
      http::Easy made(curl_easy_init());
      ASSENT_CHECK(made != nullptr);
      return made;
    }
    http::Easy easy = std::move(spare.back());
    spare.pop_back();
    return easy;
  }

  void Begin(std::unique_ptr<Exchange> exchange) {
    CURL* const easy = exchange->easy();
    exchanges.emplace(easy, std::move(exchange));
    ASSENT_CHECK(curl_multi_add_handle(multi, easy) == CURLM_OK);
  }

  std::unique_ptr<Exchange> Release(CURL* easy) {
    curl_multi_remove_handle(multi, easy);
    auto found = exchanges.find(easy);
    std::unique_ptr<Exchange> exchange = std::move(found->second);
    exchanges.erase(found);
    return exchange;
  }

  // A connection that was only looked for goes with its handle.
  void Spare(Exchange& exchange) {
    if (exchange.is_look() || spare.size() >= kMaxSpareHandlesCount) return;
    http::Easy easy = exchange.TakeEasy();
    curl_easy_reset(easy.get());
    spare.push_back(std::move(easy));
  }

  void LookAround() {
    const std::int64_t now = base::MonoNowMs();
    for (const auto& [number, target] : known) {
      if (!target->looking && now >= target->look_at_ms) {
        target->looking = true;
        http::Easy easy(curl_easy_init());
        ASSENT_CHECK(easy != nullptr);
        Begin(std::make_unique<Exchange>(std::move(easy), target->where,
                                         DialledWith(*target->where), number));
      }
      // Whoever was refused may have said so to the board behind the news that all is well.
      if (target->ready.load() && target->missed.load() && now - target->told_at_ms >= kTellAgainMs)
        TellConnected(*target, now);
    }
  }

  std::int64_t NapMs() const {
    const std::int64_t now = base::MonoNowMs();
    std::int64_t until = now + kMaxWaitMs;
    for (const auto& [number, target] : known) {
      if (!target->looking) until = std::min(until, target->look_at_ms);
      if (target->ready.load() && target->missed.load())
        until = std::min(until, target->told_at_ms + kTellAgainMs);
    }
    return std::max<std::int64_t>(until - now, 0);
  }

  void TellConnected(Target& target, std::int64_t now) {
    target.told_at_ms = now;
    sink->OnConnected(target.number);
  }

  void Collect() {
    std::vector<CallEnd> ended;
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const std::unique_ptr<Exchange> exchange = Release(message->easy_handle);
      // It may have been removed while it was looked for.
      const auto target = known.find(exchange->target());
      if (target != known.end())
        exchange->is_look() ? Looked(*target->second, *exchange, code)
                            : Heard(*target->second, *exchange, code);
      if (!exchange->is_look()) ended.push_back(exchange->End(code));
      Spare(*exchange);
    }
    if (!ended.empty()) sink->OnEnded(std::move(ended));
  }

  void Looked(Target& target, const Exchange& look, CURLcode code) {
    target.looking = false;
    const std::int64_t now = base::MonoNowMs();
    if (code != CURLE_OK) return Lose(target, look.Why(code), now);
    target.look_at_ms = now + kLookAfterMs;
    target.ready.store(true);
    TellConnected(target, now);
  }

  // That there is no answer in time says nothing of whether somebody is there: that is looked at.
  void Heard(Target& target, const Exchange& exchange, CURLcode code) {
    const std::int64_t now = base::MonoNowMs();
    if (code == CURLE_OK) {
      target.pause_ms = kFirstLookPauseMs;
      target.look_at_ms = std::max(target.look_at_ms, now + kLookAfterMs);
      return;
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
      target.look_at_ms = std::min(target.look_at_ms, now + target.pause_ms);
      return;
    }
    // It is there; or it is known already that it is not.
    if (code == CURLE_WRITE_ERROR || !target.ready.load()) return;
    if (!exchange.handed_on()) return Lose(target, exchange.Why(code), now);
    target.ready.store(false);
    target.look_at_ms = std::min(target.look_at_ms, now + NextPause(target));
    sink->OnConnecting(target.number);
  }

  void Lose(Target& target, const std::string& words, std::int64_t now) {
    target.ready.store(false);
    target.look_at_ms = now + NextPause(target);
    sink->OnUnreachable(target.number, words);
  }

  static std::int64_t NextPause(Target& target) {
    return std::exchange(target.pause_ms, std::min(2 * target.pause_ms, kMaxLookPauseMs));
  }

  void EndAll() ASSENT_EXCLUDES(mutex) {
    for (auto& [number, target] : known) target->ready.store(false);
    std::vector<CallEnd> ended;
    while (!exchanges.empty()) {
      const std::unique_ptr<Exchange> exchange = Release(exchanges.begin()->first);
      if (exchange->is_look()) continue;
      ended.push_back(exchange->End(CURLE_ABORTED_BY_CALLBACK));
    }
    std::vector<http::Request> came;
    {
      const MutexLock lock(mutex);
      came.swap(inbox);
    }
    for (http::Request& request : came) {
      CallEnd& end = ended.emplace_back();
      end.target = request.target;
      end.call = request.call;
      end.not_sent = std::move(request.command);
    }
    if (!ended.empty()) sink->OnEnded(std::move(ended));
  }

  const HttpCallerOptions options;
  std::uint32_t coordinator_id = 0;
  CallSink* sink = nullptr;
  CURLM* multi = nullptr;  // the loop's, but for its being woken

  // The loop's.
  Targets known;
  std::unordered_map<CURL*, std::unique_ptr<Exchange>> exchanges;
  std::vector<http::Easy> spare;

  Mutex mutex;
  Targets targets ASSENT_GUARDED_BY(mutex);
  bool changed ASSENT_GUARDED_BY(mutex) = false;  // not yet known to the loop
  std::vector<http::Request> inbox ASSENT_GUARDED_BY(mutex);
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  std::thread thread;
};

HttpCaller::HttpCaller(HttpCallerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpCaller::~HttpCaller() { Stop(); }

void HttpCaller::Start(std::uint32_t coordinator_id, CallSink& sink) {
  impl_->coordinator_id = coordinator_id;
  impl_->sink = &sink;
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

void HttpCaller::Add(std::size_t target, const Endpoint& endpoint) { impl_->Add(target, endpoint); }
void HttpCaller::Remove(std::size_t target) { impl_->Remove(target); }

bool HttpCaller::Call(std::size_t target, std::uint64_t call, Command& command) {
  return impl_->Call(target, call, command);
}

void HttpCaller::Stop() {
  if (!impl_->thread.joinable()) return;
  impl_->Close();
  impl_->thread.join();
}

}  // namespace assent::transport
