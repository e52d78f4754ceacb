#pragma once

// What a branch is asked and what it answers: the three protocols' operations, said once for who
// asks, who answers and who shows. The numbers are those of assent.v1 (proto/words holds them to
// it), and are stored: never renumber.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace assent {

// How a branch is driven; see docs/protocols.md for what each guarantees.
enum class Protocol : std::uint8_t { kTwoPhase = 1, kTcc = 2, kSaga = 3 };

// What a branch is asked to do.
enum class Operation : std::uint8_t {
  kPrepare = 1,
  kCommit = 2,
  kRollback = 3,
  kTry = 4,
  kConfirm = 5,
  kCancel = 6,
  kAction = 7,
  kCompensate = 8,
};
// Where nothing is asked. No enumerator, so that no handler has to think about it.
inline constexpr Operation kNoOperation{};

// What an operation is to its branch, in every protocol.
enum class Role : std::uint8_t { kForward = 0, kFinish = 1, kUndo = 2 };

// How a participant answers.
enum class ReplyKind : std::uint8_t {
  kDone = 1,
  kDoneReadOnly = 2,
  kRefused = 3,
  kRetryLater = 4,
};

// The operations of one protocol, by role. kNoOperation: executing was all there was to do.
struct Operations {
  Operation forward;
  Operation finish;
  Operation undo;
};
inline constexpr std::array<Operations, 3> kOperations{{
    {Operation::kPrepare, Operation::kCommit, Operation::kRollback},
    {Operation::kTry, Operation::kConfirm, Operation::kCancel},
    {Operation::kAction, kNoOperation, Operation::kCompensate},
}};

constexpr const Operations& OperationsOf(Protocol protocol) {
  return kOperations[static_cast<std::size_t>(protocol) - 1];
}
// Of one of the eight.
constexpr Protocol ProtocolOf(Operation operation) {
  return operation <= Operation::kRollback ? Protocol::kTwoPhase
         : operation <= Operation::kCancel ? Protocol::kTcc
                                           : Protocol::kSaga;
}
constexpr Role RoleOf(Operation operation) {
  const Operations& all = OperationsOf(ProtocolOf(operation));
  return operation == all.forward ? Role::kForward
         : operation == all.undo  ? Role::kUndo
                                  : Role::kFinish;
}
constexpr bool IsForward(Operation operation) {
  return operation != kNoOperation && RoleOf(operation) == Role::kForward;
}

namespace internal {

// Names by number. They are literals, so that each ends in a NUL.
template <typename Word, std::size_t kCount>
constexpr std::string_view NameIn(const std::array<std::string_view, kCount>& names, Word word) {
  const auto number = static_cast<std::size_t>(word);
  return number < kCount ? names[number] : "?";
}
inline constexpr std::array<std::string_view, 4> kProtocolNames{"?", "2pc", "tcc", "saga"};
inline constexpr std::array<std::string_view, 9> kOperationNames{
    "NONE",   "PREPARE",   "COMMIT", "ROLLBACK",  //
    "TRY",    "CONFIRM",   "CANCEL",              //
    "ACTION", "COMPENSATE"};

}  // namespace internal

// "2pc"
constexpr std::string_view Name(Protocol protocol) {
  return internal::NameIn(internal::kProtocolNames, protocol);
}
// "PREPARE", as on the wire.
constexpr std::string_view Name(Operation operation) {
  return internal::NameIn(internal::kOperationNames, operation);
}

namespace internal {

constexpr bool OperationsHold() {
  for (std::uint8_t number = 1; number <= kOperations.size(); ++number) {
    const auto protocol = static_cast<Protocol>(number);
    const auto& [forward, finish, undo] = OperationsOf(protocol);
    if (ProtocolOf(forward) != protocol || RoleOf(forward) != Role::kForward) return false;
    if (ProtocolOf(undo) != protocol || RoleOf(undo) != Role::kUndo) return false;
    if (finish == kNoOperation) continue;
    if (ProtocolOf(finish) != protocol || RoleOf(finish) != Role::kFinish) return false;
  }
  return !IsForward(kNoOperation);
}
static_assert(OperationsHold());

}  // namespace internal

}  // namespace assent
