#include "tests/contract/samples/payload.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace assent::contract::samples {

AddPayload ParseAdd(const std::string& payload) {
  const auto json = nlohmann::json::parse(payload);
  AddPayload add;
  add.account = json.at("account").get<std::string>();
  add.amount = json.at("amount").get<std::int64_t>();
  add.wait_ms = json.value("wait_ms", std::int64_t{0});
  add.crash_at_start = json.value("crash_at_start", 0);
  add.fail = json.value("fail", false);
  add.refuse = json.contains("refuse_hex");
  const std::string hex = json.value("refuse_hex", std::string());
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    add.reason.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return add;
}

std::string AddJson(const std::string& account, std::int64_t amount) {
  return nlohmann::ordered_json{{"account", account}, {"amount", amount}}.dump();
}

std::string AccountOf(const std::string& payload) {
  return nlohmann::json::parse(payload).at("account").get<std::string>();
}

std::string LedgerJson(std::int64_t balance, std::int64_t held) {
  return nlohmann::ordered_json{{"balance", balance}, {"held", held}}.dump();
}

std::string EchoJson(const std::map<std::string, std::string>& headers,
                     const std::map<std::string, std::string>& results,
                     const std::string& traceparent, const std::string& tracestate) {
  return nlohmann::ordered_json{{"headers", headers},
                                {"results", results},
                                {"traceparent", traceparent},
                                {"tracestate", tracestate}}
      .dump();
}

void WaitCrashOrFail(const AddPayload& payload) {
  const std::chrono::milliseconds wait(payload.wait_ms);
  std::this_thread::sleep_for(wait);  // tidy: allow(sleep) what the payload asks for
  if (payload.crash_at_start != 0 &&
      Env("ASSENT_CONTRACT_START", "") == std::to_string(payload.crash_at_start)) {
    kill(getpid(), SIGKILL);
  }
  if (payload.fail) throw std::runtime_error("the payload asks for a failure");
}

std::string Env(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

}  // namespace assent::contract::samples
