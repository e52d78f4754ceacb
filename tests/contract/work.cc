#include "tests/contract/work.h"

#include <atomic>
#include <chrono>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include <assent/limits.h>

#include "tests/contract/session_server.h"

namespace assent::contract {
namespace {

constexpr std::uint64_t kBeganEpoch = 9'007'199'254'740'993;  // no double can hold it
constexpr std::int64_t kTimeoutMs = 10'000;

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string Hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.append(1, kDigits[byte >> 4U]).append(1, kDigits[byte & 15U]);
  }
  return hex;
}

}  // namespace

std::string NewName(const std::string& rule) {
  static std::atomic<unsigned> next{0};
  return rule + "-" + std::to_string(NowMs() % 1'000'000'000) + "-" + std::to_string(getpid()) +
         "-" + std::to_string(++next);
}

Work Plain(std::string gid, std::string action, std::string payload) {
  Work work;
  work.gid = std::move(gid);
  work.action = std::move(action);
  work.payload = std::move(payload);
  work.began_unix_ms = NowMs();
  return work;
}

Work Add(v1::Protocol protocol, std::string gid, std::string account, std::int64_t amount,
         const AddOptions& options) {
  nlohmann::ordered_json payload;
  payload["account"] = account;
  payload["amount"] = amount;
  if (options.wait_ms != 0) payload["wait_ms"] = options.wait_ms;
  if (options.crash_at_start != 0) payload["crash_at_start"] = options.crash_at_start;
  if (options.fail) payload["fail"] = true;
  if (!options.refuse.empty()) payload["refuse_hex"] = Hex(options.refuse);
  if (options.padding != 0) payload["padding"] = std::string(options.padding, 'x');
  Work work = Plain(std::move(gid), "add", payload.dump());
  work.protocol = protocol;
  work.account = std::move(account);
  return work;
}

v1::Operation Forward(v1::Protocol protocol) {
  if (protocol == v1::TWO_PHASE) return v1::PREPARE;
  return protocol == v1::TCC ? v1::TRY : v1::ACTION;
}
v1::Operation Finish(v1::Protocol protocol) {
  if (protocol == v1::TWO_PHASE) return v1::COMMIT;
  return protocol == v1::TCC ? v1::CONFIRM : v1::OPERATION_UNSPECIFIED;
}
v1::Operation Undo(v1::Protocol protocol) {
  if (protocol == v1::TWO_PHASE) return v1::ROLLBACK;
  return protocol == v1::TCC ? v1::CANCEL : v1::COMPENSATE;
}
const char* ProtocolName(v1::Protocol protocol) {
  if (protocol == v1::TWO_PHASE) return "2pc";
  return protocol == v1::TCC ? "tcc" : "saga";
}

v1::BranchCommand Command(const Work& work, v1::Operation operation) {
  v1::BranchCommand command;
  command.set_gid(work.gid);
  command.set_branch_id(work.branch_id);
  command.set_operation(operation);
  command.set_protocol(work.protocol);
  command.set_service(kService);
  command.set_action(work.action);
  command.set_payload(work.payload);
  command.mutable_headers()->insert(work.headers.begin(), work.headers.end());
  command.mutable_results()->insert(work.results.begin(), work.results.end());
  command.set_attempt(1);
  command.set_one_phase(work.one_phase && operation == v1::PREPARE);
  command.set_timeout_ms(kTimeoutMs);
  command.set_coordinator_id(SessionServer::kCoordinatorId);
  command.set_began_epoch(kBeganEpoch);
  command.set_began_unix_ms(work.began_unix_ms);
  command.set_traceparent(work.traceparent);
  command.set_tracestate(work.tracestate);
  return command;
}

}  // namespace assent::contract
