"""A transaction as its initiator writes it, and what the coordinator says about it."""

import dataclasses
import os
import re
import time
from typing import Any, Iterable, Mapping, Optional, Union

from .errors import InvalidArgument
from .words import (MAX_ATTEMPTS, MAX_BRANCH_ID_BYTES, MAX_BRANCHES, MAX_GID_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_KEY_BYTES,
                    MAX_LABEL_BYTES, MAX_LABELS, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_TRACESTATE_BYTES, MAX_TRANSACTION_BYTES, BranchState,
                    Ordering, Outcome, Protocol, State)

_ID = re.compile(r"[A-Za-z0-9._:-]+\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._:/-]+\Z", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]*\Z")


def new_gid() -> str:
    """12 hex digits of Unix time in milliseconds, then 20 random ones. Those made later sort later."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def check_id(field: str, text: str, limit: int = MAX_GID_BYTES) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= limit or not _ID.match(text):
        raise InvalidArgument(f"{field} is {text!r:.100}; it takes 1 to {limit} of [A-Za-z0-9._:-]")


def check_name(field: str, text: str) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_NAME_BYTES or not _NAME.match(text):
        raise InvalidArgument(f"{field} is {text!r:.100}; it takes 1 to {MAX_NAME_BYTES} of [A-Za-z0-9._:/-]")


@dataclasses.dataclass(frozen=True)
class Branch:
    """One participant's part. Times are seconds; 0 is the coordinator's default."""

    protocol: Protocol
    service: str
    action: str
    payload: bytes = b""  # handed to every operation of the branch, unread
    id: str = ""  # unique within the transaction; empty: "1", "2", … by position
    after: tuple[str, ...] = ()  # ids of branches that must have executed before this one starts
    pivot: bool = False  # Saga, at most one: once it has succeeded the transaction commits
    receive_results: bool = False  # hand the handler the results of the branches in `after`
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    initial_backoff: float = 0.0  # 100 ms; doubles each time
    max_backoff: float = 0.0  # 30 s
    max_attempts: int = 0  # of the forward operation; 0: until the deadline
    attempt_timeout: float = 0.0  # 10 s; an attempt longer than this counts as unknown
    check_back: bool = False  # of a pivot that is the first step: see Transaction.check_back

    def check(self, place: str = "branch") -> None:
        """What is wrong before anything is sent; the coordinator checks the rest."""
        if self.id:
            check_id(f"{place}.id", self.id, MAX_BRANCH_ID_BYTES)
        check_name(f"{place}.service", self.service)
        check_name(f"{place}.action", self.action)
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise InvalidArgument(f"{place}.payload has {len(self.payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
        if self.pivot and self.protocol != Protocol.SAGA:
            raise InvalidArgument(f"{place}.pivot is set, but only a Saga step can be the pivot")
        if self.check_back and not self.pivot:
            raise InvalidArgument(f"{place}.check_back is set, but only the pivot, as the first step, can be checked back")
        for name in ("initial_backoff", "max_backoff", "attempt_timeout"):
            if not 0 <= getattr(self, name) <= 3600:
                raise InvalidArgument(f"{place}.{name} is {getattr(self, name)} s; it must be 0 to 3600")


def _bytes(payload: Union[bytes, str]) -> bytes:
    return payload.encode() if isinstance(payload, str) else bytes(payload)


class Transaction:
    """A whole transaction, written as the sentence that describes it:

        order = Transaction(labels={"order": "4711"}, deadline=5).tcc("inventory", "reserve", items).tcc("payment", "charge", amount)

    It has its gid from birth. Submitting the same object again is therefore the same transaction, and gives the same answer: that is
    what to do after UnknownOutcome. Times are seconds.
    """

    def __init__(self, gid: Optional[str] = None, *, labels: Optional[Mapping[str, str]] = None, deadline: float = 0.0,
                 ordering: Ordering = Ordering.DEFAULT, trace: tuple[str, str] = ("", "")):
        self.gid = gid if gid is not None else new_gid()
        self.branches: list[Branch] = []
        self.labels = dict(labels or {})
        self.deadline = deadline  # from acceptance until it aborts unless decided; 0: 60 s
        self.ordering = ordering
        self.traceparent, self.tracestate = trace

    def two_phase(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> "Transaction":
        """The branch's participant keeps prepared work durable and invisible until the decision. `options`: fields of Branch."""
        return self.add(Branch(Protocol.TWO_PHASE, service, action, _bytes(payload), **options))

    def tcc(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> "Transaction":
        """The branch's participant reserves, then consumes or releases."""
        return self.add(Branch(Protocol.TCC, service, action, _bytes(payload), **options))

    def saga(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> "Transaction":
        """A step that takes effect at once and is compensated if the transaction aborts."""
        return self.add(Branch(Protocol.SAGA, service, action, _bytes(payload), **options))

    def check_back(self, service: str, action: str, *, first_asked: float = 1.0) -> "Transaction":
        """The first step of a message without an outbox (check_back.py): the initiator's own local transaction, about which `service` is asked.
        Steps of a Saga follow, nothing else. `first_asked`: so long after `prepare`, if `submit` does not come before; then less and less
        often."""
        return self.saga(service, action, pivot=True, check_back=True, initial_backoff=first_asked)

    def add(self, branch: Branch) -> "Transaction":
        self.branches.append(branch)
        return self

    def check(self, is_open: bool = False) -> None:
        """InvalidArgument names the field, the limit and the value. `is_open`: for `begin`, which has no branches yet."""
        check_id("gid", self.gid)
        if is_open and self.branches:
            raise InvalidArgument("branches: an open transaction begins without any; add them to what begin() returns")
        if not is_open and not self.branches:
            raise InvalidArgument("branches: a transaction needs at least one")
        if len(self.branches) > MAX_BRANCHES:
            raise InvalidArgument(f"branches has {len(self.branches)} branches; at most {MAX_BRANCHES}")
        if not 0 <= self.deadline <= 7 * 24 * 3600:
            raise InvalidArgument(f"deadline is {self.deadline} s; it must be 0 to {7 * 24 * 3600}")
        ids = [branch.id or str(position) for position, branch in enumerate(self.branches, 1)]
        for index, branch in enumerate(self.branches):
            branch.check(f"branches[{index}]")
            if ids[index] in ids[:index]:
                raise InvalidArgument(f"branches[{index}].id {ids[index]!r} is taken by an earlier branch")
            for before in branch.after:
                if before not in ids or before == ids[index]:
                    raise InvalidArgument(f"branches[{index}].after names {before!r:.70}, which is no other branch of this transaction")

    def check_message(self) -> Branch:
        """Of a message without an outbox: its first step."""
        self.check()
        if not self.branches[0].check_back:
            raise InvalidArgument(f"transaction {self.gid} does not begin with check_back: there is nothing to ask about")
        return self.branches[0]

    def check_all(self) -> None:
        """What a coordinator would refuse, as far as it can be seen here: for who hears of it after a local commit only."""
        self.check()
        check_pairs("labels", self.labels, MAX_LABELS, MAX_LABEL_BYTES)
        if self.traceparent and not _TRACEPARENT.match(self.traceparent):
            raise InvalidArgument(f"traceparent is {self.traceparent!r:.100}; it takes what W3C Trace Context calls so")
        if len(self.tracestate) > MAX_TRACESTATE_BYTES or not _PRINTABLE.match(self.tracestate) or (self.tracestate and not self.traceparent):
            raise InvalidArgument(f"tracestate takes up to {MAX_TRACESTATE_BYTES} bytes of printable ASCII, beside a traceparent")
        every = 0
        for index, branch in enumerate(self.branches):
            check_pairs(f"branches[{index}].headers", branch.headers, MAX_HEADERS, MAX_HEADER_BYTES)
            if not 0 <= branch.max_attempts <= MAX_ATTEMPTS:
                raise InvalidArgument(f"branches[{index}].max_attempts is {branch.max_attempts}; it must be 0 to {MAX_ATTEMPTS}")
            every += len(branch.payload) + sum(len(name) + len(value.encode()) for name, value in branch.headers.items())
        if every > MAX_TRANSACTION_BYTES:
            raise InvalidArgument(f"its payloads and headers have {every} bytes; at most {MAX_TRANSACTION_BYTES}")
        if sum(branch.pivot for branch in self.branches) > 1:
            raise InvalidArgument("branches: at most one is the pivot")


def check_pairs(field: str, pairs: Mapping[str, str], count: int, value_bytes: int) -> None:
    """Of labels, of headers."""
    if len(pairs) > count:
        raise InvalidArgument(f"{field} has {len(pairs)} entries; at most {count}")
    for name, value in pairs.items():
        if not isinstance(name, str) or len(name) > MAX_KEY_BYTES or not _NAME.match(name):
            raise InvalidArgument(f"a key of {field} is {name!r:.100}; it takes 1 to {MAX_KEY_BYTES} of [A-Za-z0-9._:/-]")
        if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > value_bytes:
            raise InvalidArgument(f"{field}[{name!r}] takes text of up to {value_bytes} bytes")


@dataclasses.dataclass(frozen=True)
class Report:
    """The coordinator's answer about a transaction. `outcome` is the decision, and final. `state` may still be COMMITTING beside
    COMMITTED, or ABORTING beside ABORTED: participants are being told, which goes on by itself. WaitFor.COMPLETED waits for that, too."""

    gid: str
    state: State
    outcome: Outcome
    abort_reason: str = ""  # "branch 2 inventory/reserve refused: out of stock", …
    results: Mapping[str, bytes] = dataclasses.field(default_factory=dict)  # by branch id; empty ones are left out

    @property
    def committed(self) -> bool:
        return self.outcome == Outcome.COMMITTED

    @property
    def aborted(self) -> bool:
        return self.outcome == Outcome.ABORTED


@dataclasses.dataclass(frozen=True)
class BranchResult:
    """What one branch of an open transaction answered."""

    branch_id: str
    refused: bool = False  # a business no: the whole transaction is being aborted
    read_only: bool = False
    result: bytes = b""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class BranchInfo:
    id: str
    protocol: int
    service: str
    action: str
    state: BranchState
    result: bytes
    attempts: int
    last_error: str
    needs_operator: bool


@dataclasses.dataclass(frozen=True)
class TransactionInfo:
    """A transaction in full, as `get` shows it. Times are Unix time in seconds by the coordinator's clock, 0 for what has not been."""

    gid: str
    state: State
    outcome: Outcome
    open: bool
    suspended: bool
    branches: tuple[BranchInfo, ...]
    labels: Mapping[str, str]
    abort_reason: str
    why_not_finished: str
    began: float
    deadline: float
    decided: float
    finished: float


def as_enum(enum: Any, number: int, otherwise: Any) -> Any:
    """A value of a newer coordinator is none of ours."""
    try:
        return enum(number)
    except ValueError:
        return otherwise


def once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
