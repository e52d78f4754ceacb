#pragma once

// Between the sockets and what is asked: a request as it came in, its answer, and its way back. The
// sockets know nothing of transactions, the rest nothing of sockets.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "coordinator/service/asker.h"

namespace assent::tls {
struct Names;
}

namespace assent::http {

struct Request {
  std::string method{};
  std::string target{};
  std::string content_type{};
  std::string host{};
  std::string origin{};
  std::string last_event_id{};
  std::string traceparent{};
  std::string tracestate{};
  std::string if_none_match{};
  std::string authorization{};  // of a session too, once it is found
  bool by_session = false;
  std::string cookie{};
  std::string csrf{};        // of a page of ours (login.h)
  std::string fetch_site{};  // what a browser says of the page that sends it (Sec-Fetch-…)
  std::string fetch_mode{};
  std::string fetch_dest{};
  std::string body{};
  bool secure = false;  // it came over TLS
  service::Caller caller{};
  std::shared_ptr<const tls::Names> certificate{};  // of the caller's; nullptr: it has shown none
};

struct Answer {
  unsigned code = 200;
  std::string body{};
  std::string type = "application/json";
  std::string allow{};  // of a 405
  std::string cache = "no-store";
  // What a browser that shows it may do for it: nothing, but for a page of ours.
  const char* policy = "default-src 'none'; frame-ancestors 'none'";
  std::string header{};    // further lines of it, each with its end
  bool try_later = false;  // with Retry-After
  bool last_here = false;  // the connection ends with it
};

// The way back of one request. Thread-safety: all of it, from any thread; nothing waits. What comes
// when the caller has left goes nowhere.
class Exchange {
 public:
  using Made = std::function<Answer()>;
  using Event = std::function<std::string()>;

  virtual ~Exchange() = default;
  // The answer, once. It is made on a thread of the door's, if somebody still waits for it.
  // `large`: that takes long.
  virtual void Reply(Made made, bool large) = 0;
  void Reply(Made made) { Reply(std::move(made), /*large=*/false); }
  // One more event of a stream; Pending::Taken says that it has been written, and not before that
  // the next one may be shown.
  virtual void Show(Event made) = 0;
  // The last one: the stream ends with it.
  virtual void End(Event made) = 0;
  // Ends the connection without waiting for its reader.
  virtual void Abort() = 0;
};

// What is under way for one request: told by the door, on its thread, how the exchange goes.
class Pending {
 public:
  virtual ~Pending() = default;
  // How long it may take; 0: as long as it takes.
  virtual std::chrono::milliseconds patience() const { return std::chrono::milliseconds(0); }
  // That was too long. It answers now.
  virtual void TimedOut() {}
  // The event that was shown has been written.
  virtual void Taken() {}
  // The last call: everything has been written, or the caller has left.
  virtual void Close() = 0;
};

// Who is asked. Thread-safety: all of it, from any thread.
class Taker {
 public:
  virtual ~Taker() = default;
  // The most that a body for this target may have.
  virtual std::size_t MaxBody(std::string_view method, std::string_view target) const = 0;
  // Answers, perhaps from within. nullptr: nothing is under way for it.
  virtual std::shared_ptr<Pending> Take(Request request,
                                        const std::shared_ptr<Exchange>& exchange) = 0;
};

}  // namespace assent::http
