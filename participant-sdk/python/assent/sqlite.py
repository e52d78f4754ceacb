"""The barrier in SQLite: each operation happens once, in the service's own database, in the same local transaction as its rows.

    db = assent.SQLite("stock.db", tables="CREATE TABLE IF NOT EXISTS stock(item TEXT PRIMARY KEY, free INTEGER, held INTEGER)")

    @db.tcc("reserve")
    def reserve(tx, call): tx.execute("UPDATE stock SET free = free - 1, held = held + 1 WHERE item = ?", [call.text])

One thread has the file, from the first operation on; operations that wait for it share one commit. A process that forks after that has
it alone: what SQLite knows of its locks does not survive a fork. Two-phase commit is not offered: Python's sqlite3 cannot keep
prepared work durable and unseen.
"""

import concurrent.futures
import os
import queue
import sqlite3
import threading
from typing import Any, Callable, Optional, TypeVar

from .barrier import Held, Upkeep
from .call import Call, Reply, reply_to, retry_later
from .dialect import SQLITE
from .errors import ConfigError
from .service import Job
from .sql import SAVEPOINT, Rows, SqlActions, Tx, run_local, upkeep_of
from .words import Verdict

T = TypeVar("T")
MAX_BATCH = 64  # operations in one commit
_FORKED = ("this process was forked after its parent had opened the file, and SQLite's locks do not survive that: begin to work after the fork "
           "(start() may come before it)")
# A handler that uses the same text as we do has the same prepared statement, which nobody looks at again: these are ours alone.
_BEGIN, _COMMIT, _ROLLBACK = (f"{verb} /* {SAVEPOINT} */" for verb in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"))
_SAVEPOINT = f"SAVEPOINT {SAVEPOINT}_one"
# Of a COMMIT: it has certainly not happened, and the transaction still stands.
_NOT_COMMITTED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT)

_TABLE = """
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid TEXT NOT NULL, branch_id TEXT NOT NULL,
  protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
  kind INTEGER NOT NULL, result BLOB, reason TEXT, second_result BLOB,
  coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL,
  touched_ms INTEGER NOT NULL, orphan INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id)) WITHOUT ROWID"""


class _Own:
    """A piece of work of the service itself, among the operations."""

    def __init__(self, work: Callable[[Tx], Any]):
        self.work = work
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()


