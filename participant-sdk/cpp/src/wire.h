#pragma once

// Between the wire's messages and the SDK's values. Pure; the only place that knows both.

#include <cstddef>
#include <string>

#include <assent/call.h>
#include <assent/resource.h>
#include <assent/status.h>
#include <assent/transaction.h>

namespace assent::v1 {
class BranchCommand;
class BranchReply;
class OutcomeAnswer;
class OutcomeQuery;
class SubmitReply;
class SubmitRequest;
class ExecuteBranchReply;
class BranchSpec;
class TransactionSpec;
}  // namespace assent::v1

namespace assent::internal {

// Takes the command's bytes. kInvalidArgument: no gid, no branch, an operation unknown or of
// another protocol; such a command is answered, but never executed.
Result<Call> TakeCall(v1::BranchCommand* command);
// Fills kind, result, reason and retry_after_ms. Whatever a handler made up comes out as something
// that the contract allows for this operation: a result over its limit, or an answer that the
// operation does not have, becomes "retry later" with a reason that names the mistake.
void PutReply(Operation operation, Reply reply, v1::BranchReply* out);

void PutQuery(const HeldBranch& branch, v1::OutcomeQuery* out);

void PutTransaction(const Transaction& transaction, v1::TransactionSpec* out);
// Bytes that somebody else has made of a request of this gid. What a newer version has put into
// them stays. kInvalidArgument: they are none.
Result<v1::SubmitRequest> TakeRequest(const std::string& bytes, const std::string& gid);
void PutBranch(const Branch& branch, v1::BranchSpec* out);
// The codes of the wire are our codes, where we have them.
Code CodeOf(int wire_code);
Report TakeReport(v1::SubmitReply* reply);
BranchResult TakeBranchResult(v1::ExecuteBranchReply* reply);

}  // namespace assent::internal
