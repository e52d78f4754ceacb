#pragma once

// One branch of one transaction of the standard actions, and the commands about it.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "assent/v1/participant.pb.h"

namespace assent::contract {

inline constexpr char kService[] = "contract";

struct Work {
  v1::Protocol protocol = v1::SAGA;
  std::string gid;
  std::string branch_id = "1";
  std::string action = "add";
  std::string payload;
  std::string account;  // that the payload names
  std::map<std::string, std::string> headers = {};
  std::map<std::string, std::string> results = {};
  std::string traceparent = {};
  std::string tracestate = {};
  bool one_phase = false;
  std::int64_t began_unix_ms = 0;
};

// What `add` may be asked beside account and amount; see docs/contract.md.
struct AddOptions {
  std::int64_t wait_ms = 0;
  int crash_at_start = 0;
  bool fail = false;
  std::string refuse = {};  // the reason's bytes
  std::size_t padding = 0;  // further bytes of payload
};

// A gid, and an account, that were never used before, in any run.
std::string NewName(const std::string& rule);

Work Add(v1::Protocol protocol, std::string gid, std::string account, std::int64_t amount,
         const AddOptions& options = {});
Work Plain(std::string gid, std::string action, std::string payload);

v1::Operation Forward(v1::Protocol protocol);
// OPERATION_UNSPECIFIED: a Saga step has none.
v1::Operation Finish(v1::Protocol protocol);
v1::Operation Undo(v1::Protocol protocol);
const char* ProtocolName(v1::Protocol protocol);  // "2pc", "tcc", "saga"

v1::BranchCommand Command(const Work& work, v1::Operation operation);

}  // namespace assent::contract
