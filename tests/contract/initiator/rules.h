#pragma once

// The rules of initiators, as a table: docs/contract.md has the same rows.

#include <vector>

#include "tests/contract/initiator/trial.h"

namespace assent::contract {

struct InitiatorRule {
  const char* name;
  const char* call;  // which of the command's calls it looks at
  const char* sentence;
  void (*check)(Trial&);
};
const std::vector<InitiatorRule>& InitiatorRules();

}  // namespace assent::contract
