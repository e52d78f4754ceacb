#pragma once

// The payload of the standard action `add`, as docs/contract.md has it.

#include <cstdint>
#include <map>
#include <string>

namespace assent::contract::samples {

struct AddPayload {
  std::string account;
  std::int64_t amount = 0;
  std::int64_t wait_ms = 0;
  int crash_at_start = 0;
  bool fail = false;
  bool refuse = false;
  std::string reason;  // of the refusal: any bytes
};

// Throws what nlohmann::json throws if it is none.
AddPayload ParseAdd(const std::string& payload);
std::string AddJson(const std::string& account, std::int64_t amount);
std::string AccountOf(const std::string& payload);
// {"balance": 5, "held": 0}
std::string LedgerJson(std::int64_t balance, std::int64_t held);
// The result of `echo`.
std::string EchoJson(const std::map<std::string, std::string>& headers,
                     const std::map<std::string, std::string>& results,
                     const std::string& traceparent, const std::string& tracestate);
// Steps 2 to 4 of the forward operation: waits, ends this process, throws std::runtime_error; as
// the payload says.
void WaitCrashOrFail(const AddPayload& payload);
// The environment variable `name`, or `otherwise`.
std::string Env(const char* name, const std::string& otherwise);

}  // namespace assent::contract::samples
