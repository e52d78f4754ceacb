#include "coordinator/transport/http/exchange.h"

#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

#include <assent/text.h>

namespace assent::transport::http {
namespace {

template <typename Value>
void Set(CURL* easy, CURLoption option, Value value) {
  ASSENT_CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

template <typename Value>
Value Get(CURL* easy, CURLINFO info) {
  Value value{};
  (void)curl_easy_getinfo(easy, info, &value);
  return value;
}

long Clamped(core::Millis time) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  return static_cast<long>(std::clamp<std::int64_t>(time.count(), 1, kMost));
}

core::Millis RetryAfter(CURL* easy) {
  constexpr curl_off_t kMostSeconds = limits::kMaxMaxBackoffMs / 1000;
  const auto seconds = Get<curl_off_t>(easy, CURLINFO_RETRY_AFTER);
  return std::chrono::seconds(std::clamp<curl_off_t>(seconds, 0, kMostSeconds));
}

}  // namespace

std::string UrlOf(const post::Target& target) {
  return (target.secure ? "https://" : "http://") + target.authority + target.path;
}

Exchange::Exchange(Easy easy, std::shared_ptr<const Place> to, const std::string& agent,
                   tls::DialMaterialPtr dialling, Request request)
    : easy_(std::move(easy)),
      place_(std::move(to)),
      to_(place_->target),
      is_look_(false),
      request_(std::move(request)) {
  SetUp(std::move(dialling));
  CURL* const e = easy_.get();
  for (const std::string& header : request_.headers) {
    curl_slist* const more = curl_slist_append(headers_, header.c_str());
    ASSENT_CHECK(more != nullptr);
    headers_ = more;
  }
  Set(e, CURLOPT_HTTPHEADER, headers_);
  Set(e, CURLOPT_USERAGENT, agent.c_str());
  Set(e, CURLOPT_POST, 1L);
  Set(e, CURLOPT_POSTFIELDS, request_.body.data());
  Set(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  Set(e, CURLOPT_TIMEOUT_MS, Clamped(request_.command.timeout));
  Set(e, CURLOPT_PREREQFUNCTION, &Exchange::OnRequest);
  Set(e, CURLOPT_PREREQDATA, static_cast<void*>(this));
  Set(e, CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
  Set(e, CURLOPT_HEADERDATA, static_cast<void*>(this));
  Set(e, CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
  Set(e, CURLOPT_WRITEDATA, static_cast<void*>(this));
}

Exchange::Exchange(Easy easy, std::shared_ptr<const Place> to, tls::DialMaterialPtr dialling,
                   std::size_t target)
    : easy_(std::move(easy)), place_(std::move(to)), to_(place_->target), is_look_(true) {
  request_.target = target;
  SetUp(std::move(dialling));
  Set(easy_.get(), CURLOPT_CONNECT_ONLY, 1L);
  Set(easy_.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(kMaxConnectMs));
}

Exchange::~Exchange() {
  easy_.reset();  // whose these are
  curl_slist_free_all(headers_);
  curl_slist_free_all(connect_to_);
}

// Nothing of the environment, and nothing that an answer asks for: no proxy, no user's files, no
// cookie, no other address, no other protocol.
void Exchange::SetUp(tls::DialMaterialPtr dialling) {
  CURL* const e = easy_.get();
  Set(e, CURLOPT_PRIVATE, static_cast<void*>(this));
  Set(e, CURLOPT_ERRORBUFFER, error_.data());
  Set(e, CURLOPT_URL, UrlOf(to_).c_str());
  if (!place_->connect_to.empty()) {
    connect_to_ = curl_slist_append(nullptr, ("::" + place_->connect_to).c_str());
    ASSENT_CHECK(connect_to_ != nullptr);
    Set(e, CURLOPT_CONNECT_TO, connect_to_);
  }
  Set(e, CURLOPT_PATH_AS_IS, 1L);
  Set(e, CURLOPT_PROTOCOLS_STR, to_.secure ? "https" : "http");
  Set(e, CURLOPT_PROXY, "");
  Set(e, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  Set(e, CURLOPT_FOLLOWLOCATION, 0L);
  Set(e, CURLOPT_NOSIGNAL, 1L);
  Set(e, CURLOPT_QUICK_EXIT, 1L);  // a resolver of names that hangs holds up no stop
  Set(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kMaxConnectMs));
  Set(e, CURLOPT_TCP_KEEPALIVE, 1L);
  Set(e, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  if (!to_.secure) return;
  dialling_ = std::move(dialling);
  ASSENT_CHECK(dialling_ != nullptr);  // the settings' check
  Set(e, CURLOPT_PIPEWAIT, 1L);        // until it is known whether there is HTTP/2
  Set(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  Set(e, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  // By this libcurl knows which connections may be used on: not those of other files. What is
  // trusted is set in OnContext.
  curl_blob files{};
  files.data = const_cast<char*>(dialling_->pem.data());
  files.len = dialling_->pem.size();
  files.flags = CURL_BLOB_COPY;
  Set(e, CURLOPT_CAINFO_BLOB, &files);
  Set(e, CURLOPT_SSL_CTX_FUNCTION, &Exchange::OnContext);
  Set(e, CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
}

CURLcode Exchange::OnContext(CURL*, void* context, void* self) {
  const auto& exchange = *static_cast<const Exchange*>(self);
  const Status dressed =
      tls::Dress(static_cast<ssl_ctx_st*>(context), *exchange.dialling_, exchange.to_.host);
  return dressed.ok() ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

int Exchange::OnRequest(void* self, char*, char*, int, int) {
  static_cast<Exchange*>(self)->handed_on_ = true;
  return CURL_PREREQFUNC_OK;
}

std::size_t Exchange::OnHeader(char*, std::size_t one, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::size_t size = one * count;
  exchange.header_bytes_ += size;
  exchange.too_large_ = exchange.header_bytes_ > kMaxReplyHeaderBytes;
  return exchange.too_large_ ? 0 : size;
}

std::size_t Exchange::OnBody(char* bytes, std::size_t one, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::size_t size = one * count;
  if (exchange.body_.size() + size > kMaxReplyBytes) {
    exchange.too_large_ = true;
    return 0;
  }
  exchange.body_.append(bytes, size);
  return size;
}

CallEnd Exchange::End(CURLcode code) {
  CallEnd end;
  end.target = request_.target;
  end.call = request_.call;
  if (code == CURLE_OK) {
    const char* const type = Get<const char*>(easy(), CURLINFO_CONTENT_TYPE);
    Read({.code = Get<long>(easy(), CURLINFO_RESPONSE_CODE),
          .content_type = type == nullptr ? "" : type,
          .body = std::move(body_),
          .retry_after = RetryAfter(easy())},
         end);
  } else if (handed_on_) {
    end.words = Why(code);
  } else {
    end.not_sent = std::move(request_.command);
  }
  return end;
}

std::string Exchange::Why(CURLcode code) const {
  if (too_large_) {
    return "the answer has more than " +
           std::to_string(header_bytes_ > kMaxReplyHeaderBytes ? kMaxReplyHeaderBytes
                                                               : kMaxReplyBytes) +
           " bytes";
  }
  if (handed_on_) {
    if (code == CURLE_OPERATION_TIMEDOUT) return "there was no answer in its time";
    return "the connection was lost before it answered: " + CleanText(curl_easy_strerror(code));
  }
  const std::string cannot = "cannot connect to " + UrlOf(to_) + ": ";
  const auto error = static_cast<int>(Get<long>(easy(), CURLINFO_OS_ERRNO));
  if (code == CURLE_COULDNT_RESOLVE_HOST) return cannot + "nobody has that name";
  if (code == CURLE_OPERATION_TIMEDOUT) return cannot + "nobody answers";
  if (code == CURLE_COULDNT_CONNECT && error != 0) {
    std::string words = std::generic_category().message(error);
    words[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(words[0])));
    return cannot + words;
  }
  const std::string said = CleanText(error_[0] == 0 ? curl_easy_strerror(code) : error_.data());
  if (code == CURLE_COULDNT_CONNECT || !to_.secure) return cannot + said;
  return cannot + "there is no secure connection: " + said +
         " (those of --tls-participant-ca are believed, and --tls-cert is shown)";
}

}  // namespace assent::transport::http
