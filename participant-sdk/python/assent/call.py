"""What a participant is asked, and what it answers."""

import dataclasses
import json
from typing import Any, Callable, Mapping, Optional, Union

from .words import MAX_RESULT_BYTES, Kind, Operation, Protocol, Role, cut


@dataclasses.dataclass(frozen=True)
class Call:
    """One operation asked of one branch. The same (gid, branch_id, operation) may be asked again."""

    gid: str
    branch_id: str
    operation: Operation
    protocol: Protocol
    service: str = ""
    action: str = ""
    payload: bytes = b""  # the initiator's bytes, the same for each operation of the branch
    results: Mapping[str, bytes] = dataclasses.field(default_factory=dict)  # by branch id, of those this one comes after
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    attempt: int = 1  # for logs; never decide anything by it
    one_phase: bool = False  # PREPARE only: sole branch of its transaction
    timeout: float = 0.0  # seconds that the coordinator waits for the reply
    coordinator_id: int = 0
    began_epoch: int = 0
    began_unix_ms: int = 0  # the transaction's age, for comparing only; 0: not known
    # W3C Trace Context: what the handler does belongs under this span. Hand both to a tracing library, to other services, and
    # to a Transaction that the handler begins (`Transaction(trace=call.trace)`).
    traceparent: str = ""
    tracestate: str = ""

    @property
    def trace(self) -> tuple[str, str]:
        return self.traceparent, self.tracestate

    @property
    def text(self) -> str:
        """The payload as UTF-8 text."""
        return self.payload.decode("utf-8")

    def json(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)

    def __str__(self) -> str:
        return f"{self.operation.name} of branch {self.branch_id} of transaction {self.gid}"


@dataclasses.dataclass(frozen=True)
class Reply:
    """The answer to a Call. Handlers rarely make one: what they return is done, what they raise is not."""

    kind: Kind
    result: bytes = b""  # done, of a forward operation
    reason: str = ""  # refused, retry later
    retry_after: float = 0.0  # seconds
    blocked_by: str = ""  # retry later, from adapters: the transaction whose prepared work is in the way

    @property
    def is_done(self) -> bool:
        return self.kind in (Kind.DONE, Kind.DONE_READ_ONLY)

    def normalized(self, role: Role) -> "Reply":
        """In the form in which it is kept and given, so that the first and every later one are equal byte for byte."""
        if self.is_done:
            if len(self.result) <= MAX_RESULT_BYTES:
                return Reply(self.kind, self.result)
            if role == Role.FORWARD:
                return refused(f"the handler's result has {len(self.result)} bytes; the limit is {MAX_RESULT_BYTES}")
            return Reply(self.kind)
        if self.kind == Kind.REFUSED:
            return Reply(Kind.REFUSED, reason=cut(self.reason))
        return Reply(self.kind, reason=cut(self.reason), retry_after=self.retry_after, blocked_by=self.blocked_by)


def done(result: Union[bytes, str] = b"") -> Reply:
    """It has happened, durably."""
    return Reply(Kind.DONE, result.encode() if isinstance(result, str) else bytes(result))


def read_only(result: Union[bytes, str] = b"") -> Reply:
    """PREPARE only: yes, and nothing was written; no COMMIT or ROLLBACK will follow."""
    return Reply(Kind.DONE_READ_ONLY, result.encode() if isinstance(result, str) else bytes(result))


def refused(reason: str) -> Reply:
    return Reply(Kind.REFUSED, reason=reason)


def retry_later(reason: str, after: float = 0.0, blocked_by: str = "") -> Reply:
    return Reply(Kind.RETRY_LATER, reason=reason, retry_after=after, blocked_by=blocked_by)


class Refused(Exception):
    """A handler raises it to say no: final, what it wrote is undone, the transaction aborts."""


class RetryLater(Exception):
    """A handler raises it to be asked again: not now, nothing happened."""

    def __init__(self, reason: str, after: float = 0.0):
        super().__init__(reason)
        self.after = after


class Unknown(Exception):
    """It may or may not have happened (a COMMIT whose answer was lost): no answer is the true one, so the coordinator asks again."""


# What a handler may return: nothing, the result's bytes or text, or a Reply.
Returned = Union[None, bytes, bytearray, str, Reply]
Responder = Callable[[Reply], None]


def reply_of(returned: Returned, call: Call) -> Reply:
    """What a handler returned, as a Reply that the operation has. Else a sentence with the handler's fault, and it is asked again."""
    if returned is None:
        reply = Reply(Kind.DONE)
    elif isinstance(returned, Reply):
        reply = returned
    elif isinstance(returned, (bytes, bytearray, str)):
        reply = done(returned)  # type: ignore[arg-type]
    else:
        return retry_later(f"the handler of {call.action} returned a {type(returned).__name__}; it returns nothing, bytes, str or a Reply")
    if reply.kind == Kind.DONE_READ_ONLY and call.operation != Operation.PREPARE:
        return retry_later(f"the handler of {call.action} answered read_only to {call.operation.name}; PREPARE alone has that answer")
    return reply.normalized(call.operation.role)


def reply_to(error: BaseException) -> Optional[Reply]:
    """What an exception of a handler means. None: nobody can say what has happened."""
    if isinstance(error, Unknown):
        return None
    if isinstance(error, Refused):
        return refused(cut(str(error)))
    if isinstance(error, RetryLater):
        return retry_later(cut(str(error)), error.after)
    return retry_later(cut(f"{type(error).__name__}: {error}"))
