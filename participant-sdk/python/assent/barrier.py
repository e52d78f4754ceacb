"""The barrier: what a branch has done, so that each operation happens once, a cancel may come before its try, and a try that comes
after its cancel is refused for good. The rules of every database here: values in, values out.

They are those of participant-sdk/cpp/barrier/DESIGN.md, which has them as tables; a test holds both together. An adapter keeps one row
per branch, in the same local transaction as the business rows, and does this:

    row     = what is kept of (gid, branch_id), or Row(); locked, also if there was none
    opening = open_call(call, row)
    opening.move is RUN?   run the handler; keep what after() says; answer what it answered
                    BURY?  keep a TOMBSTONE; answer opening.reply
                    else   answer opening.reply
"""

import dataclasses
import enum

from .call import Call, Reply, done, refused, retry_later
from .words import MAX_BRANCH_ID_BYTES, MAX_GID_BYTES, Kind, Operation, Protocol, Role, Verdict


class Kept(enum.IntEnum):
    """The state of a branch. Stored: never renumber."""

    NONE = 0  # no row
    REFUSED = 1  # the forward operation said no; nothing happened
    DONE = 2  # tried, or acted: in force, and may be finished or undone
    READ_ONLY = 3  # prepared without writing anything
    PREPARED = 4  # changes are kept aside, to be applied or dropped
    FINISHED = 5  # confirmed or committed. Final
    UNDONE = 6  # cancelled, compensated or rolled back after its forward operation. Final
    TOMBSTONE = 7  # undone before its forward operation, which will be refused. Final


class Move(enum.Enum):
    """What to do about an operation, given the state of its branch."""

    RUN = "run"
    REPLAY = "replay"  # answer as the forward operation was answered
    REPEAT = "repeat"  # finished or undone before: done again, with the same result
    NOTHING = "nothing"  # done: there is nothing to do
    BURY = "bury"  # leave a tombstone, then done
    REFUSE = "refuse"


# By state: forward, finish, undo.
MOVES = {
    Kept.NONE: (Move.RUN, Move.REFUSE, Move.BURY),
    Kept.REFUSED: (Move.REPLAY, Move.REFUSE, Move.NOTHING),
    Kept.DONE: (Move.REPLAY, Move.RUN, Move.RUN),
    Kept.READ_ONLY: (Move.REPLAY, Move.NOTHING, Move.NOTHING),
    Kept.PREPARED: (Move.REPLAY, Move.RUN, Move.RUN),
    Kept.FINISHED: (Move.REPLAY, Move.REPEAT, Move.REFUSE),
    Kept.UNDONE: (Move.REPLAY, Move.REFUSE, Move.REPEAT),
    Kept.TOMBSTONE: (Move.REFUSE, Move.REFUSE, Move.NOTHING),
}

# Why it is refused. HAZARD: atomicity may be lost.
REFUSALS = {
    (Operation.PREPARE, Kept.TOMBSTONE): "rolled back before it was prepared",
    (Operation.TRY, Kept.TOMBSTONE): "cancelled before it was tried",
    (Operation.ACTION, Kept.TOMBSTONE): "compensated before it was executed",
    (Operation.COMMIT, Kept.NONE): "HAZARD: not prepared here",
    (Operation.COMMIT, Kept.REFUSED): "HAZARD: not prepared here: the prepare was refused",
    (Operation.COMMIT, Kept.UNDONE): "HAZARD: rolled back here",
    (Operation.COMMIT, Kept.TOMBSTONE): "HAZARD: rolled back here",
    (Operation.CONFIRM, Kept.NONE): "nothing tried",
    (Operation.CONFIRM, Kept.REFUSED): "nothing tried: the try was refused",
    (Operation.CONFIRM, Kept.UNDONE): "already cancelled",
    (Operation.CONFIRM, Kept.TOMBSTONE): "already cancelled",
    (Operation.ROLLBACK, Kept.FINISHED): "already committed",
    (Operation.CANCEL, Kept.FINISHED): "already confirmed",
}


COMMITTED_ITSELF = ("HAZARD: a handler of this branch has committed its transaction by itself, and what it wrote stays: look at it, then set "
                    "the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone), or delete the row, if nothing was done")


