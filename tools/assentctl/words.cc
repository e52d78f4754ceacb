#include "tools/assentctl/words.h"

#include <algorithm>

#include "proto/words/words.h"

namespace assent::ctl {
namespace {

// The value's name on the wire; its number if it is newer than this program; "" for the zero value.
template <typename Enum>
std::string WireName(Enum value, const std::string& name) {
  if (value == Enum{}) return "";
  return name.empty() ? "#" + std::to_string(static_cast<int>(value)) : name;
}

}  // namespace

std::string Word(v1::TransactionState value) {
  return WireName(value, v1::TransactionState_Name(value));
}
std::string Word(v1::BranchState value) { return WireName(value, v1::BranchState_Name(value)); }
std::string Word(v1::Operation value) { return WireName(value, v1::Operation_Name(value)); }
std::string Word(v1::Outcome value) { return WireName(value, v1::Outcome_Name(value)); }
std::string Word(v1::Attempt::Result value) {
  return WireName(value, v1::Attempt::Result_Name(value));
}

std::string Word(v1::Decision value) {
  if (value == v1::DECISION_COMMIT) return "COMMIT";
  if (value == v1::DECISION_ABORT) return "ABORT";
  return WireName(value, "");
}

std::string Word(v1::Protocol value) {
  const auto known = wire::FromWire<Protocol>(value);
  return known ? std::string(Name(*known)) : WireName(value, "");
}

std::string Word(v1::EventKind value) {
  std::string word = Lower(WireName(value, v1::EventKind_Name(value)));
  std::replace(word.begin(), word.end(), '_', '-');
  return word;
}

Tone ToneOf(v1::TransactionState value) {
  if (value == v1::FINISHED) return Tone::kDim;
  return value == v1::ABORTING ? Tone::kWarn : Tone::kPlain;
}

Tone ToneOf(v1::BranchState value) {
  if (value == v1::DONE || value == v1::READ_ONLY) return Tone::kGood;
  if (value == v1::REFUSED) return Tone::kBad;
  if (value == v1::UNDOING) return Tone::kWarn;
  if (value == v1::SKIPPED || value == v1::UNDONE || value == v1::WAITING) return Tone::kDim;
  return Tone::kPlain;
}

Tone ToneOf(v1::Outcome value) {
  if (value == v1::COMMITTED) return Tone::kGood;
  if (value == v1::ABORTED) return Tone::kWarn;
  return Tone::kBad;
}

Tone ToneOf(v1::Attempt::Result value) {
  if (value == v1::Attempt::DONE || value == v1::Attempt::DONE_READ_ONLY) return Tone::kGood;
  if (value == v1::Attempt::REFUSED || value == v1::Attempt::UNKNOWN) return Tone::kBad;
  return Tone::kWarn;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::optional<v1::TransactionState> ReadState(std::string_view text) {
  for (const auto state : {v1::ACTIVE, v1::COMMITTING, v1::ABORTING, v1::FINISHED}) {
    if (Lower(text) == Lower(Word(state))) return state;
  }
  return std::nullopt;
}

std::optional<v1::Outcome> ReadOutcome(std::string_view text) {
  for (const auto outcome : {v1::COMMITTED, v1::ABORTED, v1::MIXED, v1::HAZARD}) {
    if (Lower(text) == Lower(Word(outcome))) return outcome;
  }
  return std::nullopt;
}

std::optional<v1::Protocol> ReadProtocol(std::string_view text) {
  const std::string lower = Lower(text);
  if (lower == "two_phase" || lower == "two-phase") return v1::TWO_PHASE;
  for (const auto protocol : {v1::TWO_PHASE, v1::TCC, v1::SAGA}) {
    if (lower == Word(protocol)) return protocol;
  }
  return std::nullopt;
}

std::optional<v1::EventKind> ReadEventKind(std::string_view text) {
  std::string lower = Lower(text);
  std::replace(lower.begin(), lower.end(), '_', '-');
  for (int kind = v1::BEGAN; kind <= v1::EventKind_MAX; ++kind) {
    if (lower == Word(static_cast<v1::EventKind>(kind))) return static_cast<v1::EventKind>(kind);
  }
  return std::nullopt;
}

std::vector<std::string> EventKindChoices() {
  std::vector<std::string> choices;
  for (int kind = v1::BEGAN; kind <= v1::EventKind_MAX; ++kind)
    choices.push_back(Word(static_cast<v1::EventKind>(kind)));
  return choices;
}

std::vector<std::string> StateChoices() { return {"active", "committing", "aborting", "finished"}; }
std::vector<std::string> OutcomeChoices() { return {"committed", "aborted", "mixed", "hazard"}; }
std::vector<std::string> ProtocolChoices() { return {"2pc", "tcc", "saga"}; }

bool IsForward(v1::Operation operation) {
  return assent::IsForward(wire::FromWire<Operation>(operation).value_or(kNoOperation));
}

bool IsFinal(v1::BranchState state) {
  return assent::IsFinal(wire::FromWire<BranchState>(state).value_or(BranchState::kUnknown));
}

}  // namespace assent::ctl
