"""The calls that a participant holds: who waits for each, and which may run.

For one branch (gid, branch_id) at most one call runs at any moment, and one operation of it is held at most once: a command for an
operation that is held joins it and gets its answer. Thread-safe.
"""

import threading
import time
from collections import deque
from typing import Callable, Optional

from .call import Call, Reply, retry_later
from .service import Job


class Waiter:
    """Who asked. Answered at most once."""

    def alive(self) -> bool:
        """False: its connection is gone, and the answer would be of no use."""
        return True

    def answer(self, call: Call, reply: Reply) -> None:
        raise NotImplementedError


class _Entry:
    def __init__(self, call: Call, waiter: Waiter):
        self.call = call
        self.waiters = [waiter]
        self.since = time.monotonic()


class Desk:
    def __init__(self, execute: Callable[[Job], None], max_calls: int):
        self._execute = execute
        self._max_calls = max_calls
        self._lock = threading.Lock()
        # Of each branch, the running one first.
        self._lines: dict[tuple[str, str], deque[_Entry]] = {}
        self._count = 0
        # The highest epoch seen of each slot of each log.
        self._slot_epochs: dict[tuple[int, int], int] = {}
        self.joined = 0

    def heard_from_owner(self, coordinator_id: int, slot: int, epoch: int) -> bool:
        """False for a command of a coordinator that has lost the transaction's slot to another, and does not know. Remembered by this
        process alone: it spares work that a barrier would refuse, and nothing rests on it."""
        if epoch == 0 or slot >= 32768:
            return True
        with self._lock:
            key = (coordinator_id, slot)
            if epoch < self._slot_epochs.get(key, 0):
                return False
            self._slot_epochs[key] = epoch
            return True

    def ask(self, call: Call, waiter: Waiter) -> bool:
        """False: there is no room, and nothing was taken."""
        key = (call.gid, call.branch_id)
        with self._lock:
            line = self._lines.get(key)
            for entry in line or ():
                if entry.call.operation == call.operation:
                    entry.waiters.append(waiter)
                    entry.since = time.monotonic()  # its coordinator waits anew
                    self.joined += 1
                    return True
            if self._count >= self._max_calls:
                return False
            self._count += 1
            entry = _Entry(call, waiter)
            if line:
                line.append(entry)
                return True
            self._lines[key] = deque([entry])
        self._run(entry)
        return True

    def __len__(self) -> int:
        return self._count

    def _run(self, entry: _Entry) -> None:
        job = Job(entry.call, lambda reply: self._finish(entry, reply), lambda: self._is_wanted(entry))
        try:
            self._execute(job)
        except Exception as error:  # noqa: BLE001 (of a resource: nothing says that it has begun)
            job.answer(retry_later(f"{type(error).__name__}: {error}"))

    def _is_wanted(self, entry: _Entry) -> bool:
        with self._lock:
            entry.waiters = [waiter for waiter in entry.waiters if waiter.alive()]
            timeout = entry.call.timeout
            return bool(entry.waiters) and (timeout <= 0 or time.monotonic() - entry.since < timeout)

    def _finish(self, entry: _Entry, reply: Optional[Reply]) -> None:
        key = (entry.call.gid, entry.call.branch_id)
        with self._lock:
            line = self._lines[key]
            line.popleft()
            self._count -= 1
            following = line[0] if line else None
            if not line:
                del self._lines[key]
            waiters = entry.waiters
        for waiter in waiters:
            waiter.answer(entry.call, reply or retry_later("no answer"))
        if following is not None:
            self._run(following)
