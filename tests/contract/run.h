#pragma once

// Holds one participant to the rules.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "tests/contract/limits.h"
#include "tests/contract/verdict.h"

namespace assent::contract {

struct ParticipantOptions {
  std::string session;      // where to listen, or
  std::string unary;        // where to dial (with a command, port 0: one is picked), or
  std::string http;         // the same, a URL
  std::string secret_file;  // with `http`: what is signed with; empty: nothing is
  std::string start;        // the command; empty: somebody else runs it
  // "2pc", "tcc", "saga". Empty: what its Hello says; unary: what is not refused.
  std::vector<std::string> protocols;
  std::vector<std::string> rules;  // empty: all
  std::string output_file;         // what the command writes; empty: nowhere
  std::chrono::milliseconds patience = kDefaultPatience;
};

struct Outcome {
  std::vector<Verdict> verdicts;
  std::string failure;  // not empty: it could not be looked at at all
};

// `said` is called with each verdict as it is made.
Outcome RunParticipant(const ParticipantOptions& options,
                       const std::function<void(const Verdict&)>& said);

}  // namespace assent::contract