class SQLite(SqlActions):
    """One file. Its folder must be a local one."""

    keeps_prepared = False

    def __init__(self, path: str, *, tables: str = "", retention: float = 3600.0, busy_timeout: float = 5.0):
        """`tables`: SQL that creates the service's own tables, run when it starts. `retention`: seconds that rows of ended transactions
        are kept. `busy_timeout`: seconds to wait for another process that writes."""
        super().__init__(retention)
        self._path, self._tables, self._busy_timeout = path, tables, busy_timeout
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._thread_lock = threading.Lock()
        self._pid = 0  # of the process that the thread is in
        self._started = False
        self._in_handler = False
        self._broken: Optional[str] = None

    # ---- for the service

    def run(self, work: Callable[[Tx], T]) -> T:
        """Runs `work(tx)` in a local transaction of its own: what the service itself reads and writes. Not from a handler."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a handler has its own tx: use that one")
        self.start()
        self._open_here()
        own = _Own(work)
        self._work.put(own)
        return own.future.result()

    # ---- for what runs it

    def start(self) -> None:
        """The file is made, looked at, and closed again: a process that forks after it has nothing open."""
        if self._started:
            return
        self.check()
        self._open().close()
        self._started = True

    def _open_here(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._thread_lock:
            if self._thread is not None and self._pid == os.getpid():
                return
            if self._thread is not None:
                raise RuntimeError(_FORKED)
            ready: concurrent.futures.Future[None] = concurrent.futures.Future()
            thread = threading.Thread(target=self._serve, args=(ready,), name="assent-sqlite", daemon=True)
            thread.start()
            ready.result()
            self._thread, self._pid = thread, os.getpid()

    def execute(self, job: Job) -> None:
        try:
            self._open_here()
        except Exception as error:  # noqa: BLE001 (nothing has begun)
            job.answer(reply_to(error))
            return
        self._work.put(job)

    def questions(self, limit: int) -> list[Held]:
        return self.run(lambda tx: self._rows().held(self._retention_ms, limit))

    def answer(self, held: Held, verdict: Verdict, finished: bool) -> None:
        def carry_out(tx: Tx) -> None:
            rows = self._rows()
            upkeep, row = upkeep_of(rows, held, verdict, finished)
            if upkeep in (Upkeep.FORGET, Upkeep.ORPHAN):
                rows.forget(held, row.state, upkeep, self._retention_ms)

        self.run(carry_out)

    def close(self) -> None:
        if self._thread is not None and self._pid == os.getpid() and self._thread.is_alive():
            self._work.put(None)
            self._thread.join()

    # ---- the thread that has the file

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=self._busy_timeout)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # done means durable
            connection.execute("PRAGMA foreign_keys = ON")
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'assent_meta'").fetchone():
                raise ConfigError(f"{self._path} is kept by the C++ adapter, whose prepared work is not known here: give this service a file "
                                  "of its own")
            connection.execute(_TABLE)
            if not any(name == "orphan" for _, name, *_ in connection.execute("PRAGMA table_info(assent_barrier)")):
                connection.execute("ALTER TABLE assent_barrier ADD COLUMN orphan INTEGER NOT NULL DEFAULT 0")
            if self._tables:
                connection.executescript(self._tables)
        except sqlite3.Error as error:
            connection.close()
            raise ConfigError(f"{self._path}: {error}") from error
        except ConfigError:
            connection.close()
            raise
        connection.set_authorizer(self._authorize)
        return connection

    def _authorize(self, action: int, *_: Any) -> int:
        """A handler ends no transaction, by whatever call of the driver's: what others did in it would be committed by that, too."""
        return sqlite3.SQLITE_DENY if self._in_handler and action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

    def _serve(self, ready: "concurrent.futures.Future[None]") -> None:
        try:
            self._db = self._open()
        except BaseException as error:  # noqa: BLE001 (start() raises it)
            ready.set_exception(error)
            return
        ready.set_result(None)
        while (first := self._work.get()) is not None:
            batch = [first]
            while len(batch) < MAX_BATCH and not self._work.empty():
                following = self._work.get()
                if following is None:
                    self._work.put(None)
                    break
                batch.append(following)
            try:
                self._carry_out(batch)
            except BaseException as error:  # noqa: BLE001 (the thread is everybody's)
                self._broken = f"the connection to {self._path} is lost ({type(error).__name__}: {error}): restart this process"
                for one in batch:
                    self._say(one, None, None if isinstance(one, Job) else RuntimeError(self._broken))
        self._db.close()

    def _carry_out(self, batch: list[Any]) -> None:
        batch = [one for one in batch if isinstance(one, _Own) or one.begin()]
        answers = self._together(batch)
        if answers is None and len(batch) > 1:  # one of them has undone all: each by itself shows which
            for one in batch:
                self._carry_out([one])
            return
        for one, (value, failure) in zip(batch, answers or []):
            self._say(one, value, failure)

    @staticmethod
    def _say(one: Any, value: Any, failure: Optional[BaseException]) -> None:
        if isinstance(one, Job):
            one.answer(reply_to(failure) if failure else value)
        elif not one.future.done():
            one.future.set_exception(failure) if failure else one.future.set_result(value)

    def _together(self, batch: list[Any]) -> Optional[list[tuple[Any, Optional[BaseException]]]]:
        """Of each what it gives, or why not. None: nothing of it has happened, and it may be done one by one."""
        if self._broken is not None:
            return [(None, None) if isinstance(one, Job) else (None, RuntimeError(self._broken)) for one in batch]
        try:
            self._db.execute(_BEGIN)
        except sqlite3.Error as error:
            return [(None, error)] * len(batch)
        answers = []
        for one in batch:
            answers.append(self._one(one))
            if not self._db.in_transaction:  # some errors of SQLite undo the whole transaction
                failure = answers[-1][1] or RuntimeError("the transaction was ended by a handler")
                return None if len(batch) > 1 else [(None, failure)]
        try:
            self._commit()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_COMMITTED and self._db.in_transaction:
                self._db.execute(_ROLLBACK)
                return None if len(batch) > 1 else [(None, error)]
            # Perhaps it is on disk, and this connection would not show it. No answer is the true one: it is asked again, and the next
            # process finds what there is.
            self._broken = f"a COMMIT of {self._path} failed ({error}), and what it left is for the next start to find: restart this process"
            return [(None, None) if isinstance(one, Job) else (None, RuntimeError(self._broken)) for one in batch]
        return answers

    def _commit(self) -> None:
        self._db.execute(_COMMIT)

    def _one(self, one: Any) -> tuple[Any, Optional[BaseException]]:
        self._db.execute(_SAVEPOINT)
        failure: Optional[BaseException] = None
        value, keep = None, False
        self._in_handler = True
        try:
            value, keep = (self._run_own(one.work), True) if isinstance(one, _Own) else self._perform(one.call)
        except BaseException as error:  # noqa: BLE001 (a failed attempt; sys.exit ends no thread of ours)
            failure = error
        finally:
            self._in_handler = False
        if self._db.in_transaction:
            if not keep:
                self._db.execute(f"ROLLBACK TO {_SAVEPOINT}")
            self._db.execute(f"RELEASE {_SAVEPOINT}")
        return value, failure

    def _run_own(self, work: Callable[[Tx], Any]) -> Any:
        tx = self._tx()
        try:
            return work(tx)
        finally:
            tx.end()

    def _perform(self, call: Call) -> tuple[Reply, bool]:
        action = self.table.get((call.protocol, call.action))
        if action is None:
            return retry_later(f"no action {call.protocol.short}:{call.action} is registered here"), False
        return run_local(self._rows(), action, self._tx(), call, self._db.execute)

    def _rows(self) -> Rows:
        return Rows(lambda sql, parameters: self._db.execute(sql, parameters), SQLITE, "main.assent_barrier")

    def _tx(self) -> Tx:
        return Tx(self._db, SQLITE, stands=lambda: self._db.in_transaction)