@dataclasses.dataclass(frozen=True)
class Row:
    """What is kept of a branch."""

    state: Kept = Kept.NONE
    protocol: Protocol = Protocol.SAGA
    action: str = ""
    first: Reply = Reply(Kind.DONE)  # of the forward operation
    second_result: bytes = b""  # of the finishing or undoing one
    left: bool = False  # there is a row, which says NONE: a handler has committed it before anything was known


@dataclasses.dataclass(frozen=True)
class Opening:
    move: Move
    reply: Reply = Reply(Kind.DONE)  # unless RUN


def fault_of(call: Call) -> str:
    """Why no barrier takes it; "": it does."""
    if call.operation.protocol != call.protocol:
        return f"not an operation of a {call.protocol.short} branch"
    if not call.gid or len(call.gid.encode()) > MAX_GID_BYTES or len(call.branch_id.encode()) > MAX_BRANCH_ID_BYTES:
        return "gid or branch id is empty or too long"
    return ""


def open_call(call: Call, row: Row) -> Opening:
    if fault := fault_of(call):
        return _refuse(fault)
    if row.left:
        # Not a no: it has happened. Of the second phase it is one, so that a person is asked.
        return Opening(Move.REFUSE, retry_later(COMMITTED_ITSELF)) if call.operation.role == Role.FORWARD else _refuse(COMMITTED_ITSELF)
    if row.state != Kept.NONE and (row.protocol != call.protocol or row.action != call.action):
        return _refuse(f"HAZARD: this branch was seen as {row.protocol.short} {row.action}, not {call.protocol.short} {call.action}")
    move = MOVES[row.state][call.operation.role]
    if move == Move.REFUSE:
        # (A Saga has no finishing operation, and its undo is never refused.)
        return _refuse(REFUSALS.get((call.operation, row.state), "not refused"))
    if move == Move.REPLAY:
        return Opening(move, row.first)
    return Opening(move, done(row.second_result) if move == Move.REPEAT else done())


def _refuse(reason: str) -> Opening:
    return Opening(Move.REFUSE, refused(reason))


def after(call: Call, reply: Reply, wrote: bool = True) -> Kept:
    """The state in which an operation that ran leaves its branch; NONE: nothing of it is kept, and it will run again.

    A refused forward operation is kept, since the coordinator may abort on it. One of the second phase is not: there is no way but
    forward after a decision, and asking again may find it mended."""
    role = call.operation.role
    if reply.kind == Kind.REFUSED:
        return Kept.REFUSED if role == Role.FORWARD else Kept.NONE
    if not reply.is_done:
        return Kept.NONE
    if role == Role.FINISH:
        return Kept.FINISHED
    if role == Role.UNDO:
        return Kept.UNDONE
    if call.operation != Operation.PREPARE:
        return Kept.DONE
    if not wrote:
        return Kept.READ_ONLY
    return Kept.FINISHED if call.one_phase else Kept.PREPARED


class Upkeep(enum.Enum):
    """What to do about a kept row when the coordinator has said what became of its transaction."""

    KEEP = "keep"
    COMMIT = "commit"
    ROLLBACK = "roll back"
    ORPHAN = "orphan"  # a try that nobody will ever confirm or cancel: counted, when it is old, for a person
    FORGET = "forget"  # when it is old, the row goes


def upkeep_for(state: Kept, protocol: Protocol, verdict: Verdict, finished: bool) -> Upkeep:
    if state == Kept.NONE or verdict not in (Verdict.COMMIT, Verdict.ABORT):
        return Upkeep.KEEP
    if state == Kept.PREPARED:
        return Upkeep.COMMIT if verdict == Verdict.COMMIT else Upkeep.ROLLBACK
    if not finished:
        return Upkeep.KEEP
    return Upkeep.ORPHAN if state == Kept.DONE and protocol == Protocol.TCC else Upkeep.FORGET


@dataclasses.dataclass(frozen=True)
class Held:
    """A branch that an adapter holds, and wants to know about."""

    gid: str
    branch_id: str
    coordinator_id: int
    began_epoch: int
