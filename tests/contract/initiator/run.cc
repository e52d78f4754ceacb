#include "tests/contract/initiator/run.h"

#include <algorithm>
#include <utility>

#include "tests/contract/initiator/rules.h"

namespace assent::contract {

Outcome RunInitiator(const InitiatorOptions& options,
                     const std::function<void(const Verdict&)>& said) {
  Outcome outcome;
  for (const InitiatorRule& rule : InitiatorRules()) {
    if (!options.rules.empty() &&
        std::count(options.rules.begin(), options.rules.end(), rule.name) == 0)
      continue;
    const auto begin = std::chrono::steady_clock::now();
    Findings findings;
    {
      Trial trial(options, rule.name, findings);
      trial.call = rule.call;
      rule.check(trial);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    Verdict verdict = VerdictOf(rule.name, rule.sentence, findings, seconds.count());
    said(verdict);
    outcome.verdicts.push_back(std::move(verdict));
  }
  return outcome;
}

}  // namespace assent::contract
