#include "tools/assent-sim/scenarios.h"

#include <array>
#include <cstddef>
#include <utility>

#include "coordinator/core/spec.h"
#include "tools/assent-sim/ledger.h"

namespace assent::sim {
namespace {

using core::Protocol;

Options SmallWorld(std::size_t branches, bool unary) {
  Options o;
  o.transactions = 1;
  o.services = static_cast<std::uint32_t>(branches);
  o.max_branches = static_cast<std::uint32_t>(branches);
  o.accounts = 1;
  o.unary_services = unary ? o.services : 0;
  o.net_max = 100;
  o.turn_max = 10;
  o.log_write_max = 20;
  o.log_sync_max = 100;
  o.group_max = 20;
  o.commit_max = 100;
  o.window = 0;
  o.restart_max = 2 * kMillisecond;
  o.deadline = 3 * kSecond;
  o.attempt_timeout = 200 * kMillisecond;
  o.backoff = 4 * kMillisecond;
  o.max_backoff = 40 * kMillisecond;
  o.keepalive = 20 * kMillisecond;
  return o;
}

enum class Ending : std::uint8_t { kAllYes, kLastRefuses };
enum class Special : std::uint8_t { kNone, kPivot, kInteractive };

Scenario Make(std::string name, const std::vector<Protocol>& protocols, Ending ending,
              Special special, bool unary) {
  Scenario scenario{std::move(name), SmallWorld(protocols.size(), unary), {}};
  TransactionPlan plan;
  plan.gid = Ledger::GidOf(0);
  plan.spec.gid = plan.gid;
  plan.spec.deadline = core::Millis(scenario.options.deadline / kMillisecond);
  std::vector<core::BranchSpec> specs;
  for (std::size_t i = 0; i < protocols.size(); ++i) {
    BranchPlan branch;
    branch.protocol = protocols[i];
    branch.service = static_cast<std::uint32_t>(i);
    branch.amount = i + 1 == protocols.size() ? -static_cast<std::int64_t>(i) : 1;
    branch.refuse = ending == Ending::kLastRefuses && i + 1 == protocols.size();
    branch.pivot = special == Special::kPivot && i == 1;
    branch.payload = plan.gid + "." + std::to_string(i);
    core::BranchSpec spec;
    spec.id = Ledger::BranchIdOf(i);
    spec.protocol = branch.protocol;
    spec.service = "s" + std::to_string(i);
    spec.action = "act";
    spec.payload = branch.payload;
    spec.pivot = branch.pivot;
    spec.receive_results = true;
    spec.attempt_timeout = core::Millis(scenario.options.attempt_timeout / kMillisecond);
    spec.retry.initial_backoff = core::Millis(scenario.options.backoff / kMillisecond);
    spec.retry.max_backoff = core::Millis(scenario.options.max_backoff / kMillisecond);
    specs.push_back(std::move(spec));
    plan.branches.push_back(std::move(branch));
  }
  if (special == Special::kInteractive) {
    plan.form = InitiatorForm::kInteractive;
    plan.spec.open = true;
    plan.added = std::move(specs);
  } else {
    plan.spec.branches = std::move(specs);
  }
  ASSENT_CHECK(core::Normalise(plan.spec).ok());
  scenario.plans.push_back(std::move(plan));
  return scenario;
}

struct Named {
  const char* name;
  std::vector<Protocol> protocols;
};

std::vector<Named> Mixes() {
  constexpr Protocol k2 = Protocol::kTwoPhase;
  constexpr Protocol kT = Protocol::kTcc;
  constexpr Protocol kS = Protocol::kSaga;
  return {{"2pc x2", {k2, k2}},     {"2pc x3", {k2, k2, k2}}, {"tcc x2", {kT, kT}},
          {"tcc x3", {kT, kT, kT}}, {"saga x2", {kS, kS}},    {"saga x3", {kS, kS, kS}},
          {"2pc+tcc", {k2, kT}},    {"2pc+saga", {k2, kS}},   {"2pc+tcc+saga", {k2, kT, kS}}};
}

}  // namespace

std::vector<Scenario> CrashScenarios() {
  std::vector<Scenario> all;
  for (const Named& mix : Mixes()) {
    const std::string name = mix.name;
    all.push_back(Make(name, mix.protocols, Ending::kAllYes, Special::kNone, false));
    all.push_back(
        Make(name + ", refused", mix.protocols, Ending::kLastRefuses, Special::kNone, false));
  }
  all.push_back(Make("one phase", {Protocol::kTwoPhase}, Ending::kAllYes, Special::kNone, false));
  all.push_back(Make("saga x3, pivot", {Protocol::kSaga, Protocol::kSaga, Protocol::kSaga},
                     Ending::kAllYes, Special::kPivot, false));
  all.push_back(Make("2pc x2, interactive", {Protocol::kTwoPhase, Protocol::kTwoPhase},
                     Ending::kAllYes, Special::kInteractive, false));
  all.push_back(Make("tcc x2, interactive", {Protocol::kTcc, Protocol::kTcc}, Ending::kAllYes,
                     Special::kInteractive, false));
  return all;
}

std::vector<Scenario> InterleavingScenarios() {
  std::vector<Scenario> all;
  constexpr std::array kProtocols = {Protocol::kTwoPhase, Protocol::kTcc, Protocol::kSaga};
  for (const Protocol protocol : kProtocols) {
    const std::string name(core::Name(protocol));
    all.push_back(Make(name + " x1", {protocol}, Ending::kAllYes, Special::kNone, true));
    all.push_back(Make(name + " x2", {protocol, protocol}, Ending::kAllYes, Special::kNone, true));
    all.push_back(Make(name + " x2, refused", {protocol, protocol}, Ending::kLastRefuses,
                       Special::kNone, true));
  }
  all.push_back(Make("2pc+tcc", {Protocol::kTwoPhase, Protocol::kTcc}, Ending::kAllYes,
                     Special::kNone, true));
  return all;
}

}  // namespace assent::sim
