#pragma once

// A connection, and the request that is under way on it.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "coordinator/post/poster.h"
#include "coordinator/post/target.h"
#include "coordinator/tls/dial.h"

namespace assent::post {

struct Poster::Line {
  using Tcp = boost::asio::ip::tcp;
  using Error = boost::system::error_code;
  using Secure = boost::asio::ssl::stream<boost::beast::tcp_stream&>;

  // Without `dialling` it is not secure.
  Line(const Target& to, tls::DialMaterialPtr dialled_with);

  // On `context`, until there is nothing left to do.
  void Begin();

  boost::asio::io_context context{1};  // the last to go: nothing of it is called any more
  boost::beast::http::request<boost::beast::http::string_body> request;
  Answer answer;
  bool open = false;    // for another request
  bool broken = false;  // before there was an answer
  const tls::DialMaterialPtr dialling;

 private:
  void Connect(const Tcp::resolver::results_type& found);
  void Shake();
  void Shaken(Error failed);
  void Write();
  void ReadHeader();
  void TakeHeader(Error failed);
  void ReadBody();
  void End(const char* what, Error failed);
  std::string Words(Error failed);
  bool OthersSpeakTls() const;

  const Target& target_;
  Tcp::resolver resolver_{context};
  boost::beast::tcp_stream stream_{context};
  std::optional<Secure> secure_;
  bool asked_for_certificate_ = false;  // of ours
  std::string why_not_believed_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::response_parser<boost::beast::http::string_body>> parser_;
};

}  // namespace assent::post
