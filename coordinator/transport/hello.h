#pragma once

// What a participant says of itself when it dials in, and what it says afterwards, as plain values.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/core/types.h"

namespace assent::transport {

struct SessionHello {
  std::uint32_t version = 0;
  std::string service;
  std::string instance;
  std::vector<std::pair<std::string, core::Protocol>> actions;
  std::uint32_t max_in_flight = 0;
  std::string agent;
};

// A reply as a participant put it.
struct SessionReply {
  std::string gid;
  std::string branch_id;
  core::Operation operation = kNoOperation;
  std::uint64_t command_id = 0;
  core::AttemptResult result = core::AttemptResult::kUnknown;
  std::string bytes;
  std::string reason;
  core::Millis retry_after{0};
  std::string blocked_by = {};
};

// Names, numbers and sizes, each named when it is wrong.
Status CheckHello(const SessionHello& hello);

}  // namespace assent::transport
