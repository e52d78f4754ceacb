#include "coordinator/daemon/auth.h"

#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/read_file.h"
#include "coordinator/daemon/logging.h"

namespace assent::daemon {
namespace {

template <typename Parsed>
Result<Parsed> ReadFile(const char* setting, const std::string& file, std::size_t max_bytes) {
  const auto text = base::ReadAtMost(file, max_bytes);
  auto parsed = text.ok() ? Parsed::Parse(*text) : Result<Parsed>(text.status());
  if (parsed.ok()) return parsed;
  return InvalidArgument(std::string(setting) + " is " + file + ": " + parsed.status().message());
}

Result<security::Policy> ReadPolicy(const Config& config) {
  auto rules = ReadFile<security::Rules>("auth-rules", config.auth_rules, security::kMaxRulesBytes);
  if (!rules.ok()) return rules.status();
  security::Policy policy{*std::move(rules), {}};
  if (config.auth_tokens.empty()) return policy;
  auto tokens =
      ReadFile<security::Tokens>("auth-tokens", config.auth_tokens, security::kMaxTokensBytes);
  if (!tokens.ok()) return tokens.status();
  policy.tokens = *std::move(tokens);
  return policy;
}

}  // namespace

Status EnforceRules(const Config& config, security::Guard& guard) {
  if (config.auth_rules.empty()) return OkStatus();
  Result<security::Policy> policy = ReadPolicy(config);
  if (!policy.ok()) return policy.status();
  guard.Enforce(*std::move(policy));
  return OkStatus();
}

void ReloadRules(const Config& config, security::Guard& guard) {
  if (config.auth_rules.empty()) return;
  const Status enforced = EnforceRules(config, guard);
  if (enforced.ok()) {
    spdlog::info("event=auth_reloaded rules={}", config.auth_rules);
  } else {
    constexpr std::size_t kMaxBytes = 400;
    spdlog::error(
        "event=auth_reload_failed error=\"{}\" hint=\"the rules and tokens of before stay\"",
        OneLine(enforced.message(), kMaxBytes));
  }
}

}  // namespace assent::daemon
