// What of a connection is TLS.

#include <algorithm>
#include <utility>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "coordinator/http/connection.h"
#include "coordinator/http/limits.h"
#include "coordinator/tls/material.h"

namespace assent::http {
namespace {

namespace ssl = boost::asio::ssl;
using std::chrono::milliseconds;

// The most that is one record.
constexpr std::size_t kRecordBytes = 16 * 1024;

}  // namespace

// Whoever speaks HTTP without TLS is told so, in HTTP.
void Connection::Shake() {
  Within(milliseconds(kMaxHandshakeMs));
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const Error& failed) {
    if (failed || self->state_ == State::kEnded) return self->End();
    char first = 0;
    if (::recv(self->socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
      return self->End();
    if (!tls::IsHandshake(first)) {
      self->wants_tls_ = true;
      return self->ReadFirst();
    }
    SSL_CTX_up_ref(self->tls_.get());  // of which this takes one
    ssl::context context(self->tls_.get());
    self->secure_.emplace(self->socket_, context);
    self->secure_->async_handshake(ssl::stream_base::server,
                                   [self](const Error& error) { self->Shaken(error); });
  });
}

void Connection::Shaken(const Error& failed) {
  if (failed || state_ == State::kEnded || lane_.closing) return End();
  if (const X509* const shown = SSL_get0_peer_certificate(secure_->native_handle()))
    names_ = std::make_shared<const tls::Names>(tls::NamesOf(*shown));
  tls_.reset();
  ReadFirst();
}

// One record after the other: what the socket does not take at once is OpenSSL's already.
void Connection::WriteSecurely() {
  if (written_ == out_.size()) return Written();
  const std::size_t bytes = std::min(out_.size() - written_, kRecordBytes);
  // Before it is: what finds no room from the beginning is never done.
  uptake_.Sent(bytes, Clock::now());
  secure_->async_write_some(boost::asio::buffer(out_.data() + written_, bytes),
                            [self = shared_from_this()](const Error& failed, std::size_t written) {
                              if (self->state_ == State::kEnded) return;
                              if (failed) return self->End();
                              self->written_ += written;
                              self->WriteSecurely();
                            });
}

// A socket that is closed with something unread loses what was written: until the caller has closed
// it, or a moment has passed, what comes is thrown away.
void Connection::Linger() {
  state_ = State::kLingering;
  Within(milliseconds(kMaxLingerMs));
  if (!secure_) return ThrowAway();
  secure_->async_shutdown([self = shared_from_this()](const Error&) {
    if (self->state_ != State::kEnded) self->ThrowAway();
  });
}

}  // namespace assent::http
