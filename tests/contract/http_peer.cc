#include "tests/contract/http_peer.h"

#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include <curl/curl.h>
#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

#include <assent/status.h>

#include "coordinator/post/signature.h"
#include "coordinator/transport/http/message.h"
#include "tests/contract/limits.h"

namespace assent::contract {
namespace {

namespace http = transport::http;

// Between two looks whether somebody listens.
constexpr std::chrono::milliseconds kLookAgain{20};
// What a participant may take for old.
constexpr std::int64_t kLongAgoSeconds = 24 * 3600;
constexpr const char* kAnotherSecret = "a secret that nobody here has";

std::int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Handle {
  Handle() : easy(curl_easy_init()) { ASSENT_CHECK(easy != nullptr); }
  ~Handle() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  void Add(const std::string& header) { headers = curl_slist_append(headers, header.c_str()); }
  CURL* easy;
  curl_slist* headers = nullptr;
};

template <typename Value>
void Set(CURL* easy, CURLoption option, Value value) {
  ASSENT_CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

std::size_t Append(char* bytes, std::size_t one, std::size_t count, void* body) {
  auto& all = *static_cast<std::string*>(body);
  if (all.size() + one * count > http::kMaxReplyBytes) return 0;
  all.append(bytes, one * count);
  return one * count;
}

}  // namespace

// One sending.
struct HttpPeer::Call {
  std::string body;
  std::optional<v1::BranchCommand> command;  // none: whatever is answered is right
  std::string signature;
  std::atomic<bool> lost = false;
  std::atomic<bool> done = false;
  std::promise<Answer> answer;
};

struct HttpPeer::Shared {
  Mutex mutex;
  CondVar changed;
  std::set<std::shared_ptr<Call>> calls ASSENT_GUARDED_BY(mutex);
  std::vector<Fault> faults ASSENT_GUARDED_BY(mutex);
  std::list<std::pair<std::shared_ptr<Call>, std::thread>> threads ASSENT_GUARDED_BY(mutex);
};

namespace {

Answer AnswerOf(CURL* easy, CURLcode code, std::string body, const v1::BranchCommand* command,
                std::vector<Fault>& faults) {
  if (code != CURLE_OK) return {std::nullopt, curl_easy_strerror(code)};
  long status = 0;
  const char* type = nullptr;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  // nlohmann takes no text that is not UTF-8; a coordinator mends it.
  if (command != nullptr && status < 300 && !nlohmann::json::accept(body))
    faults.push_back({"the body of a reply is JSON in UTF-8", "it is not"});
  transport::CallEnd end;
  http::Read({.code = status, .content_type = type == nullptr ? "" : type, .body = std::move(body)},
             end);
  if (!end.replied) return {std::nullopt, end.words};
  if (command != nullptr) {
    end.reply.set_command_id(command->command_id());  // there is none on this transport
    for (Fault& fault : ReplyFaults(*command, end.reply)) faults.push_back(std::move(fault));
  }
  return {std::move(end.reply), ""};
}

}  // namespace

HttpPeer::HttpPeer(std::string url, std::string secret, std::chrono::milliseconds patience)
    : url_(std::move(url)),
      secret_(std::move(secret)),
      patience_(patience),
      shared_(std::make_shared<Shared>()) {
  ASSENT_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

HttpPeer::~HttpPeer() {
  LoseAnswers();
  std::list<std::pair<std::shared_ptr<Call>, std::thread>> threads;
  {
    const MutexLock lock(shared_->mutex);
    threads.swap(shared_->threads);
  }
  for (auto& [call, thread] : threads) thread.join();
  curl_global_cleanup();
}

bool HttpPeer::WaitReachable(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const Handle handle;
    Set(handle.easy, CURLOPT_URL, url_.c_str());
    Set(handle.easy, CURLOPT_PROXY, "");
    Set(handle.easy, CURLOPT_CONNECT_ONLY, 1L);
    Set(handle.easy, CURLOPT_NOSIGNAL, 1L);
    Set(handle.easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
    if (curl_easy_perform(handle.easy) == CURLE_OK) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kLookAgain);  // tidy: allow(sleep) it begins to listen unseen
  }
}

void HttpPeer::Forget() {
  LoseAnswers();
  const auto end = std::chrono::steady_clock::now() + patience_;
  const MutexLock lock(shared_->mutex);
  while (!shared_->calls.empty() && shared_->changed.WaitUntil(shared_->mutex, end)) {
  }
}

std::string HttpPeer::OnTheWire(const v1::BranchCommand& command) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string body;
  ASSENT_CHECK(google::protobuf::util::MessageToJsonString(command, &body, options).ok());
  // What a later version has: the mapping has no form for what is not known.
  if (command.GetReflection()->GetUnknownFields(command).empty()) return body;
  body.insert(body.size() - 1, R"(,"fieldOfTheFuture":{"a":["b",1,null]})");
  return body;
}

std::string HttpPeer::Signature(const std::string& secret, const std::string& body,
                                std::int64_t seconds_ago) const {
  return secret.empty() ? "" : post::Sign(secret, UnixNow() - seconds_ago, body);
}

std::future<Answer> HttpPeer::Send(v1::BranchCommand command) {
  std::string body = OnTheWire(command);
  std::string signature = Signature(secret_, body);
  return Begin(std::move(body), &command, signature);
}

void HttpPeer::SendBytes(std::string bytes) {
  std::string signature = Signature(secret_, bytes);
  Begin(std::move(bytes), nullptr, signature);
}

std::vector<Peer::Forged> HttpPeer::SendForged(const v1::BranchCommand& command) {
  std::vector<Forged> forged;
  if (secret_.empty()) return forged;
  const std::string body = OnTheWire(command);
  const auto add = [&](const char* what, const std::string& signature) {
    forged.push_back({what, Begin(body, nullptr, signature)});
  };
  add("without a signature", "");
  add("that somebody else has signed", Signature(kAnotherSecret, body));
  add("with the signature of another body", Signature(secret_, body + " "));
  add("that was signed a day ago", Signature(secret_, body, kLongAgoSeconds));
  add("with half a signature", Signature(secret_, body).substr(0, 40));
  return forged;
}

std::future<Answer> HttpPeer::Begin(std::string body, const v1::BranchCommand* command,
                                    const std::string& signature) {
  auto call = std::make_shared<Call>();
  call->body = std::move(body);
  call->signature = signature;
  if (command != nullptr) call->command = *command;
  std::future<Answer> answer = call->answer.get_future();
  const auto run = [call, shared = shared_, url = url_, patience = patience_] {
    Handle handle;
    std::string answered;
    Set(handle.easy, CURLOPT_URL, url.c_str());
    Set(handle.easy, CURLOPT_PROXY, "");
    Set(handle.easy, CURLOPT_NOSIGNAL, 1L);
    Set(handle.easy, CURLOPT_POST, 1L);
    Set(handle.easy, CURLOPT_POSTFIELDS, call->body.data());
    Set(handle.easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call->body.size()));
    Set(handle.easy, CURLOPT_TIMEOUT_MS, static_cast<long>(patience.count()));
    Set(handle.easy, CURLOPT_WRITEFUNCTION, &Append);
    Set(handle.easy, CURLOPT_WRITEDATA, static_cast<void*>(&answered));
    // Whoever loses its answer lets go of the connection.
    const auto look = [](void* lost, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> int {
      return static_cast<std::atomic<bool>*>(lost)->load() ? 1 : 0;
    };
    Set(handle.easy, CURLOPT_XFERINFOFUNCTION,
        static_cast<int (*)(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t)>(look));
    Set(handle.easy, CURLOPT_XFERINFODATA, static_cast<void*>(&call->lost));
    Set(handle.easy, CURLOPT_NOPROGRESS, 0L);
    handle.Add("Content-Type: application/json");
    handle.Add(std::string("Accept: ") + http::kReplyType + ", application/json");
    handle.Add("Expect:");
    if (!call->signature.empty())
      handle.Add(std::string(http::kSignatureHeader) + ": " + call->signature);
    if (call->command && !call->command->traceparent().empty()) {
      handle.Add("traceparent: " + call->command->traceparent());
      if (!call->command->tracestate().empty())
        handle.Add("tracestate: " + call->command->tracestate());
    }
    Set(handle.easy, CURLOPT_HTTPHEADER, handle.headers);
    const CURLcode code = curl_easy_perform(handle.easy);
    std::vector<Fault> faults;
    Answer said = AnswerOf(handle.easy, code, std::move(answered),
                           call->command ? &*call->command : nullptr, faults);
    {
      const MutexLock lock(shared->mutex);
      shared->calls.erase(call);
      for (Fault& fault : faults) {
        if (shared->faults.size() < kMaxFaultsPerRuleCount)
          shared->faults.push_back(std::move(fault));
      }
      shared->changed.NotifyAll();
    }
    call->answer.set_value(std::move(said));
    call->done.store(true);
  };
  const MutexLock lock(shared_->mutex);
  shared_->threads.remove_if([](auto& one) {
    const bool done = one.first->done.load();
    if (done) one.second.join();
    return done;
  });
  shared_->calls.insert(call);
  shared_->threads.emplace_back(call, std::thread(run));
  return answer;
}

void HttpPeer::LoseAnswers() {
  const MutexLock lock(shared_->mutex);
  for (const std::shared_ptr<Call>& call : shared_->calls) call->lost.store(true);
}

std::size_t HttpPeer::MaxAtOnce() { return kMaxUnaryAtOnceCount; }

std::vector<Fault> HttpPeer::TakeFaults() {
  const MutexLock lock(shared_->mutex);
  return std::exchange(shared_->faults, {});
}

}  // namespace assent::contract
