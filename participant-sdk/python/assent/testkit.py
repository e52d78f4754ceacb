"""Drives a service through everything that a coordinator and a network may do to one branch, in process: no daemon, no network.

    report = assent.testkit.check_contract(db, Probe(Protocol.TCC, "reserve", b"apple"))
    assert report.ok, report

That effects happened once is for the caller to check, in its own database, against the counts in the report.
"""

import dataclasses
import itertools
import threading
from typing import Mapping, Optional, Union

from .call import Call, Reply
from .service import Job, Resource, Service, run_plain, unknown_action
from .transaction import new_gid
from .words import Kind, Operation, Protocol

PATIENCE = 30.0
_OPERATIONS = {
    Protocol.TWO_PHASE: (Operation.PREPARE, Operation.COMMIT, Operation.ROLLBACK),
    Protocol.TCC: (Operation.TRY, Operation.CONFIRM, Operation.CANCEL),
    Protocol.SAGA: (Operation.ACTION, None, Operation.COMPENSATE),
}


@dataclasses.dataclass(frozen=True)
class Probe:
    """One action to be checked, and a payload with which its forward operation succeeds every time."""

    protocol: Protocol
    action: str
    payload: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ContractReport:
    broken: list[str] = dataclasses.field(default_factory=list)  # one sentence each; empty: the contract is kept
    committed: int = 0  # branches that took effect for good, each exactly once
    undone: int = 0  # branches that must have left no trace

    @property
    def ok(self) -> bool:
        return not self.broken

    def __str__(self) -> str:
        return "; ".join(self.broken) or f"kept: {self.committed} committed, {self.undone} undone"


def ask(target: Union[Service, Resource], call: Call) -> Reply:
    """One call, answered. `target`: an adapter that is started, or a service, whose adapters are."""
    answered = threading.Event()
    replies: list[Optional[Reply]] = []

    def respond(reply: Optional[Reply]) -> None:
        replies.append(reply)
        answered.set()

    job = Job(call, respond)
    if isinstance(target, Service):
        key = (call.protocol, call.action)
        owner = target.by_action().get(key)
        if owner is not None:
            owner.execute(job)
        else:
            job.answer(run_plain(target.table[key], call) if key in target.table else unknown_action(call))
    else:
        target.execute(job)
    if not answered.wait(PATIENCE):
        raise TimeoutError(f"{call} was not answered within {PATIENCE:g} s")
    reply = replies[0]
    assert reply is not None
    return reply


class _Play:
    """One branch."""

    def __init__(self, target: Union[Service, Resource], probe: Probe, report: ContractReport, name: str):
        self._target, self._probe, self._report, self._name = target, probe, report, name
        self.gid = new_gid()
        self._attempts = itertools.count(1)

    def ask(self, operation: Operation) -> Reply:
        probe = self._probe
        return ask(self._target, Call(self.gid, "1", operation, probe.protocol, "probe", probe.action, probe.payload, {}, probe.headers,
                                      next(self._attempts), timeout=PATIENCE))

    def expect(self, operation: Operation, *kinds: Kind) -> Reply:
        reply = self.ask(operation)
        if reply.kind not in kinds:
            self._report.broken.append(f"{self._name}: {operation.name} was answered {reply.kind.name} ({reply.reason or 'no reason'}), not "
                                       + " or ".join(kind.name for kind in kinds))
        return reply

    def twice(self, operation: Operation, *kinds: Kind) -> Reply:
        first, second = self.expect(operation, *kinds), self.ask(operation)
        if first != second:
            self._report.broken.append(f"{self._name}: {operation.name} asked again was answered otherwise: {first} then {second}")
        return first


def check_contract(target: Union[Service, Resource], probe: Probe) -> ContractReport:
    """Run to the end, undo, each operation twice, undo before forward, forward after undo, finish without forward, with fresh gids."""
    report = ContractReport()
    forward, finish, undo = _OPERATIONS[probe.protocol]
    happened = (Kind.DONE, Kind.DONE_READ_ONLY)

    play = _Play(target, probe, report, "to the end")
    tried = play.twice(forward, *happened)
    if finish is not None:
        play.twice(finish, Kind.DONE)
        play.expect(undo, Kind.REFUSED)
    if play.ask(forward) != tried:
        report.broken.append(f"to the end: a late {forward.name} was answered otherwise than the first")
    report.committed += 1

    play = _Play(target, probe, report, "undone")
    tried = play.twice(forward, *happened)
    play.twice(undo, Kind.DONE)
    if play.ask(forward) != tried:
        report.broken.append(f"undone: a late {forward.name} was answered otherwise than the first")
    if finish is not None:
        play.expect(finish, Kind.REFUSED)
    report.undone += 1

    play = _Play(target, probe, report, "undone before it came")
    play.twice(undo, Kind.DONE)
    play.twice(forward, Kind.REFUSED)
    play.expect(undo, Kind.DONE)
    if finish is not None:
        play.expect(finish, Kind.REFUSED)
    report.undone += 1

    if finish is not None:
        play = _Play(target, probe, report, "finished without its forward operation")
        play.expect(finish, Kind.REFUSED)
        report.undone += 1
    return report
