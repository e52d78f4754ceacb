#include "coordinator/webhook/post.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace assent::webhook {

namespace net = boost::asio;
namespace http = boost::beast::http;
using Tcp = net::ip::tcp;
using Error = boost::system::error_code;

struct Poster::Try {
  void Resolve(const Target& target) {
    resolver.async_resolve(target.host, target.port,
                           [this](Error failed, const Tcp::resolver::results_type& found) {
                             if (failed) return End("it is not known by that name: ", failed);
                             Connect(found);
                           });
  }
  void Connect(const Tcp::resolver::results_type& found) {
    stream.async_connect(found, [this](Error failed, const Tcp::endpoint&) {
      if (failed) return End("it cannot be reached: ", failed);
      Write();
    });
  }
  void Write() {
    http::async_write(stream, request, [this](Error failed, std::size_t) {
      if (failed) return End("it does not take the request: ", failed);
      Read();
    });
  }
  // What it answers is in the header. The rest is read so that it can be written.
  void Read() {
    answer.body_limit(kMaxAnswerBytes);
    http::async_read(stream, buffer, answer, [this](Error failed, std::size_t) {
      if (!answer.is_header_done()) return End("there is no answer: ", failed);
      const unsigned code = answer.get().result_int();
      said = code >= 200 && code < 300 ? "" : "it answers " + std::to_string(code);
    });
  }
  void End(const char* what, Error failed) { said = what + failed.message(); }

  net::io_context context{1};  // the last to go: nothing of it is called any more
  Tcp::resolver resolver{context};
  boost::beast::tcp_stream stream{context};
  http::request<http::string_body> request;
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> answer;
  std::string said = "there is no answer in time";
};

Poster::Poster(Target target) : target_(std::move(target)) {}
Poster::~Poster() = default;

std::string Poster::Post(const Headers& headers, const std::string& body,
                         std::chrono::milliseconds patience) {
  Try one;
  one.request.method(http::verb::post);
  one.request.target(target_.path);
  one.request.version(11);
  one.request.set(http::field::host, target_.authority);
  one.request.set(http::field::content_type, "application/json");
  one.request.set(http::field::connection, "close");
  for (const auto& [name, value] : headers) one.request.set(name, value);
  one.request.body() = body;
  one.request.prepare_payload();
  {
    const MutexLock lock(mutex_);
    if (stopped_) return "it is stopping";
    under_way_ = &one;
  }
  one.Resolve(target_);
  (void)one.context.run_for(patience);
  const MutexLock lock(mutex_);
  under_way_ = nullptr;
  return one.said;
}

void Poster::Stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  if (under_way_ != nullptr) under_way_->context.stop();
}

}  // namespace assent::webhook
