#include "coordinator/post/line.h"

#include <chrono>
#include <utility>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <openssl/ssl.h>

namespace assent::post {

namespace net = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;

namespace {

// 101 is the last of its connection, and nobody has asked for it.
bool IsInterim(unsigned code) { return code >= 100 && code < 200 && code != 101; }

// Called by OpenSSL when the other side asks for a certificate: whatever there is to show is shown.
int NoteAsked(SSL*, void* asked) {
  *static_cast<bool*>(asked) = true;
  return 1;
}

constexpr const char* kLate = "there is no answer in time";

}  // namespace

Poster::Line::Line(const Target& to, tls::DialMaterialPtr dialled_with)
    : dialling(std::move(dialled_with)), target_(to) {
  if (dialling == nullptr) return;
  SSL_CTX_up_ref(dialling->context.get());  // of which this takes one
  ssl::context context_of_line(dialling->context.get());
  secure_.emplace(stream_, context_of_line);
  tls::Expect(secure_->native_handle(), target_.host);
  SSL_set_cert_cb(secure_->native_handle(), NoteAsked, &asked_for_certificate_);
  secure_->set_verify_callback([this](bool believed, ssl::verify_context& verified) {
    if (!believed) {
      why_not_believed_ =
          tls::WhyNotBelieved(verified.native_handle(), dialling->files, target_.host);
    }
    return believed;
  });
}

void Poster::Line::Begin() {
  answer = {.failed = kLate};
  if (std::exchange(open, false)) return Write();
  resolver_.async_resolve(target_.host, target_.port,
                          [this](Error failed, const Tcp::resolver::results_type& found) {
                            if (failed) return End("it is not known by that name: ", failed);
                            Connect(found);
                          });
}

void Poster::Line::Connect(const Tcp::resolver::results_type& found) {
  stream_.async_connect(found, [this](Error failed, const Tcp::endpoint&) {
    if (failed) return End("it cannot be reached: ", failed);
    if (secure_) return Shake();
    Write();
  });
}

void Poster::Line::Shake() {
  answer.failed = kHandshakeLate;
  stream_.expires_after(std::chrono::milliseconds(kMaxHandshakeMs));
  secure_->async_handshake(ssl::stream_base::client, [this](Error failed) { Shaken(failed); });
}

void Poster::Line::Shaken(Error failed) {
  stream_.expires_never();
  if (failed == boost::beast::error::timeout) {
    broken = true;
    return;
  }
  if (failed) return End("there is no secure connection: ", failed);
  answer.failed = kLate;
  Write();
}

void Poster::Line::Write() {
  const auto written = [this](Error failed, std::size_t) {
    if (failed) return End("it does not take the request: ", failed);
    ReadHeader();
  };
  if (secure_) return http::async_write(*secure_, request, written);
  http::async_write(stream_, request, written);
}

// By itself: Beast 1.74 forgets that a body is too large when it reads both at once.
void Poster::Line::ReadHeader() {
  parser_.emplace();
  parser_->body_limit(kMaxAnswerBytes);
  const auto read = [this](Error failed, std::size_t) { TakeHeader(failed); };
  if (secure_) return http::async_read_header(*secure_, buffer_, *parser_, read);
  http::async_read_header(stream_, buffer_, *parser_, read);
}

void Poster::Line::TakeHeader(Error failed) {
  if (!parser_->is_header_done()) return End("there is no answer: ", failed);
  const auto& message = parser_->get();
  // What comes before an answer (Early Hints) is none; any number of them may, in time.
  if (!failed && IsInterim(message.result_int())) return ReadHeader();
  answer.code = message.result_int();
  const bool taken = answer.code >= 200 && answer.code < 300;
  answer.failed = taken ? "" : "it answers " + std::to_string(answer.code);
  answer.retry_after = std::string(message[http::field::retry_after]);
  answer.content_type = std::string(message[http::field::content_type]);
  if (!failed) ReadBody();
}

// The code counts already. The rest is read so that it can be written. Over TLS an end that is not
// said to be one is none.
void Poster::Line::ReadBody() {
  const auto read = [this](Error failed, std::size_t) {
    if (failed) return;
    answer.body = std::move(parser_->get().body());
    open = parser_->get().keep_alive() && buffer_.size() == 0;
  };
  if (secure_) return http::async_read(*secure_, buffer_, *parser_, read);
  http::async_read(stream_, buffer_, *parser_, read);
}

void Poster::Line::End(const char* what, Error failed) {
  answer.failed = what + Words(failed);
  broken = true;
}

std::string Poster::Line::Words(Error failed) {
  if (!why_not_believed_.empty()) return why_not_believed_;
  if (failed.category() == net::error::get_ssl_category())
    return tls::WhyEnded(static_cast<std::uint32_t>(failed.value()), dialling->files);
  if (!secure_) {
    return OthersSpeakTls() ? "it speaks TLS: its address begins with https://" : failed.message();
  }
  const bool closed = failed == ssl::error::stream_truncated || failed == net::error::eof ||
                      failed == net::error::connection_reset ||
                      failed == boost::beast::http::error::end_of_stream;
  if (!closed) return failed.message();
  std::string words = SSL_is_init_finished(secure_->native_handle()) != 0
                          ? "it has closed the connection"
                          : "it closes the connection in the middle of the handshake";
  if (!asked_for_certificate_) return words;
  return words + (dialling->files.cert.empty()
                      ? ": it has asked for a certificate of this coordinator, and --tls-cert is "
                        "shown if --" +
                            dialling->files.setting + " is given"
                      : ": perhaps it does not take the certificate of --tls-cert");
}

// By what has come in place of an answer: a record that tells of an error.
bool Poster::Line::OthersSpeakTls() const {
  constexpr unsigned char kAlert = 0x15;
  return buffer_.size() > 0 && *static_cast<const unsigned char*>(buffer_.data().data()) == kAlert;
}

}  // namespace assent::post
