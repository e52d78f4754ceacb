#pragma once

// Holds one initiator to the rules.

#include <functional>

#include "tests/contract/initiator/trial.h"
#include "tests/contract/run.h"

namespace assent::contract {

Outcome RunInitiator(const InitiatorOptions& options,
                     const std::function<void(const Verdict&)>& said);

}  // namespace assent::contract
