#include "coordinator/transport/http/http_caller.h"

#include <algorithm>
#include <atomic>
#include <chrono>
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
    explicit Target(post::Target parsed) : where(std::move(parsed)) {}
    const post::Target where;
    // Calls are taken. Of any thread; the rest is the loop's.
    std::atomic<bool> ready = false;
    std::atomic<bool> missed = false;  // a call was not, since the last that was
    bool looking = false;
    std::int64_t pause_ms = kFirstLookPauseMs;
    std::int64_t look_at_ms = 0;
    std::int64_t told_at_ms = 0;
  };

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

  bool Call(std::size_t number, std::uint64_t call, Command& command) ASSENT_EXCLUDES(mutex) {
    Target& target = *targets[number];
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
    }
    for (http::Request& request : came) {
      const post::Target& where = targets[request.target]->where;
      Begin(std::make_unique<Exchange>(NewEasy(), where, options.agent, DialledWith(where),
                                       std::move(request)));
    }
    return true;
  }

  tls::DialMaterialPtr DialledWith(const post::Target& where) const {
    return where.secure ? options.dialling() : nullptr;
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
    for (std::size_t number = 0; number < targets.size(); ++number) {
      Target& target = *targets[number];
      if (!target.looking && now >= target.look_at_ms) {
        target.looking = true;
        http::Easy easy(curl_easy_init());
        ASSENT_CHECK(easy != nullptr);
        Begin(std::make_unique<Exchange>(std::move(easy), target.where, DialledWith(target.where),
                                         number));
      }
      // Whoever was refused may have said so to the board behind the news that all is well.
      if (target.ready.load() && target.missed.load() && now - target.told_at_ms >= kTellAgainMs)
        TellConnected(number, now);
    }
  }

  std::int64_t NapMs() const {
    const std::int64_t now = base::MonoNowMs();
    std::int64_t until = now + kMaxWaitMs;
    for (const auto& target : targets) {
      if (!target->looking) until = std::min(until, target->look_at_ms);
      if (target->ready.load() && target->missed.load())
        until = std::min(until, target->told_at_ms + kTellAgainMs);
    }
    return std::max<std::int64_t>(until - now, 0);
  }

  void TellConnected(std::size_t number, std::int64_t now) {
    targets[number]->told_at_ms = now;
    sink->OnConnected(number);
  }

  void Collect() {
    std::vector<CallEnd> ended;
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const std::unique_ptr<Exchange> exchange = Release(message->easy_handle);
      exchange->is_look() ? Looked(*exchange, code) : Heard(*exchange, code);
      if (!exchange->is_look()) ended.push_back(exchange->End(code));
      Spare(*exchange);
    }
    if (!ended.empty()) sink->OnEnded(std::move(ended));
  }

  void Looked(const Exchange& look, CURLcode code) {
    Target& target = *targets[look.target()];
    target.looking = false;
    const std::int64_t now = base::MonoNowMs();
    if (code != CURLE_OK) return Lose(look.target(), look.Why(code), now);
    target.look_at_ms = now + kLookAfterMs;
    target.ready.store(true);
    TellConnected(look.target(), now);
  }

  // That there is no answer in time says nothing of whether somebody is there: that is looked at.
  void Heard(const Exchange& exchange, CURLcode code) {
    Target& target = *targets[exchange.target()];
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
    if (!exchange.handed_on()) return Lose(exchange.target(), exchange.Why(code), now);
    target.ready.store(false);
    target.look_at_ms = std::min(target.look_at_ms, now + NextPause(target));
    sink->OnConnecting(exchange.target());
  }

  void Lose(std::size_t number, const std::string& words, std::int64_t now) {
    Target& target = *targets[number];
    target.ready.store(false);
    target.look_at_ms = now + NextPause(target);
    sink->OnUnreachable(number, words);
  }

  static std::int64_t NextPause(Target& target) {
    return std::exchange(target.pause_ms, std::min(2 * target.pause_ms, kMaxLookPauseMs));
  }

  void EndAll() ASSENT_EXCLUDES(mutex) {
    for (auto& target : targets) target->ready.store(false);
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
  std::vector<std::unique_ptr<Target>> targets;  // fixed once it has started
  CURLM* multi = nullptr;                        // the loop's, but for its being woken

  // The loop's.
  std::unordered_map<CURL*, std::unique_ptr<Exchange>> exchanges;
  std::vector<http::Easy> spare;

  Mutex mutex;
  std::vector<http::Request> inbox ASSENT_GUARDED_BY(mutex);
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  std::thread thread;
};

HttpCaller::HttpCaller(HttpCallerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpCaller::~HttpCaller() { Stop(); }

void HttpCaller::Start(std::vector<std::string> addresses, std::uint32_t coordinator_id,
                       CallSink& sink) {
  impl_->coordinator_id = coordinator_id;
  impl_->sink = &sink;
  for (const std::string& address : addresses) {
    auto parsed = post::ParseUrl(address);
    ASSENT_CHECK(parsed.ok());                                 // the settings' check
    ASSENT_CHECK(!parsed->secure || impl_->options.dialling);  // likewise
    impl_->targets.push_back(std::make_unique<Impl::Target>(std::move(parsed).value()));
  }
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

bool HttpCaller::Call(std::size_t target, std::uint64_t call, Command& command) {
  return impl_->Call(target, call, command);
}

void HttpCaller::Stop() {
  if (!impl_->thread.joinable()) return;
  impl_->Close();
  impl_->thread.join();
}

}  // namespace assent::transport
