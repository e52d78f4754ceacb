#pragma once

// The words of the vocabulary as assent.v1 has them: the only place that casts between the two,
// which words.cc holds to the same numbers.

#include <optional>

#include <assent/event_kind.h>
#include <assent/operation.h>
#include <assent/states.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "assent/v1/types.pb.h"

namespace assent::wire {

// The twin of one of our enumerations, and the first and last of its values that are ours.
template <typename Wire, Wire kFirst, Wire kLast>
struct Twin {
  using Type = Wire;
  static constexpr Wire first = kFirst;
  static constexpr Wire last = kLast;
};
template <typename Ours>
struct TwinOf;
template <>
struct TwinOf<Protocol> : Twin<v1::Protocol, v1::TWO_PHASE, v1::Protocol_MAX> {};
template <>
struct TwinOf<Operation> : Twin<v1::Operation, v1::PREPARE, v1::Operation_MAX> {};
template <>
struct TwinOf<Decision> : Twin<v1::Decision, v1::DECISION_UNSPECIFIED, v1::Decision_MAX> {};
template <>
struct TwinOf<Outcome> : Twin<v1::Outcome, v1::OUTCOME_UNSPECIFIED, v1::Outcome_MAX> {};
template <>
struct TwinOf<TransactionState> : Twin<v1::TransactionState, v1::ACTIVE, v1::TransactionState_MAX> {
};
template <>
struct TwinOf<BranchState> : Twin<v1::BranchState, v1::WAITING, v1::BranchState_MAX> {};
template <>
struct TwinOf<AttemptResult>
    : Twin<v1::Attempt::Result, v1::Attempt::IN_FLIGHT, v1::Attempt::Result_MAX> {};
template <>
struct TwinOf<Ordering> : Twin<v1::Ordering, v1::ORDERING_UNSPECIFIED, v1::Ordering_MAX> {};
template <>
struct TwinOf<WaitFor> : Twin<v1::WaitFor, v1::WAIT_UNSPECIFIED, v1::WaitFor_MAX> {};
template <>
struct TwinOf<ReplyKind>
    : Twin<v1::BranchReply::Kind, v1::BranchReply::DONE, v1::BranchReply::Kind_MAX> {};
template <>
struct TwinOf<Verdict> : Twin<v1::OutcomeAnswer::Verdict, v1::OutcomeAnswer::UNDECIDED,
                              v1::OutcomeAnswer::Verdict_MAX> {};

template <>
struct TwinOf<CauseKind> : Twin<v1::CauseKind, v1::NOT_CONNECTED, v1::CauseKind_MAX> {};
template <>
struct TwinOf<EventKind> : Twin<v1::EventKind, v1::BEGAN, v1::EventKind_MAX> {};

template <typename Ours>
constexpr typename TwinOf<Ours>::Type ToWire(Ours word) {
  return static_cast<typename TwinOf<Ours>::Type>(word);
}

// Nothing: a value that this program does not know, or none at all. An enumeration of the wire
// holds any 32 bits; what is beyond ours must not become one of ours when it is narrowed.
template <typename Ours>
constexpr std::optional<Ours> FromWire(typename TwinOf<Ours>::Type word) {
  if (word < TwinOf<Ours>::first || word > TwinOf<Ours>::last) return std::nullopt;
  return static_cast<Ours>(word);
}

}  // namespace assent::wire
