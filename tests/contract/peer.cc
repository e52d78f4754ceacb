#include "tests/contract/peer.h"

#include <assent/limits.h>

namespace assent::contract {
namespace {

std::string Named(const v1::BranchCommand& command) {
  return v1::Operation_Name(command.operation()) + " of " + command.gid() + "/" +
         command.branch_id();
}

bool IsForward(v1::Operation operation) {
  return operation == v1::PREPARE || operation == v1::TRY || operation == v1::ACTION;
}

}  // namespace

std::vector<Fault> ReplyFaults(const v1::BranchCommand& command, const v1::BranchReply& reply) {
  std::vector<Fault> faults;
  if (reply.gid() != command.gid() || reply.branch_id() != command.branch_id() ||
      reply.operation() != command.operation()) {
    faults.push_back({"the reply to " + Named(command) + " echoes gid, branch_id and operation",
                      v1::Operation_Name(reply.operation()) + " of " + Printable(reply.gid()) +
                          "/" + Printable(reply.branch_id())});
  }
  if (reply.command_id() != command.command_id()) {
    faults.push_back({"the reply to " + Named(command) + " echoes command_id " +
                          std::to_string(command.command_id()) +
                          (command.command_id() == 0 ? " (unary)" : ""),
                      std::to_string(reply.command_id())});
  }
  if (reply.kind() == v1::BranchReply::DONE_READ_ONLY && command.operation() != v1::PREPARE) {
    faults.push_back({"DONE_READ_ONLY answers PREPARE alone",
                      v1::Operation_Name(command.operation()) + " was answered so"});
  }
  if (reply.result().size() > limits::kMaxResultBytes) {
    faults.push_back({"a result has at most " + std::to_string(limits::kMaxResultBytes) + " bytes",
                      std::to_string(reply.result().size())});
  }
  if (!reply.blocked_by_gid().empty() &&
      (reply.kind() != v1::BranchReply::RETRY_LATER || !IsForward(command.operation()))) {
    faults.push_back({"blocked_by_gid stands in RETRY_LATER of a forward operation alone",
                      Named(command) + ": " + Shown(reply)});
  }
  return faults;
}

std::string Shown(const v1::BranchReply& reply) {
  std::string shown = v1::BranchReply::Kind_Name(reply.kind());
  if (shown.empty()) shown = "kind " + std::to_string(reply.kind());
  if (!reply.result().empty()) shown += " with the result " + Printable(reply.result());
  if (!reply.reason().empty()) shown += ": " + Printable(reply.reason());
  return shown;
}

std::string Shown(const Answer& answer) {
  return answer.reply ? Shown(*answer.reply) : "no answer: " + Printable(answer.why);
}

bool SameReply(const v1::BranchReply& a, const v1::BranchReply& b) {
  return a.kind() == b.kind() && a.result() == b.result() && a.reason() == b.reason();
}

}  // namespace assent::contract
