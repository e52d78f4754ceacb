"""Sessions that have prepared something in MariaDB or MySQL (mysql.py), by branch.

What a session has prepared nobody else can settle until it has ended, and it can do nothing else meanwhile. So it is kept, for the COMMIT
or ROLLBACK that most often comes soon, and to the same process. Another process ends it first.

When a session ends, MariaDB calls its prepared work anybody's, and gives its named locks back, a moment before InnoDB lets go of it. An XA
COMMIT (or ROLLBACK) in that moment is answered with OK, does nothing, and takes the name away, until the server is started again (10.11.19).
Nothing tells that the moment is over: so what has no session is left alone for DETACH_TIME after it was seen to have none. That is a guess at
time, and no answer depends on it: what became of the work is looked at in the data.
"""

import contextlib
import threading
import time
from typing import Any, Optional

MAX_KEPT_SESSIONS = 32  # of one adapter; beyond it the oldest is ended, and its branch takes DETACH_TIME longer
DETACH_TIME = 0.25  # seconds
_REMEMBERED = 600.0  # seconds after which what nobody asks about any more is forgotten

Branch = tuple[str, str]


class Sessions:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Branch, Any] = {}  # the oldest first
        self._detached: dict[Branch, float] = {}  # since when they were seen to have no session

    def keep(self, branch: Branch, session: Any) -> None:
        oldest = None
        with self._lock:
            if len(self._kept) >= MAX_KEPT_SESSIONS:
                oldest = self._kept.pop(next(iter(self._kept)))
            self._kept[branch] = session
        end(oldest)

    def take(self, branch: Branch) -> Optional[Any]:
        """None: it is not here."""
        with self._lock:
            return self._kept.pop(branch, None)

    def wait_detached(self, branch: Branch) -> None:
        """What the branch has prepared has no session. Returns when that has been seen for DETACH_TIME."""
        now = time.monotonic()
        with self._lock:
            self._detached = {one: since for one, since in self._detached.items() if now - since < _REMEMBERED}
            since = self._detached.setdefault(branch, now)
        time.sleep(max(0.0, since + DETACH_TIME - now))  # tidy: allow(sleep) nothing tells that the moment is over

    def forget_detached(self, branch: Branch) -> None:
        with self._lock:
            self._detached.pop(branch, None)

    def close(self) -> None:
        with self._lock:
            kept, self._kept = list(self._kept.values()), {}
        for session in kept:
            end(session)


def end(session: Any) -> None:
    if session is not None:
        with contextlib.suppress(Exception):
            session.close()
