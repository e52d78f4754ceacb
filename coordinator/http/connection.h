#pragma once

// One connection of HTTP/1.1, for door.cc alone: the only two that know Boost.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "coordinator/http/exchange.h"
#include "coordinator/http/ledger.h"
#include "coordinator/http/uptake.h"

namespace assent::http {

using Tcp = boost::asio::ip::tcp;
using Socket = boost::asio::basic_stream_socket<Tcp, boost::asio::io_context::executor_type>;
using Secure = boost::asio::ssl::stream<Socket&>;
using Error = boost::system::error_code;

class Connection;

using Work = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

// A thread for what takes long, beside the connections.
struct Bench {
  boost::asio::io_context context{1};
  Work work{context.get_executor()};
  std::atomic<bool> closing{false};  // what waits for it is not done any more
  std::thread thread{};
};

// A thread, and the connections that are its own: nobody else touches them.
struct Lane {
  explicit Lane(Bench& the_bench) : bench(the_bench) {}

  Bench& bench;
  boost::asio::io_context context{1};
  Work work{context.get_executor()};
  boost::asio::steady_timer clock{context};
  std::set<std::shared_ptr<Connection>> connections{};
  bool closing = false;
  bool over = false;
  std::thread thread{};
};

// As what the ledger knows a connection.
struct Counted {
  std::string network;
  Ledger::Entry entry;
};

// One request after the other is read, handed to the desk, answered.
//
// Over TLS, Idle begins with the handshake.
//
//   Idle ──► Reading ──► Waiting ──► Writing ──► Idle, or Lingering until the caller has closed
//                           │ ▲          │
//                           │ └── event ─┘
//                           ▼ the caller leaves, or an answer has no reader: Ended
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Lane& lane, Ledger& ledger, Taker& taker, Socket&& socket, service::Caller caller,
             Counted counted, std::shared_ptr<ssl_ctx_st> tls);
  ~Connection() { ledger_.Leave(counted_.network, counted_.entry); }

  using Clock = std::chrono::steady_clock;

  void Begin();
  // The time, now and then: what hardly ever takes too long needs no timer of its own.
  void See(Clock::time_point now);
  // This coordinator stops: who waits is told so.
  void Close();

  // Of the exchange that is under way, on this thread.
  bool IsOf(std::uint64_t number) const { return state_ != State::kEnded && number == number_; }
  bool IsCurrent(std::uint64_t number) const {
    return state_ == State::kWaiting && number == number_;
  }
  // Likewise of a stream, which may be shown something, or end, while something is being written.
  bool IsStreaming(std::uint64_t number) const {
    return IsCurrent(number) || (state_ == State::kWriting && streaming_ && number == number_);
  }
  void Show(const std::string& event);
  void EndStream(const std::string& event);
  void Reply(const Answer& answer);
  void End();

  Lane& lane() { return lane_; }
  // From any thread: nobody is served here any more.
  bool gone() const { return gone_; }

 private:
  enum class State : std::uint8_t { kIdle, kReading, kWaiting, kWriting, kLingering, kEnded };
  // What comes after the bytes that are being written.
  enum class Then : std::uint8_t { kNext, kLinger, kEvent };

  void Shake();
  void Shaken(const Error& failed);
  // Does something with what is read from and written to.
  template <typename Use>
  void With(const Use& use) {
    secure_ ? use(*secure_) : use(socket_);
  }
  void ReadFirst();
  void ReadHeader();
  void ReadBuffered(Error& failed);
  void Within(std::chrono::milliseconds time) { deadline_ = Clock::now() + time; }
  void HeaderRead(const Error& failed);
  // Of what was read so far; nothing more is read.
  void Refuse(const Status& status, unsigned code);
  std::size_t MaxBody() const;
  boost::beast::string_view Expected() const;
  bool IsAcceptable();
  void ReadBody();
  void BodyRead(const Error& failed);
  void Dispatch();
  void TakeAside(Request request);
  void Keep(std::shared_ptr<Pending> pending, std::uint64_t number);
  void WatchCaller();
  bool HasLeft();
  void Disarm();
  void Arm(std::chrono::milliseconds after, void (Connection::*then)());
  void TimedOut();
  void BeginStream();
  void EventWritten();
  void Beat();
  void Write(Then then);
  void WriteOn();
  void WriteSecurely();
  void Written();
  void Linger();
  void CutOff();
  void ThrowAway();
  void LetGo();

  Lane& lane_;
  Ledger& ledger_;
  Taker& taker_;
  Socket socket_;
  std::shared_ptr<ssl_ctx_st> tls_;          // of the handshake; nullptr: there is none to be
  std::optional<Secure> secure_;             // over the socket, from the handshake on
  std::shared_ptr<const tls::Names> names_;  // of the caller's certificate, which was verified
  bool wants_tls_ = false;                   // and the caller does not speak it: it is told so
  boost::asio::steady_timer timer_;
  const service::Caller caller_;
  const Counted counted_;

  State state_ = State::kIdle;
  std::atomic<bool> gone_{false};
  Clock::time_point deadline_ = Clock::time_point::max();  // of what it is at
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::size_t body_bytes_ = 0;  // of the ledger's
  bool keep_ = true;            // for the next request
  bool head_only_ = false;
  bool always_tls_ = false;  // the caller has a name for this host, and it is not everybody's
  bool late_ = false;        // what was being read did not come in whole in time

  std::uint64_t number_ = 0;          // of the request
  std::shared_ptr<Pending> pending_;  // what is under way for it
  bool streaming_ = false;
  std::uint64_t armed_ = 0;  // the latest Arm
  bool is_armed_ = false;
  bool watched_ = false;    // whether the caller leaves
  bool said_more_ = false;  // that has not been read, so that nobody hears it close

  bool shown_ = false;       // what is being written has an event that is waited for
  std::string next_;         // events that have come meanwhile
  bool next_shown_ = false;  // likewise of those
  bool next_is_last_ = false;

  std::string out_;
  std::size_t written_ = 0;
  Then then_ = Then::kNext;
  Uptake uptake_;  // of what was written
};

}  // namespace assent::http
