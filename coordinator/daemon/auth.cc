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
  security::Policy policy{
      .rules = *std::move(rules),
      .max_failures_count = static_cast<std::size_t>(config.max_auth_failures_per_address)};
  if (!config.auth_tokens.empty()) {
    auto tokens =
        ReadFile<security::Tokens>("auth-tokens", config.auth_tokens, security::kMaxTokensBytes);
    if (!tokens.ok()) return tokens.status();
    policy.tokens = *std::move(tokens);
  }
  if (config.auth_jwks.empty()) return policy;
  auto keys = ReadFile<security::Jwks>("auth-jwks", config.auth_jwks, security::kMaxJwksBytes);
  if (!keys.ok()) return keys.status();
  auto algorithms = security::ReadAlgorithms(config.auth_jwt_algorithms);
  if (!algorithms.ok()) return algorithms.status();
  policy.jwts = {*std::move(keys),
                 {config.auth_jwt_issuer, config.auth_jwt_audience, *std::move(algorithms)}};
  return policy;
}

// All that stands would end, and nobody could come to say otherwise.
Status CheckAllowsSomething(const Config& config, const security::Policy& policy) {
  if (!policy.rules.all().empty()) return OkStatus();
  return InvalidArgument("auth-rules is " + config.auth_rules +
                         ": no line of it allows anybody anything, as of a file that is being "
                         "written, or was cut: who means it starts with it");
}

}  // namespace

Status EnforceRules(const Config& config, security::Guard& guard) {
  if (config.auth_rules.empty()) return OkStatus();
  Result<security::Policy> policy = ReadPolicy(config);
  if (!policy.ok()) return policy.status();
  guard.Enforce(*std::move(policy));
  return OkStatus();
}

Status ReloadRules(const Config& config, security::Guard& guard) {
  if (config.auth_rules.empty()) return OkStatus();
  Result<security::Policy> policy = ReadPolicy(config);
  Status enforced = policy.ok() ? CheckAllowsSomething(config, *policy) : policy.status();
  if (enforced.ok()) {
    guard.Enforce(*std::move(policy));
    spdlog::info("event=auth_reloaded rules={}", config.auth_rules);
  } else {
    constexpr std::size_t kMaxBytes = 400;
    spdlog::error(
        "event=auth_reload_failed error=\"{}\" hint=\"the rules, tokens and keys of before stay\"",
        OneLine(enforced.message(), kMaxBytes));
  }
  return enforced;
}

void TellFailures(security::Guard& guard) {
  const auto failed = guard.TakeFailed();
  if (!failed) return;
  constexpr std::size_t kMaxBytes = 200;
  spdlog::warn("event=auth_failed count={} address={} why=\"{}\"", failed->count,
               OneLine(failed->address, kMaxBytes), OneLine(failed->why, kMaxBytes));
}

}  // namespace assent::daemon
