"""What the calls of a client are made of, for client.py and aio/client.py alike: requests, names, waits."""

import dataclasses
from typing import Any, Callable, Optional

from . import wire
from .transaction import Branch, Transaction, check_id
from .v1 import cluster_pb2, transaction_pb2
from .words import MAX_BRANCH_ID_BYTES, WaitFor, cut

MAP_REQUEST = cluster_pb2.GetClusterRequest()
SERVER_INFO_REQUEST = transaction_pb2.GetServerInfoRequest()
_DEFAULT_DEADLINE = 60.0
_BEYOND_DEADLINE = 10.0
_WITHOUT_DEADLINE = 30.0


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One call, ready to be made."""

    method: str
    request: Any
    gid: str
    what: str
    timeout: float
    read_only: bool
    read: Callable[[Any], Any]  # the reply, as a value of this package


def _wait(wait: Optional[WaitFor]) -> int:
    return int(wait or WaitFor.DECIDED)


def submit(transaction: Transaction, wait: Optional[WaitFor], timeout: Optional[float]) -> Prepared:
    transaction.check()
    request = transaction_pb2.SubmitRequest(transaction=wire.transaction_spec(transaction), wait_for=_wait(wait))
    return Prepared("Submit", request, transaction.gid, f"Submit of transaction {transaction.gid}",
                    timeout or (transaction.deadline or _DEFAULT_DEADLINE) + _BEYOND_DEADLINE, False, wire.report_of)


def prepare(message: Transaction, timeout: Optional[float]) -> Prepared:
    message.check_message()
    return submit(message, WaitFor.ACCEPTED, timeout)


def begin(transaction: Transaction, timeout: Optional[float]) -> Prepared:
    transaction.check(is_open=True)
    request = transaction_pb2.BeginRequest(transaction=wire.transaction_spec(transaction))
    return Prepared("Begin", request, transaction.gid, f"Begin of transaction {transaction.gid}", timeout or _WITHOUT_DEADLINE, False,
                    lambda reply: None)


def execute(gid: str, branch: Branch, timeout: float) -> Prepared:
    branch.check()
    check_id("branch.id", branch.id, MAX_BRANCH_ID_BYTES)
    request = transaction_pb2.ExecuteBranchRequest(gid=gid, branch=wire.branch_spec(branch))
    return Prepared("ExecuteBranch", request, gid, f"branch {branch.id} of transaction {gid}", timeout, False, wire.branch_result_of)


def commit(gid: str, wait: Optional[WaitFor], timeout: float) -> Prepared:
    request = transaction_pb2.CommitRequest(gid=gid, wait_for=_wait(wait))
    return Prepared("Commit", request, gid, f"Commit of transaction {gid}", timeout, False, wire.report_of)


def rollback(gid: str, reason: str, wait: Optional[WaitFor], timeout: float) -> Prepared:
    request = transaction_pb2.RollbackRequest(gid=gid, wait_for=_wait(wait), reason=cut(reason))
    return Prepared("Rollback", request, gid, f"Rollback of transaction {gid}", timeout, False, wire.report_of)


def wait_for(gid: str, wait: Optional[WaitFor], timeout: Optional[float]) -> Prepared:
    check_id("gid", gid)
    request = transaction_pb2.WaitRequest(gid=gid, wait_for=_wait(wait))
    return Prepared("Wait", request, gid, f"Wait for transaction {gid}", timeout or _WITHOUT_DEADLINE, True, wire.report_of)


def get(gid: str, timeout: Optional[float]) -> Prepared:
    check_id("gid", gid)
    request = transaction_pb2.GetRequest(gid=gid, results=True)
    return Prepared("Get", request, gid, f"Get of transaction {gid}", timeout or _WITHOUT_DEADLINE, True, wire.info_of)


def open_timeout(transaction: Transaction, timeout: Optional[float]) -> float:
    """Of a call of an open transaction."""
    return timeout or (transaction.deadline or _DEFAULT_DEADLINE) + _BEYOND_DEADLINE
