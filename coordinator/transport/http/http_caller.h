#pragma once

// Participants that serve HTTP: a command is a POST of JSON to their URL. One thread runs all of
// them by libcurl's multi interface: connections are kept, and over TLS shared by HTTP/2 where it
// is offered.
//
// What is known of a call is what is known over gRPC: until its connection stands nothing of it has
// left, and it is given back; from then on only a reply about this very command counts.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "coordinator/post/poster.h"
#include "coordinator/transport/carrier.h"

namespace assent::transport {

// Connections of all targets together that are kept while nothing is asked.
inline constexpr std::size_t kMaxKeptHttpConnectionsCount = 1024;
// A target that cannot be reached is looked for so often: doubled up to the second.
inline constexpr std::int64_t kFirstLookPauseMs = 100;
inline constexpr std::int64_t kMaxLookPauseMs = 2'000;
// One that nothing was heard of for so long is looked for too.
inline constexpr std::int64_t kLookAfterMs = 10'000;

struct HttpCallerOptions {
  // What https:// targets are dialled with, asked for each connection.
  post::Dialling dialling = {};
  // By service: what its calls are signed with. Without one they are not.
  std::map<std::string, std::string> secrets = {};
  std::string agent = "assentd";
};

class HttpCaller final : public Caller {
 public:
  explicit HttpCaller(HttpCallerOptions options);
  ~HttpCaller() override;
  void Start(std::uint32_t coordinator_id, CallSink& sink) override;
  // Addresses are URLs (post::ParseUrl).
  void Add(std::size_t target, const Endpoint& endpoint) override;
  void Remove(std::size_t target) override;
  bool Call(std::size_t target, std::uint64_t call, Command& command) override;
  void Stop() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::transport
