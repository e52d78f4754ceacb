#include "coordinator/http/connection.h"

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "coordinator/http/head.h"
#include "coordinator/http/host.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/parsed.h"

namespace assent::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
using beast::http::field;
using std::chrono::milliseconds;

constexpr std::size_t kReadBytes = 4096;

Status TooMany(const std::string& what, std::size_t is, std::size_t limit) {
  return InvalidArgument(what + " has " + (is > 0 ? std::to_string(is) : "too many") +
                         " bytes, the limit is " + std::to_string(limit));
}

// What the desk holds of a request; it may outlive the connection.
class Line final : public Exchange {
 public:
  Line(std::shared_ptr<Connection> connection, std::uint64_t number)
      : connection_(std::move(connection)), number_(number) {}

  void Reply(Made made, bool large) override {
    if (large) return ReplyAside(std::move(made));
    Post(&Connection::IsCurrent, [made = std::move(made)](Connection& to) { to.Reply(made()); });
  }
  void Show(Event made) override {
    Post(&Connection::IsStreaming, [made = std::move(made)](Connection& to) { to.Show(made()); });
  }
  void End(Event made) override {
    Post(&Connection::IsStreaming,
         [made = std::move(made)](Connection& to) { to.EndStream(made()); });
  }
  void Abort() override {
    Post(&Connection::IsOf, [](Connection& to) { to.End(); });
  }

 private:
  void ReplyAside(Made made) {
    Bench& bench = connection_->lane().bench;
    net::post(bench.context, [connection = connection_, number = number_, made = std::move(made),
                              &bench] {
      if (connection->gone() || bench.closing) return;
      Line(connection, number).Post(&Connection::IsCurrent, [answer = made()](Connection& to) {
        to.Reply(answer);
      });
    });
  }
  // If it is still so when its turn comes.
  template <typename Deed>
  void Post(bool (Connection::*still)(std::uint64_t) const, Deed deed) {
    net::post(connection_->lane().context,
              [connection = connection_, number = number_, still, deed = std::move(deed)] {
                if ((connection.get()->*still)(number)) deed(*connection);
              });
  }
  const std::shared_ptr<Connection> connection_;
  const std::uint64_t number_;
};

}  // namespace

Connection::Connection(Lane& lane, Ledger& ledger, Taker& taker, Socket&& socket,
                       service::Caller caller, Counted counted, std::shared_ptr<ssl_ctx_st> tls)
    : lane_(lane),
      ledger_(ledger),
      taker_(taker),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      timer_(lane.context),
      caller_(std::move(caller)),
      counted_(std::move(counted)) {}

void Connection::Begin() {
  lane_.connections.insert(shared_from_this());
  Error failed;
  socket_.non_blocking(true, failed);
  if (failed || lane_.closing) return End();
  tls_ ? Shake() : ReadFirst();
}

void Connection::See(Clock::time_point now) {
  if (state_ == State::kWaiting && !watched_) WatchCaller();
  if (said_more_ && HasLeft()) return End();
  if (!uptake_.IsWhole(socket_.native_handle(), now)) {
    if (uptake_.StoodStill(now) >= milliseconds(kMaxWriteMs)) return CutOff();
    // Whoever still reads the last answer is not idle.
    if (state_ == State::kIdle) Within(milliseconds(kMaxIdleMs));
    if (state_ == State::kLingering) Within(milliseconds(kMaxLingerMs));
  }
  if (now < deadline_) return;
  deadline_ = Clock::time_point::max();
  switch (state_) {
    case State::kReading:  // on which we have something to say
      late_ = true;
      return socket_.cancel();
    case State::kIdle:
    case State::kLingering: return End();
    case State::kWaiting:
    case State::kWriting:
    case State::kEnded: return;
  }
}

void Connection::Close() {
  keep_ = false;
  if (state_ == State::kIdle) return End();
  if (state_ != State::kWaiting) return;
  if (streaming_) return End();
  Reply(Failure(Unavailable("this coordinator is stopping: ask again")));
}

// ---- Reading ------------------------------------------------------------------------------------

void Connection::ReadFirst() {
  if (buffer_.size() > 0) return ReadHeader();
  if (buffer_.capacity() > 2 * kReadBytes) buffer_.shrink_to_fit();
  state_ = State::kIdle;
  Within(milliseconds(kMaxIdleMs));
  With([this](auto& stream) {
    stream.async_read_some(buffer_.prepare(kReadBytes),
                           [self = shared_from_this()](const Error& failed, std::size_t bytes) {
                             if (failed || self->state_ == State::kEnded) return self->End();
                             self->buffer_.commit(bytes);
                             self->ReadHeader();
                           });
  });
}

