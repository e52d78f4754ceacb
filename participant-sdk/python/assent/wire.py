"""Between the values of this package and the messages of the wire. Here alone are both known."""

from typing import Any

from .call import Call, Reply
from .transaction import (Branch, BranchInfo, BranchResult, Report, Transaction, TransactionInfo, as_enum)
from .v1 import participant_pb2, transaction_pb2, types_pb2
from .words import BranchState, Kind, Operation, Outcome, Protocol, State


def ms(seconds: float) -> int:
    return int(round(seconds * 1000))


def branch_spec(branch: Branch) -> Any:
    return types_pb2.BranchSpec(
        branch_id=branch.id, protocol=int(branch.protocol), service=branch.service, action=branch.action, payload=branch.payload,
        after=branch.after, pivot=branch.pivot, check_back=branch.check_back, receive_results=branch.receive_results, headers=dict(branch.headers),
        attempt_timeout_ms=ms(branch.attempt_timeout),
        retry=types_pb2.RetryPolicy(initial_backoff_ms=ms(branch.initial_backoff), max_backoff_ms=ms(branch.max_backoff),
                                    max_attempts=branch.max_attempts))


def transaction_spec(transaction: Transaction) -> Any:
    return types_pb2.TransactionSpec(
        gid=transaction.gid, branches=[branch_spec(branch) for branch in transaction.branches], ordering=int(transaction.ordering),
        deadline_ms=ms(transaction.deadline), labels=transaction.labels, traceparent=transaction.traceparent,
        tracestate=transaction.tracestate)


def report_of(reply: Any) -> Report:
    return Report(reply.gid, as_enum(State, reply.state, State.UNKNOWN), as_enum(Outcome, reply.outcome, Outcome.HAZARD),
                  reply.abort_reason, dict(reply.results))


def branch_result_of(reply: Any) -> BranchResult:
    return BranchResult(reply.branch_id, reply.state == BranchState.REFUSED, reply.state == BranchState.READ_ONLY, reply.result,
                        reply.reason)


def info_of(message: Any) -> TransactionInfo:
    branches = tuple(
        BranchInfo(one.spec.branch_id, one.spec.protocol, one.spec.service, one.spec.action,
                   as_enum(BranchState, one.state, BranchState.UNKNOWN), one.result, one.attempt_count, one.last_error, one.needs_operator)
        for one in message.branches)
    return TransactionInfo(
        message.gid, as_enum(State, message.state, State.UNKNOWN), as_enum(Outcome, message.outcome, Outcome.HAZARD), message.open,
        message.suspended, branches, dict(message.labels), message.abort_reason, message.why_not_finished,
        *(at / 1000 for at in (message.began_unix_ms, message.deadline_unix_ms, message.decided_unix_ms, message.finished_unix_ms)))


def call_of(command: Any) -> Call:
    """ValueError says what is ill-formed."""
    if not command.gid or not command.branch_id:
        raise ValueError("it has no gid, or no branch_id")
    try:
        operation, protocol = Operation(command.operation), Protocol(command.protocol)
    except ValueError:
        raise ValueError(f"its operation ({command.operation}) or protocol ({command.protocol}) is not known here") from None
    return Call(
        command.gid, command.branch_id, operation, protocol, command.service, command.action, command.payload, dict(command.results),
        dict(command.headers), command.attempt, command.one_phase, command.timeout_ms / 1000, command.coordinator_id,
        command.began_epoch, command.began_unix_ms, command.traceparent, command.tracestate)


def reply_message(command: Any, reply: Reply, command_id: int = 0) -> Any:
    """`command`: whatever has gid, branch_id and operation."""
    message = participant_pb2.BranchReply(gid=command.gid, branch_id=command.branch_id, operation=int(command.operation),
                                          command_id=command_id, kind=int(reply.kind))
    if reply.is_done:
        message.result = reply.result
    else:
        message.reason = reply.reason
        message.retry_after_ms = ms(reply.retry_after)
        message.blocked_by_gid = reply.blocked_by
    return message


def reply_of(message: Any) -> Reply:
    return Reply(as_enum(Kind, message.kind, Kind.UNKNOWN), message.result, message.reason, message.retry_after_ms / 1000,
                 message.blocked_by_gid)


REQUESTS = transaction_pb2
