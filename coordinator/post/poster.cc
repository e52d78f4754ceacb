#include "coordinator/post/poster.h"

#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace assent::post {

namespace net = boost::asio;
namespace http = boost::beast::http;
using Tcp = net::ip::tcp;
using Error = boost::system::error_code;

namespace {

// 101 is the last of its connection, and nobody has asked for it.
bool IsInterim(unsigned code) { return code >= 100 && code < 200 && code != 101; }

}  // namespace

// A connection, and the request that is under way on it.
struct Poster::Line {
  void Begin(const Target& target) {
    answer = {};
    if (std::exchange(open, false)) return Write();
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
      ReadHeader();
    });
  }
  // By itself: Beast 1.74 forgets that a body is too large when it reads both at once.
  void ReadHeader() {
    parser.emplace();
    parser->body_limit(kMaxAnswerBytes);
    http::async_read_header(stream, buffer, *parser, [this](Error failed, std::size_t) {
      if (!parser->is_header_done()) return End("there is no answer: ", failed);
      const auto& message = parser->get();
      // What comes before an answer (Early Hints) is none; any number of them may, in time.
      if (!failed && IsInterim(message.result_int())) return ReadHeader();
      answer.code = message.result_int();
      const bool taken = answer.code >= 200 && answer.code < 300;
      answer.failed = taken ? "" : "it answers " + std::to_string(answer.code);
      answer.retry_after = std::string(message[http::field::retry_after]);
      answer.content_type = std::string(message[http::field::content_type]);
      if (!failed) ReadBody();
    });
  }
  // The code counts already. The rest is read so that it can be written.
  void ReadBody() {
    http::async_read(stream, buffer, *parser, [this](Error failed, std::size_t) {
      if (failed) return;
      answer.body = std::move(parser->get().body());
      open = parser->get().keep_alive() && buffer.size() == 0;
    });
  }
  void End(const char* what, Error failed) {
    answer.failed = what + failed.message();
    broken = true;
  }

  net::io_context context{1};  // the last to go: nothing of it is called any more
  Tcp::resolver resolver{context};
  boost::beast::tcp_stream stream{context};
  http::request<http::string_body> request;
  boost::beast::flat_buffer buffer;
  std::optional<http::response_parser<http::string_body>> parser;
  Answer answer;
  bool open = false;    // for another request
  bool broken = false;  // before there was an answer
};

Poster::Poster(Target target, Connections connections)
    : target_(std::move(target)), connections_(connections) {}
Poster::~Poster() = default;

Answer Poster::Post(const Headers& headers, const std::string& body,
                    std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  std::unique_ptr<Line> line = std::move(kept_);
  if (line != nullptr) {
    Answer answer = Exchange(*line, headers, body, until);
    if (line->open) kept_ = std::move(line);
    if (line == nullptr || !line->broken) return answer;
  }
  line = std::make_unique<Line>();
  Answer answer = Exchange(*line, headers, body, until);
  if (line->open && connections_ == Connections::kKept) kept_ = std::move(line);
  return answer;
}

Answer Poster::Exchange(Line& line, const Headers& headers, const std::string& body,
                        TimePoint until) {
  line.request = {};
  line.request.method(http::verb::post);
  line.request.target(target_.path);
  line.request.version(11);
  line.request.set(http::field::host, target_.authority);
  for (const auto& [name, value] : headers) line.request.set(name, value);
  line.request.keep_alive(connections_ == Connections::kKept);
  line.request.body() = body;
  line.request.prepare_payload();
  {
    const MutexLock lock(mutex_);
    if (stopped_) return {.failed = "it is stopping"};
    line.context.restart();
    under_way_ = &line;
  }
  line.Begin(target_);
  (void)line.context.run_until(until);
  const MutexLock lock(mutex_);
  under_way_ = nullptr;
  return line.answer;
}

void Poster::Stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  if (under_way_ != nullptr) under_way_->context.stop();
}

}  // namespace assent::post