// Most requests have come in whole.
void Connection::ReadHeader() {
  state_ = State::kReading;
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(kMaxBodyBytes);
  Error failed;
  ReadBuffered(failed);
  if (parser_->is_header_done() || failed) return HeaderRead(failed);
  Within(milliseconds(kMaxHeaderMs));
  With([this](auto& stream) {
    beast::http::async_read_header(
        stream, buffer_, *parser_,
        [self = shared_from_this()](const Error& error, std::size_t) { self->HeaderRead(error); });
  });
}

// The header's end, or that of the body, is where the parser stops by itself.
void Connection::ReadBuffered(Error& failed) {
  if (buffer_.size() == 0) return;
  buffer_.consume(parser_->put(buffer_.data(), failed));
  if (failed == beast::http::error::need_more) failed = {};
}

void Connection::HeaderRead(const Error& failed) {
  using Fault = beast::http::error;
  if (state_ == State::kEnded) return;
  if (std::exchange(late_, false)) {
    return Refuse({Code::kDeadlineExceeded, "the header did not come in whole within " +
                                                std::to_string(kMaxHeaderMs) + " ms"},
                  408);
  }
  if (failed == Fault::header_limit || failed == Fault::buffer_overflow)
    return Refuse(TooMany("the header", 0, kMaxHeaderBytes), 431);
  if (failed == Fault::body_limit) return Refuse(TooMany("the body", 0, kMaxBodyBytes), 413);
  if (failed == Fault::end_of_stream || failed == Fault::partial_message) return End();
  if (failed && failed.category() == beast::http::make_error_code(Fault::bad_method).category())
    return Refuse(InvalidArgument("this is no request of HTTP/1.1: " + failed.message()), 400);
  if (failed) return End();
  if (IsAcceptable()) ReadBody();
}

// Small ones need no look at the path.
std::size_t Connection::MaxBody() const {
  const auto& request = parser_->get();
  if (parser_->content_length().value_or(0) <= kMaxOtherBodyBytes) return kMaxOtherBodyBytes;
  return taker_.MaxBody(Text(request.method_string()), Text(request.target()));
}

// HTTP/1.0 knows no such thing.
beast::string_view Connection::Expected() const {
  const auto& request = parser_->get();
  return request.version() == 11 ? request[field::expect] : beast::string_view();
}

bool Connection::IsAcceptable() {
  const auto& request = parser_->get();
  if (wants_tls_) {
    Refuse(InvalidArgument("this port speaks TLS alone: https"), 400);
  } else if (counted_.entry == Ledger::Entry::kRefused) {
    Refuse(ResourceExhausted("there are too many connections, in all or from this address"), 429);
  } else if (request.target().size() > kMaxTargetBytes) {
    Refuse(TooMany("the target", request.target().size(), kMaxTargetBytes), 414);
  } else if (parser_->chunked() || request.count(field::transfer_encoding) > 0) {
    Refuse(InvalidArgument("a body has to say its size: Content-Length"), 411);
  } else if (const std::size_t most = MaxBody(); parser_->content_length().value_or(0) > most) {
    Refuse(TooMany("the body", parser_->content_length().value_or(0), most), 413);
  } else if (request.count(field::host) != 1 &&
             (request.version() == 11 || request.count(field::host) > 1)) {
    Refuse(InvalidArgument("a request has one Host, this one has " +
                           std::to_string(request.count(field::host))),
           400);
  } else if (!Expected().empty() && !beast::iequals(Expected(), "100-continue")) {
    Refuse(InvalidArgument("Expect takes 100-continue"), 417);
  } else {
    return true;
  }
  return false;
}

