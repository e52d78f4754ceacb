#include "coordinator/traffic/policy_file.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/core/spec.h"
#include "proto/toml/read_toml.h"

namespace assent::traffic {
namespace {

constexpr std::int64_t kMaxMs = 3'600'000;
constexpr std::int64_t kMaxCommandsCount = 65'536;
constexpr unsigned kMaxWeight = 1'000;

// One thing that a policy says. Of `set`: what is wrong with the value; empty: nothing. Of `show`:
// the value, as people read it.
struct Word {
  std::string_view name;
  std::function<std::string(Policy&, const TomlEntry&)> set;
  std::function<std::string(Policy)> show;
};

std::string Quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

template <typename T>
using Where = T& (*)(Policy&);

std::string TextOf(std::uint64_t number) { return std::to_string(number); }
std::string TextOf(core::Millis time) { return std::to_string(time.count()); }

// A whole number: of commands, of a hundred, of milliseconds.
template <typename T>
Word Number(std::string_view name, Where<T> where, std::int64_t least, std::int64_t most) {
  const auto set = [=](Policy& policy, const TomlEntry& entry) -> std::string {
    std::int64_t value = 0;
    const std::string& text = entry.values.front();
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, value);
    if (entry.kind != TomlKind::kNumber || error != std::errc() || end != last || value < least ||
        value > most) {
      return entry.name + " takes a whole number from " + std::to_string(least) + " to " +
             std::to_string(most);
    }
    where(policy) = T(value);
    return {};
  };
  return {name, set, [where](Policy policy) { return TextOf(where(policy)); }};
}

Word Time(std::string_view name, Where<core::Millis> where, std::int64_t least) {
  return Number<core::Millis>(name, where, least, kMaxMs);
}

Word Truth(std::string_view name, Where<bool> where) {
  const auto set = [where](Policy& policy, const TomlEntry& entry) -> std::string {
    if (entry.kind != TomlKind::kTruth) return entry.name + " takes true or false";
    where(policy) = entry.values.front() == "true";
    return {};
  };
  return {name, set, [where](Policy policy) { return where(policy) ? "true" : "false"; }};
}

template <typename T>
Word OneOf(std::string_view name, Where<T> where,
           const std::vector<std::pair<std::string_view, T>>& words) {
  const auto set = [=](Policy& policy, const TomlEntry& entry) -> std::string {
    std::string known;
    for (const auto& [word, value] : words) {
      if (entry.kind == TomlKind::kText && entry.values.front() == word) {
        where(policy) = value;
        return {};
      }
      known += (known.empty() ? "" : ", ") + Quoted(word);
    }
    return entry.name + " takes one of " + known;
  };
  const auto show = [=](Policy policy) {
    const auto at = std::find_if(words.begin(), words.end(),
                                 [&](const auto& one) { return one.second == where(policy); });
    return std::string(at->first);
  };
  return {name, set, show};
}

std::string SetHashBy(Policy& policy, const TomlEntry& entry) {
  constexpr std::string_view kHeader = "header:";
  const std::string& text = entry.values.front();
  const bool is_header = text.rfind(kHeader, 0) == 0 && text.size() > kHeader.size();
  if (entry.kind != TomlKind::kText || (text != "gid" && !is_header))
    return "hash-by takes \"gid\", or \"header:NAME\" of a header of the branch";
  policy.hash_header = is_header ? text.substr(kHeader.size()) : "";
  return {};
}

// It matters to a hash alone.
std::string ShowHashBy(const Policy& policy) {
  if (policy.select != Select::kHash) return {};
  return policy.hash_header.empty() ? "gid" : "header:" + policy.hash_header;
}

std::string SetNear(Policy& policy, const TomlEntry& entry) {
  policy.near = entry.values;
  for (const std::string& one : policy.near) {
    if (one.empty()) return "near takes beginnings of addresses or instances, and one is empty";
  }
  return {};
}

// "10.0.0.7:7001=3".
std::string SetWeights(Policy& policy, const TomlEntry& entry) {
  policy.weights.clear();
  for (const std::string& one : entry.values) {
    const std::size_t at = one.rfind('=');
    unsigned weight = 0;
    const char* const last = one.data() + one.size();
    const char* const first = at == std::string::npos ? last : one.data() + at + 1;
    const auto [end, error] = std::from_chars(first, last, weight);
    if (at == 0 || first == last || error != std::errc() || end != last || weight > kMaxWeight) {
      return "weights takes a list of \"INSTANCE=WEIGHT\", or \"ADDRESS=WEIGHT\", with a whole "
             "number up to " +
             std::to_string(kMaxWeight) + ": " + one + " is none";
    }
    policy.weights[one.substr(0, at)] = weight;
  }
  return {};
}

// In the order in which they are shown.
const std::vector<Word>& Words() {
  using P = Policy;
  static const std::vector<Word> words = {
      OneOf<Select>("select", [](P& p) -> Select& { return p.select; },
                    {{"round-robin", Select::kRoundRobin},
                     {"random", Select::kRandom},
                     {"weighted", Select::kWeighted},
                     {"least-in-flight", Select::kLeastInFlight},
                     {"hash", Select::kHash}}),
      {"hash-by", SetHashBy, ShowHashBy},
      {"near", SetNear, [](const P& p) { return std::to_string(p.near.size()); }},
      {"weights", SetWeights, [](const P& p) { return std::to_string(p.weights.size()); }},
      OneOf<NotNow>("on-not-now", [](P& p) -> NotNow& { return p.not_now; },
                    {{"wait", NotNow::kWait}, {"next", NotNow::kNext}}),
      OneOf<Absence>("on-absence", [](P& p) -> Absence& { return p.absence; },
                     {{"wait", Absence::kWait}, {"refuse", Absence::kRefuse}}),
      Time(
          "hedge-after-ms", [](P& p) -> core::Millis& { return p.hedge_after; }, 0),
      Truth("breaker", [](P& p) -> bool& { return p.breaker.on; }),
      Truth("breaker-of-service", [](P& p) -> bool& { return p.breaker.of_service; }),
      Number<unsigned>(
          "breaker-failure-percent", [](P& p) -> unsigned& { return p.breaker.failure_percent; }, 1,
          100),
      Number<unsigned>(
          "breaker-slow-percent", [](P& p) -> unsigned& { return p.breaker.slow_percent; }, 0, 100),
      Time(
          "breaker-slow-ms", [](P& p) -> core::Millis& { return p.breaker.slow; }, 1),
      Time(
          "breaker-window-ms", [](P& p) -> core::Millis& { return p.breaker.window; }, 100),
      Number<unsigned>(
          "breaker-min-calls", [](P& p) -> unsigned& { return p.breaker.min_calls_count; }, 1,
          100'000),
      Time(
          "breaker-open-ms", [](P& p) -> core::Millis& { return p.breaker.open; }, 10),
      Number<unsigned>(
          "breaker-probes", [](P& p) -> unsigned& { return p.breaker.probes_count; }, 1, 1'000),
      Number<std::size_t>(
          "concurrency", [](P& p) -> std::size_t& { return p.limit.concurrency; }, 0,
          kMaxCommandsCount),
      Truth("adaptive", [](P& p) -> bool& { return p.limit.adaptive; }),
      Number<std::size_t>(
          "slow-start", [](P& p) -> std::size_t& { return p.limit.slow_start; }, 0,
          kMaxCommandsCount),
      Number<unsigned>(
          "rate-per-second", [](P& p) -> unsigned& { return p.rate_per_second; }, 0, 1'000'000),
      Number<unsigned>(
          "retry-percent", [](P& p) -> unsigned& { return p.retry_percent; }, 0, 1'000),
  };
  return words;
}

// What is wrong; empty: nothing.
std::string Take(const TomlEntry& entry, Policy& policy) {
  std::string known;
  for (const Word& word : Words()) {
    known += (known.empty() ? "" : ", ") + std::string(word.name);
    if (word.name != entry.name) continue;
    const bool list = entry.name == "near" || entry.name == "weights";
    if (list != (entry.kind == TomlKind::kList))
      return entry.name + (list ? " takes a list of texts: [\"…\"]" : " takes no list");
    return word.set(policy, entry);
  }
  return "there is no " + entry.name + " for a service; there are " + known;
}

}  // namespace

std::string Describe(const Policy& policy) {
  const Policy usual;
  std::string text;
  for (const Word& word : Words()) {
    const std::string value = word.show(policy);
    if (value == word.show(usual)) continue;
    text += (text.empty() ? "" : " ") + std::string(word.name) + "=" + value;
  }
  return text;
}

Result<Policies> ReadPolicies(const std::string& text, const std::string& path) {
  if (text.size() > kMaxPolicyFileBytes) {
    return InvalidArgument(path + " has more than " + std::to_string(kMaxPolicyFileBytes) +
                           " bytes, and no file of policies needs so many");
  }
  auto entries = ReadToml(text, path);
  if (!entries.ok()) return entries.status();
  const auto fail = [&](const TomlEntry& entry, const std::string& what) {
    return InvalidArgument(path + ":" + std::to_string(entry.line) + ": " + what);
  };
  Policies policies;
  for (const TomlEntry& entry : *entries) {
    const bool is_section = entry.name.empty();
    if (is_section) {
      if (Status status = core::CheckServiceName(entry.section, "section"); !status.ok())
        return fail(entry, status.message());
      if (policies.by_service.size() == kMaxPoliciesCount)
        return fail(entry, "more than " + std::to_string(kMaxPoliciesCount) + " services");
      policies.by_service.emplace(entry.section, policies.all);
      continue;
    }
    Policy& policy = entry.section.empty() ? policies.all : policies.by_service.at(entry.section);
    if (std::string wrong = Take(entry, policy); !wrong.empty()) return fail(entry, wrong);
  }
  return policies;
}

}  // namespace assent::traffic
