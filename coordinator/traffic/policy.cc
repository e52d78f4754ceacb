#include "coordinator/traffic/policy.h"

#include <algorithm>

namespace assent::traffic {

unsigned Policy::WeightOf(const std::string& instance, const std::string& address) const {
  const auto by_name = weights.find(instance);
  if (by_name != weights.end()) return by_name->second;
  const auto by_address = weights.find(address);
  return by_address != weights.end() ? by_address->second : 1;
}

bool Policy::IsNear(const std::string& instance, const std::string& address) const {
  return near.empty() || std::any_of(near.begin(), near.end(), [&](const std::string& prefix) {
           return instance.rfind(prefix, 0) == 0 || address.rfind(prefix, 0) == 0;
         });
}

const Policy& Policies::Of(const std::string& service) const {
  const auto found = by_service.find(service);
  return found == by_service.end() ? all : found->second;
}

std::string Describe(const Policy& policy) {
  const Policy usual;
  std::string text;
  const auto say = [&](const std::string& one) { text += (text.empty() ? "" : " ") + one; };
  const auto number = [&](const char* name, auto value, auto normal) {
    if (value != normal) say(name + ("=" + std::to_string(value)));
  };
  if (policy.select != usual.select) say("select=" + std::string(Name(policy.select)));
  if (policy.select == Select::kHash) {
    say("hash-by=" +
        (policy.hash_header.empty() ? std::string("gid") : "header:" + policy.hash_header));
  }
  if (!policy.near.empty()) say("near=" + std::to_string(policy.near.size()));
  if (!policy.weights.empty()) say("weights=" + std::to_string(policy.weights.size()));
  if (policy.not_now == NotNow::kNext) say("on-not-now=next");
  if (policy.absence == Absence::kRefuse) say("on-absence=refuse");
  number("hedge-after-ms", policy.hedge_after.count(), usual.hedge_after.count());
  const BreakerSettings& breaker = policy.breaker;
  if (breaker.on) say("breaker=true");
  if (breaker.of_service) say("breaker-of-service=true");
  number("breaker-failure-percent", breaker.failure_percent, usual.breaker.failure_percent);
  number("breaker-slow-percent", breaker.slow_percent, usual.breaker.slow_percent);
  number("breaker-slow-ms", breaker.slow.count(), usual.breaker.slow.count());
  number("breaker-window-ms", breaker.window.count(), usual.breaker.window.count());
  number("breaker-min-calls", breaker.min_calls_count, usual.breaker.min_calls_count);
  number("breaker-open-ms", breaker.open.count(), usual.breaker.open.count());
  number("breaker-probes", breaker.probes_count, usual.breaker.probes_count);
  number("concurrency", policy.limit.concurrency, usual.limit.concurrency);
  if (policy.limit.adaptive) say("adaptive=true");
  number("slow-start", policy.limit.slow_start, usual.limit.slow_start);
  number("rate-per-second", policy.rate_per_second, usual.rate_per_second);
  number("retry-percent", policy.retry_percent, usual.retry_percent);
  return text;
}

}  // namespace assent::traffic