void Connection::ReadBody() {
  body_bytes_ = static_cast<std::size_t>(parser_->content_length().value_or(0));
  if (!ledger_.TakeBody(body_bytes_)) {
    body_bytes_ = 0;
    return Refuse(ResourceExhausted("there is no room for this body beside those that are coming "
                                    "in; nothing was begun"),
                  429);
  }
  if (!parser_->is_done() && Expected().empty()) {
    Error failed;
    ReadBuffered(failed);
    if (failed) return BodyRead(failed);
  }
  if (parser_->is_done()) return Dispatch();
  Within(milliseconds(kMaxBodyMs));
  const auto read = [self = shared_from_this()](const Error& failed) {
    if (failed) return self->BodyRead(failed);
    self->With([&self](auto& stream) {
      beast::http::async_read(stream, self->buffer_, *self->parser_,
                              [self](const Error& error, std::size_t) { self->BodyRead(error); });
    });
  };
  if (Expected().empty()) return read({});
  static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
  With([&read](auto& stream) {
    net::async_write(stream, net::buffer(kContinue, sizeof kContinue - 1),
                     [read](const Error& failed, std::size_t) { read(failed); });
  });
}

void Connection::BodyRead(const Error& failed) {
  if (state_ == State::kEnded) return;
  if (std::exchange(late_, false)) {
    return Refuse({Code::kDeadlineExceeded,
                   "the body did not come in whole within " + std::to_string(kMaxBodyMs) + " ms"},
                  408);
  }
  if (failed) return End();
  Dispatch();
}

void Connection::Refuse(const Status& status, unsigned code) {
  keep_ = false;
  head_only_ = false;
  state_ = State::kWaiting;
  Reply(Failure(status, code));
}

// ---- Asking -------------------------------------------------------------------------------------

void Connection::Dispatch() {
  deadline_ = Clock::time_point::max();
  auto message = parser_->release();
  parser_.reset();
  keep_ = message.keep_alive() && !lane_.closing;
  head_only_ = message.method() == beast::http::verb::head;
  Request request = RequestOf(std::move(message));
  request.caller = caller_;
  request.certificate = names_;
  request.secure = secure_.has_value();
  always_tls_ = secure_ && !IsLocal(request.host);
  state_ = State::kWaiting;
  ++number_;
  if (request.body.size() > kLargeBytes) {
    return TakeAside(std::move(request));
  }
  ledger_.GiveBody(std::exchange(body_bytes_, 0));
  pending_ = taker_.Take(std::move(request), std::make_shared<Line>(shared_from_this(), number_));
  if (pending_ != nullptr && pending_->patience().count() > 0)
    Arm(pending_->patience(), &Connection::TimedOut);
}

// The body counts until it has been read, whether its caller is still there or not.
void Connection::TakeAside(Request request) {
  Bench& bench = lane_.bench;
  net::post(bench.context, [self = shared_from_this(), number = number_, &bench,
                            bytes = std::exchange(body_bytes_, 0), lives = Work(lane_.work),
                            request = std::move(request)]() mutable {
    std::shared_ptr<Pending> pending;
    if (!self->gone() && !bench.closing)
      pending = self->taker_.Take(std::move(request), std::make_shared<Line>(self, number));
    request = {};
    self->ledger_.GiveBody(bytes);
    if (pending == nullptr) return;
    net::post(self->lane_.context,
              [self, number, pending] { self->Keep(std::move(pending), number); });
  });
}

void Connection::Keep(std::shared_ptr<Pending> pending, std::uint64_t number) {
  const bool is_open = IsOf(number) && (state_ == State::kWaiting || state_ == State::kWriting);
  if (!is_open) return pending->Close();
  pending_ = std::move(pending);
  if (state_ == State::kWaiting && pending_->patience().count() > 0)
    Arm(pending_->patience(), &Connection::TimedOut);
}

// Whether the caller leaves before it has the answer. What it says meanwhile is left for later.
void Connection::WatchCaller() {
  watched_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this(),
                                         number = number_](const Error& failed) {
    if (failed || !self->IsOf(number)) return;
    char byte = 0;
    const ssize_t there = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (there > 0) self->said_more_ = true;
    if (there == 0 || (there < 0 && errno != EAGAIN && errno != EINTR)) self->End();
  });
}

// By what TCP knows.
bool Connection::HasLeft() {
  tcp_info known{};
  socklen_t size = sizeof known;
  return ::getsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_INFO, &known, &size) != 0 ||
         known.tcpi_state != TCP_ESTABLISHED;
}

void Connection::Disarm() {
  ++armed_;
  if (std::exchange(is_armed_, false)) timer_.cancel();
}

void Connection::Arm(milliseconds after, void (Connection::*then)()) {
  const std::uint64_t armed = ++armed_;
  is_armed_ = true;
  timer_.expires_after(after);
  timer_.async_wait([self = shared_from_this(), armed, then](const Error& failed) {
    if (!failed && armed == self->armed_ && self->state_ == State::kWaiting) (self.get()->*then)();
  });
}

