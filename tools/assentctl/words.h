#pragma once

// The words of the wire, as people read and type them. Enum values this program does not know (a
// newer daemon's) are shown by their number.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "assent/v1/events.pb.h"
#include "assent/v1/types.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// "ACTIVE", "RETRY_LATER": the names of the proto; "" for the unspecified value.
std::string Word(v1::TransactionState value);
std::string Word(v1::BranchState value);
std::string Word(v1::Operation value);
std::string Word(v1::Outcome value);
std::string Word(v1::Attempt::Result value);
// "COMMIT", "ABORT".
std::string Word(v1::Decision value);
// "2pc", "tcc", "saga".
std::string Word(v1::Protocol value);
// "needs-person".
std::string Word(v1::EventKind value);

Tone ToneOf(v1::TransactionState value);
Tone ToneOf(v1::BranchState value);
Tone ToneOf(v1::Outcome value);
Tone ToneOf(v1::Attempt::Result value);

// Case does not matter; "2pc" and "two_phase" are one.
std::optional<v1::TransactionState> ReadState(std::string_view text);
std::optional<v1::Outcome> ReadOutcome(std::string_view text);
std::optional<v1::Protocol> ReadProtocol(std::string_view text);
std::optional<v1::EventKind> ReadEventKind(std::string_view text);

// What those take, for messages and for completion.
std::vector<std::string> StateChoices();
std::vector<std::string> OutcomeChoices();
std::vector<std::string> ProtocolChoices();
std::vector<std::string> EventKindChoices();

std::string Lower(std::string_view text);

// PREPARE, TRY, ACTION.
bool IsForward(v1::Operation operation);
// Nothing more will happen to it.
bool IsFinal(v1::BranchState state);

}  // namespace assent::ctl
