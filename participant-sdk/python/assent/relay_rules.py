"""What a relay decides (relay_loop.py carries it out), and its settings.

A row is leased, handed over, and goes when it was answered. Nothing in between is kept anywhere else: a relay that dies leaves rows that
another one takes when their lease ends, and hands over again under the same gid. Several at once are right, and share the work.
"""

import dataclasses
import logging
import random
import time
from typing import Any, Callable, Optional, Union

from .errors import AlreadyExists, ConfigError, InvalidArgument, NotAllowed, Unavailable, UnknownOutcome
from .outbox_sql import MAX_REQUEST_BYTES, OutboxCounts, Settled, Taken
from .transaction import check_id
from .v1 import transaction_pb2
from .words import cut

MAX_BATCH_BYTES = 16 * 1024 * 1024  # of requests that are under way; one alone may be larger
INITIAL_BACKOFF_S = 0.1  # of a row that was not answered; doubles each time
MAX_BACKOFF_S = 30.0
DATABASE_BACKOFF_S = 5.0  # at most, between two tries of a database that is away
COUNT_EVERY_S = 10.0
COUNT_BOUND = 100_000
GIVE_UP_AFTER_S = 1.0  # of failing, in one call: what waits, waits in the table
OLD_S = 60.0  # a row that waits for longer is worth a line of the log
NOT_YET = "accepted, not complete yet"

_LOGGER = logging.getLogger("assent")


@dataclasses.dataclass(frozen=True)
class RelayOptions:
    """Seconds."""

    batch: int = 256  # rows that are handed over at once; half of them may be of keys, which may take long
    lease: float = 60.0  # for so long nobody else takes what one has taken
    call_timeout: float = 30.0  # from when a row was taken; shorter than the lease
    poll: float = 0.2  # between two looks when there was nothing to do
    # What was first handed over longer ago, and never answered, is asked for first: the coordinator may have forgotten it, and would run it
    # again. Shorter than the coordinator keeps what is finished (--retention-hours; and --retention-mib has to have room for as much).
    retention_guard: float = 12 * 3600.0
    stop_grace: float = 10.0  # for what is under way at the end
    # One line for each change, "key=value"; never a payload. None: the logger "assent", where trouble is a warning.
    log: Optional[Callable[[str], None]] = None
    at_point: Optional[Callable[[str], None]] = None  # for tests: "taken", "answered", "settled"

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ConfigError(f"batch is {self.batch}; it must be at least 2")
        if not 0 < self.call_timeout < self.lease:
            raise ConfigError(f"call_timeout is {self.call_timeout} s; it must be more than 0, and less than lease, which is {self.lease} s")
        if self.poll <= 0 or self.retention_guard <= 0 or self.stop_grace < 0:
            raise ConfigError("poll and retention_guard must be more than 0, stop_grace 0 or more")


@dataclasses.dataclass(frozen=True)
class RelayStats:
    in_flight: int  # handed over, and not answered
    handed_over: int  # since the start: answered, their rows are gone
    failed: int  # attempts without an answer
    parked: int
    table: Optional[OutboxCounts]  # as last counted, about every ten seconds


def elapsed() -> float:
    """Seconds, of which none is missing when the process was stopped or the machine asleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def backoff(attempts: int) -> float:
    return float(min(INITIAL_BACKOFF_S * 2 ** min(attempts - 1, 20), MAX_BACKOFF_S) * random.uniform(0.5, 1.0))


def read(row: Taken) -> Union[Any, str]:
    """Its SubmitRequest; or why a person has to look at it."""
    if row.request is None:
        return f"its request is no bytes, or more than {MAX_REQUEST_BYTES}"
    try:
        request = transaction_pb2.SubmitRequest.FromString(row.request)
        check_id("gid", request.transaction.gid)
    except InvalidArgument as error:
        return f"its request has no gid: {error}"
    except Exception as error:  # noqa: BLE001 (the library's own)
        return cut(f"its request is no assent.v1.SubmitRequest: {error}")
    if request.transaction.gid != row.gid:
        return f"its gid is {row.gid:.70}, that of its request {request.transaction.gid}"
    return request


def conclude(row: Taken, error: Exception) -> Settled:
    """What an attempt that was not answered means."""
    text = cut(f"{type(error).__name__}: {error}")
    if isinstance(error, (AlreadyExists, InvalidArgument)):
        return Settled(row, parked=text)
    return Settled(row, later=backoff(row.attempts), error=text, never_sent=isinstance(error, Unavailable))


def is_of_the_coordinator(error: Exception) -> bool:
    """It would most likely meet the next row as well."""
    return isinstance(error, (Unavailable, UnknownOutcome, NotAllowed))


def log_line(options: RelayOptions, line: str, level: int) -> None:
    if options.log is not None:
        options.log(line)
    else:
        _LOGGER.log(level, "%s", line)