void Connection::TimedOut() {
  if (pending_ != nullptr) pending_->TimedOut();
}

// ---- Answering ----------------------------------------------------------------------------------

void Connection::Reply(const Answer& answer) {
  ledger_.Answered(answer.code);
  out_ = HeadOf(answer, {.keep = keep_, .always_tls = always_tls_});
  if (!head_only_) out_ += answer.body;
  Write(keep_ ? Then::kNext : Then::kLinger);
}

void Connection::Show(const std::string& event) {
  if (state_ == State::kWriting) {
    next_ += event;
    next_shown_ = true;
    return;
  }
  BeginStream();
  if (!head_only_) out_ += event;
  shown_ = true;
  Write(head_only_ ? Then::kLinger : Then::kEvent);
}

void Connection::EndStream(const std::string& event) {
  if (state_ == State::kWriting) {
    next_ += event;
    next_is_last_ = true;
    return;
  }
  BeginStream();
  if (!head_only_) out_ += event;
  Write(Then::kLinger);
}

void Connection::BeginStream() {
  if (std::exchange(streaming_, true)) return;
  ledger_.Answered(200);
  keep_ = false;
  out_ = HeadOf({.type = "text/event-stream"}, {.stream = true, .always_tls = always_tls_});
  if (!head_only_) out_ += "retry: " + std::to_string(kRetryAfterSeconds * 1000) + "\n\n";
}

void Connection::Beat() {
  out_ = ":\n\n";
  Write(Then::kEvent);
}

void Connection::Write(Then then) {
  state_ = State::kWriting;
  Disarm();
  written_ = 0;
  then_ = then;
  WriteOn();
}

void Connection::WriteOn() {
  if (secure_) return WriteSecurely();
  Error failed;
  while (written_ < out_.size() && !failed) {
    const std::size_t bytes =
        socket_.write_some(net::buffer(out_.data() + written_, out_.size() - written_), failed);
    written_ += bytes;
    uptake_.Sent(bytes, Clock::now());
  }
  if (!failed) return Written();
  if (failed != net::error::would_block) return End();
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const Error& error) {
    if (self->state_ == State::kEnded) return;
    error ? self->End() : self->WriteOn();
  });
}

void Connection::Written() {
  if (out_.capacity() > kReadBytes) out_ = std::string();
  out_.clear();
  deadline_ = Clock::time_point::max();
  if (then_ == Then::kEvent) return EventWritten();
  LetGo();
  if (std::exchange(watched_, false)) socket_.cancel();
  said_more_ = false;
  if (then_ == Then::kLinger || lane_.closing) return Linger();
  ReadFirst();
}

void Connection::EventWritten() {
  if (lane_.closing) return End();
  state_ = State::kWaiting;
  Arm(milliseconds(kHeartbeatMs), &Connection::Beat);
  if (std::exchange(shown_, false) && pending_ != nullptr) pending_->Taken();
  if (next_.empty()) return;
  out_ = std::exchange(next_, {});
  shown_ = std::exchange(next_shown_, false);
  Write(next_is_last_ ? Then::kLinger : Then::kEvent);
}

// Until the caller has closed.
void Connection::ThrowAway() {
  Error ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  const auto read = [self = shared_from_this()](const auto& again) -> void {
    self->buffer_.clear();
    self->socket_.async_read_some(self->buffer_.prepare(kReadBytes),
                                  [self, again](const Error& failed, std::size_t) {
                                    if (failed || self->state_ == State::kEnded) return self->End();
                                    again(again);
                                  });
  };
  read(read);
}

// What has not been taken is thrown away: the kernel would go on trying, and keep it, uncounted.
void Connection::CutOff() {
  Error ignored;
  socket_.set_option(net::socket_base::linger(true, 0), ignored);
  End();
}

void Connection::LetGo() {
  ledger_.GiveBody(std::exchange(body_bytes_, 0));
  parser_.reset();
  streaming_ = false;
  shown_ = next_shown_ = next_is_last_ = false;
  next_.clear();
  if (const auto pending = std::exchange(pending_, nullptr)) pending->Close();
}

void Connection::End() {
  if (std::exchange(state_, State::kEnded) == State::kEnded) return;
  gone_ = true;
  Disarm();
  Error ignored;
  socket_.close(ignored);
  LetGo();
  lane_.connections.erase(shared_from_this());
}

}  // namespace assent::http
