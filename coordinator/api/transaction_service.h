#pragma once

// The door for initiators and operators: validate, post, answer. Nothing is decided here.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/api/holdings.h"
#include "coordinator/engine/engine.h"
#include "coordinator/transport/transport.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace assent::api {

struct ServiceOptions {
  std::string version;
  std::string data_file;
  std::int64_t started_unix_ms = 0;
  // Submits of one stream that are not answered yet; beyond it the stream is read no further until
  // some are.
  std::size_t max_stream_outstanding_count = 16'384;
  // What callers may make us hold.
  HoldingLimits holdings;
  // Services of which nobody is there and for which something waits: the first so many by name are
  // listed with the participants.
  std::size_t max_absent_services_count = 1000;
  // Who can be reached, for ListParticipants.
  std::function<std::vector<transport::ServiceInfo>(const std::string& prefix)> participants;
};

// Owned by the caller; lives longer than the server.
std::unique_ptr<grpc::Service> MakeTransactionService(ServiceOptions options,
                                                      engine::Engine& engine);

}  // namespace assent::api
