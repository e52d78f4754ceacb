#pragma once

// One request on its way, or one look whether anybody is there. Belongs to the thread that runs it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <curl/curl.h>

#include "coordinator/post/target.h"
#include "coordinator/tls/dial.h"
#include "coordinator/transport/http/message.h"

namespace assent::transport::http {

// From the name to the end of the handshake of TLS, within the time of the command.
inline constexpr std::int64_t kMaxConnectMs = 5'000;

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;

// Where to: what is asked for, and where that is, if that is known better than by its name.
struct Place {
  post::Target target;
  std::string connect_to;  // "host:port"; empty: where the target says
};

// What is posted, as whoever calls has made it.
struct Request {
  std::size_t target = 0;
  std::uint64_t call = 0;
  Command command;
  std::string body;
  std::vector<std::string> headers;  // "Name: value"
};

class Exchange {
 public:
  // Posts `request` to `to`. `dialling` is there if that is secure.
  Exchange(Easy easy, std::shared_ptr<const Place> to, const std::string& agent,
           tls::DialMaterialPtr dialling, Request request);
  // Connects, and lets go: nothing is sent but what TLS says.
  Exchange(Easy easy, std::shared_ptr<const Place> to, tls::DialMaterialPtr dialling,
           std::size_t target);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange();

  CURL* easy() const { return easy_.get(); }
  Easy TakeEasy() { return std::move(easy_); }
  bool is_look() const { return is_look_; }
  std::size_t target() const { return request_.target; }
  // The connection stood, and the request was next: something of it may have arrived.
  bool handed_on() const { return handed_on_; }

  // Once libcurl is done with it. What became of a request:
  CallEnd End(CURLcode code);
  // What was in the way, in words.
  std::string Why(CURLcode code) const;

 private:
  void SetUp(tls::DialMaterialPtr dialling);
  static CURLcode OnContext(CURL* easy, void* context, void* self);
  static int OnRequest(void* self, char*, char*, int, int);
  static std::size_t OnHeader(char* bytes, std::size_t one, std::size_t count, void* self);
  static std::size_t OnBody(char* bytes, std::size_t one, std::size_t count, void* self);

  Easy easy_;
  const std::shared_ptr<const Place> place_;
  const post::Target& to_;
  const bool is_look_;
  Request request_;
  tls::DialMaterialPtr dialling_;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  bool handed_on_ = false;
  bool too_large_ = false;
  std::size_t header_bytes_ = 0;
  std::string body_;
  std::array<char, CURL_ERROR_SIZE> error_{};
};

// "http://HOST:PORT/PATH"
std::string UrlOf(const post::Target& target);

}  // namespace assent::transport::http
