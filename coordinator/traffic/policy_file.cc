#include "coordinator/traffic/policy_file.h"

#include <array>
#include <charconv>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "coordinator/core/spec.h"
#include "proto/toml/read_toml.h"

namespace assent::traffic {
namespace {

struct SelectName {
  Select select;
  std::string_view name;
};
constexpr std::array kSelects = {
    SelectName{Select::kRoundRobin, "round-robin"}, SelectName{Select::kRandom, "random"},
    SelectName{Select::kWeighted, "weighted"},
    SelectName{Select::kLeastInFlight, "least-in-flight"}, SelectName{Select::kHash, "hash"}};

constexpr std::int64_t kMaxMs = 3'600'000;
constexpr std::int64_t kMaxCommandsCount = 65'536;

// What is wrong with the value; empty: nothing.
using Set = std::function<std::string(Policy&, const TomlEntry&)>;
struct Name_ {
  std::string_view name;
  Set set;
};

std::string Quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

template <typename T>
Set Number(std::function<T&(Policy&)> where, std::int64_t least, std::int64_t most) {
  return [=](Policy& policy, const TomlEntry& entry) -> std::string {
    std::int64_t value = 0;
    const std::string& text = entry.values.empty() ? entry.name : entry.values.front();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (entry.kind != TomlKind::kNumber || error != std::errc() ||
        end != text.data() + text.size() || value < least || value > most) {
      return entry.name + " takes a whole number from " + std::to_string(least) + " to " +
             std::to_string(most);
    }
    where(policy) = T(value);
    return {};
  };
}

Set Millis(std::function<core::Millis&(Policy&)> where, std::int64_t least) {
  return Number<core::Millis>(std::move(where), least, kMaxMs);
}

Set Truth(std::function<bool&(Policy&)> where) {
  return [=](Policy& policy, const TomlEntry& entry) -> std::string {
    if (entry.kind != TomlKind::kTruth) return entry.name + " takes true or false";
    where(policy) = entry.values.front() == "true";
    return {};
  };
}

template <typename T>
Set OneOf(std::function<T&(Policy&)> where, std::vector<std::pair<std::string_view, T>> words) {
  return [=](Policy& policy, const TomlEntry& entry) -> std::string {
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
}

std::string SetHashBy(Policy& policy, const TomlEntry& entry) {
  constexpr std::string_view kHeader = "header:";
  const std::string text = entry.values.empty() ? "" : entry.values.front();
  const bool is_header = text.rfind(kHeader, 0) == 0 && text.size() > kHeader.size();
  if (entry.kind != TomlKind::kText || (text != "gid" && !is_header))
    return "hash-by takes \"gid\", or \"header:NAME\" of a header of the branch";
  policy.hash_header = is_header ? text.substr(kHeader.size()) : "";
  return {};
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
  constexpr unsigned kMaxWeight = 1'000;
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

const std::vector<Name_>& Names() {
  using P = Policy;
  static const std::vector<Name_> names = {
      {"select", OneOf<Select>([](P& p) -> Select& { return p.select; },
                               [] {
                                 std::vector<std::pair<std::string_view, Select>> words;
                                 for (const SelectName& one : kSelects)
                                   words.emplace_back(one.name, one.select);
                                 return words;
                               }())},
      {"hash-by", SetHashBy},
      {"near", SetNear},
      {"weights", SetWeights},
      {"on-not-now", OneOf<NotNow>([](P& p) -> NotNow& { return p.not_now; },
                                   {{"wait", NotNow::kWait}, {"next", NotNow::kNext}})},
      {"on-absence", OneOf<Absence>([](P& p) -> Absence& { return p.absence; },
                                    {{"wait", Absence::kWait}, {"refuse", Absence::kRefuse}})},
      {"hedge-after-ms", Millis([](P& p) -> core::Millis& { return p.hedge_after; }, 0)},
      {"breaker", Truth([](P& p) -> bool& { return p.breaker.on; })},
      {"breaker-of-service", Truth([](P& p) -> bool& { return p.breaker.of_service; })},
      {"breaker-failure-percent",
       Number<unsigned>([](P& p) -> unsigned& { return p.breaker.failure_percent; }, 1, 100)},
      {"breaker-slow-percent",
       Number<unsigned>([](P& p) -> unsigned& { return p.breaker.slow_percent; }, 0, 100)},
      {"breaker-slow-ms", Millis([](P& p) -> core::Millis& { return p.breaker.slow; }, 1)},
      {"breaker-window-ms", Millis([](P& p) -> core::Millis& { return p.breaker.window; }, 100)},
      {"breaker-min-calls",
       Number<unsigned>([](P& p) -> unsigned& { return p.breaker.min_calls_count; }, 1, 100'000)},
      {"breaker-open-ms", Millis([](P& p) -> core::Millis& { return p.breaker.open; }, 10)},
      {"breaker-probes",
       Number<unsigned>([](P& p) -> unsigned& { return p.breaker.probes_count; }, 1, 1'000)},
      {"concurrency", Number<std::size_t>([](P& p) -> std::size_t& { return p.limit.concurrency; },
                                          0, kMaxCommandsCount)},
      {"adaptive", Truth([](P& p) -> bool& { return p.limit.adaptive; })},
      {"slow-start", Number<std::size_t>([](P& p) -> std::size_t& { return p.limit.slow_start; }, 0,
                                         kMaxCommandsCount)},
      {"rate-per-second",
       Number<unsigned>([](P& p) -> unsigned& { return p.rate_per_second; }, 0, 1'000'000)},
      {"retry-percent",
       Number<unsigned>([](P& p) -> unsigned& { return p.retry_percent; }, 0, 1'000)},
  };
  return names;
}

std::string Known() {
  std::string known;
  for (const Name_& one : Names()) known += (known.empty() ? "" : ", ") + std::string(one.name);
  return known;
}

// What is wrong; empty: nothing.
std::string Take(const TomlEntry& entry, Policy& policy) {
  for (const Name_& one : Names()) {
    if (one.name != entry.name) continue;
    const bool list = entry.name == "near" || entry.name == "weights";
    if (list != (entry.kind == TomlKind::kList))
      return entry.name + (list ? " takes a list of texts: [\"…\"]" : " takes no list");
    return one.set(policy, entry);
  }
  return "there is no " + entry.name + " for a service; there are " + Known();
}

}  // namespace

std::string_view Name(Select select) {
  for (const SelectName& one : kSelects) {
    if (one.select == select) return one.name;
  }
  return "?";
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
