"""The words that every part shares: protocols, operations, outcomes, limits. The numbers are those of the wire."""

import enum


class Protocol(enum.IntEnum):
    """How one branch is driven."""

    TWO_PHASE = 1  # PREPARE, then COMMIT or ROLLBACK
    TCC = 2  # TRY, then CONFIRM or CANCEL
    SAGA = 3  # ACTION; COMPENSATE if the transaction aborts

    @property
    def short(self) -> str:
        return {1: "2pc", 2: "tcc", 3: "saga"}[self]


class Operation(enum.IntEnum):
    """What a branch is asked to do."""

    PREPARE = 1
    COMMIT = 2
    ROLLBACK = 3
    TRY = 4
    CONFIRM = 5
    CANCEL = 6
    ACTION = 7
    COMPENSATE = 8

    @property
    def protocol(self) -> Protocol:
        if self <= Operation.ROLLBACK:
            return Protocol.TWO_PHASE
        return Protocol.TCC if self <= Operation.CANCEL else Protocol.SAGA

    @property
    def role(self) -> "Role":
        return _ROLES[self]


class Role(enum.IntEnum):
    """What the three protocols have in common."""

    FORWARD = 0
    FINISH = 1
    UNDO = 2


_ROLES = {
    Operation.PREPARE: Role.FORWARD, Operation.TRY: Role.FORWARD, Operation.ACTION: Role.FORWARD,
    Operation.COMMIT: Role.FINISH, Operation.CONFIRM: Role.FINISH,
    Operation.ROLLBACK: Role.UNDO, Operation.CANCEL: Role.UNDO, Operation.COMPENSATE: Role.UNDO,
}


class Kind(enum.IntEnum):
    """What a reply says."""

    UNKNOWN = 0  # nobody can say whether it has happened: asked again
    DONE = 1
    DONE_READ_ONLY = 2
    REFUSED = 3
    RETRY_LATER = 4


class Verdict(enum.IntEnum):
    """What the coordinator says about a branch that is held."""

    UNDECIDED = 1
    COMMIT = 2
    ABORT = 3
    CANNOT_TELL = 4


class Ordering(enum.IntEnum):
    """In which order branches start when their own `after` says nothing."""

    DEFAULT = 0  # Saga steps follow one another, other branches start at once
    SEQUENTIAL = 1
    DECLARED = 2  # only `after` counts


class WaitFor(enum.IntEnum):
    """How far a transaction has to be before a call answers."""

    ACCEPTED = 1
    DECIDED = 2
    COMPLETED = 3


class _Named:
    """In print and f-strings its name."""

    name: str

    def __str__(self) -> str:
        return self.name


class State(_Named, enum.IntEnum):
    """Where a transaction stands."""

    UNKNOWN = 0
    ACTIVE = 1
    COMMITTING = 2
    ABORTING = 3
    FINISHED = 4


class Outcome(_Named, enum.IntEnum):
    """What became of it."""

    UNDECIDED = 0
    COMMITTED = 1
    ABORTED = 2
    MIXED = 3  # a person resolved branches against the decision
    HAZARD = 4  # it is not known what happened in some branch


class BranchState(_Named, enum.IntEnum):
    UNKNOWN = 0
    WAITING = 1
    EXECUTING = 2
    EXECUTED = 3
    READ_ONLY = 4
    REFUSED = 5
    FINISHING = 6
    DONE = 7
    UNDOING = 8
    UNDONE = 9
    SKIPPED = 10


# Limits of the contract (docs/limits.md has all of them).
MAX_GID_BYTES = 64
MAX_BRANCH_ID_BYTES = 64
MAX_NAME_BYTES = 128  # of a service, an action, an instance
MAX_REASON_BYTES = 1024  # longer ones are cut
MAX_RESULT_BYTES = 256 * 1024
MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_BRANCHES = 128
MAX_TRANSACTION_BYTES = 3 * 1024 * 1024  # of payloads and headers, together
MAX_LABELS = 16
MAX_HEADERS = 16  # of a branch
MAX_KEY_BYTES = 64  # of a label, a header
MAX_LABEL_BYTES = 256
MAX_HEADER_BYTES = 1024
MAX_TRACESTATE_BYTES = 512
MAX_ATTEMPTS = 1_000_000
MAX_FRAME_MESSAGES = 256
MAX_FRAME_BYTES = 8 * 1024 * 1024  # what a coordinator may send at most
FRAME_BYTES = 1024 * 1024  # what a frame of ours is filled up to


def cut(text: str, limit: int = MAX_REASON_BYTES) -> str:
    """As many whole characters as have room. What is no character (a lone surrogate), and the zero that not every database keeps,
    become "?"."""
    data = text.replace("\0", "?").encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore")


def one_line(text: str, limit: int = 4096) -> str:
    """What others say of themselves must not end a line and begin another."""
    return cut("".join(c if c.isprintable() else "?" for c in text), limit)
