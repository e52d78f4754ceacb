"""What the adapters of database servers share: connections, threads, and what an error of a COMMIT means."""

import concurrent.futures
import contextlib
import os
import threading
from typing import Any, Callable, Iterator, Optional

from .barrier import Held, Upkeep
from .call import Call, Reply, Unknown, reply_to, retry_later
from .dialect import Dialect
from .errors import ConfigError
from .service import Action, Job
from .sql import Rows, SqlActions, second_call, upkeep_of
from .words import Operation, Protocol, Verdict, cut

ATTEMPTS = 3  # of one operation that a deadlock, or a serialisation failure, has undone
Connect = Callable[[], Any]


class CommitFailed(Unknown):
    """The answer to a COMMIT was lost: it may have happened."""


class Own:
    """What belongs to one process: after a fork the child has its own, and leaves its parent's as it is."""

    def __init__(self, threads: int):
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.idle: list[Any] = []
        self.threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="assent-sql")

    def close(self) -> None:
        self.threads.shutdown(wait=True)
        with self.lock:
            idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()


class ServerAdapter(SqlActions):
    """Operations run in threads, each with a connection of its own."""

    kind = "the database"
    dialect: Dialect

    def __init__(self, connect: Connect, *, tables: str = "", connections: int = 8, retention: float = 3600.0):
        super().__init__(retention)
        if connections < 1:
            raise ConfigError(f"connections is {connections}; it must be at least 1")
        self._connect, self._tables, self._count = connect, tables, connections
        self._started = False
        self._parents: list[Own] = []  # kept, so that no connection in there is closed: the parent works on it
        self._own = self._new_own()
        self._schema = ""  # of our tables: quoted, as part of a statement with parameters, with the dot

    # ---- of each database

    def _prepare_session(self, connection: Any) -> None:
        """Of a new connection: statements commit by themselves until a BEGIN."""
        raise NotImplementedError

    def _set_up(self, connection: Any) -> None:
        """Tables, and what the server must allow."""
        raise NotImplementedError

    def _perform_on(self, connection: Any, action: Action, call: Call) -> Reply:
        raise NotImplementedError

    def _settle_on(self, connection: Any, call: Call) -> Reply:
        """COMMIT or ROLLBACK of what is prepared."""
        raise NotImplementedError

    def _is_again(self, error: Exception) -> bool:
        """It certainly did not happen (a deadlock, a serialisation failure), and may be done at once."""
        raise NotImplementedError

    # ---- for what runs it

    def _new_own(self) -> Own:
        return Own(self._count)

    def _mine(self) -> Own:
        own = self._own
        if own.pid != os.getpid():
            self._parents.append(own)
            own = self._own = self._new_own()
        return own

    def start(self) -> None:
        if self._started:
            return
        self.check()
        try:
            with self.connection() as connection:
                self._set_up(connection)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"{self.kind} cannot be used: {type(error).__name__}: {error}") from error
        self._started = True

    def execute(self, job: Job) -> None:
        if not self._started:
            job.answer(retry_later(f"{self.kind} is not started"))
            return
        self._mine().threads.submit(self._work, job)

    def _work(self, job: Job) -> None:
        if job.begin():
            reply: Optional[Reply] = None
            try:
                reply = self.perform(job.call)
            finally:
                job.answer(reply)

    def perform(self, call: Call) -> Optional[Reply]:
        """One operation, here and now. None: nobody can say what has happened."""
        action = self.table.get((call.protocol, call.action))
        if action is None:
            return retry_later(f"no action {call.protocol.short}:{call.action} is registered here")
        last: Exception = RuntimeError("not tried")
        for _ in range(ATTEMPTS):
            try:
                with self.connection() as connection:
                    return self._perform_on(connection, action, call)
            except Exception as error:  # noqa: BLE001 (a failed attempt)
                if not self._is_again(error):
                    return reply_to(error)
                last = error
        return retry_later(cut(f"{ATTEMPTS} times in vain: {type(last).__name__}: {last}"))

    def questions(self, limit: int) -> list[Held]:
        with self.connection() as connection:
            return self.rows(connection).held(self._retention_ms, limit)

    def answer(self, held: Held, verdict: Verdict, finished: bool) -> None:
        with self.connection() as connection:
            rows = self.rows(connection)
            upkeep, row = upkeep_of(rows, held, verdict, finished)
            if upkeep in (Upkeep.COMMIT, Upkeep.ROLLBACK):
                self._settle_on(connection, second_call(held, row, verdict))
            elif upkeep in (Upkeep.FORGET, Upkeep.ORPHAN):
                rows.forget(held, row.state, upkeep, self._retention_ms)

    def close(self) -> None:
        self._started = False
        self._mine().close()
        self._own = self._new_own()

    # ---- connections

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        """One that is idle, or a new one. What is raised within ends it, and with it whatever was not committed."""
        own = self._mine()
        with own.lock:
            connection = own.idle.pop() if own.idle else None
        if connection is None:
            connection = self._connect()
            self._prepare_session(connection)
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(Exception):
                connection.close()
            raise
        with own.lock:
            if len(own.idle) < self._count:
                own.idle.append(connection)
                return
        connection.close()

    def rows(self, connection: Any) -> Rows:
        return Rows(lambda sql, parameters: run(connection, sql, parameters), self.dialect, self._schema + "assent_barrier")


def run(connection: Any, sql: str, parameters: Any = None) -> Any:
    """A cursor."""
    cursor = connection.cursor()
    cursor.execute(sql, parameters) if parameters is not None else cursor.execute(sql)
    return cursor


def value(connection: Any, sql: str, parameters: Any = None) -> Any:
    """The first column of the first row, or None."""
    cursor = run(connection, sql, parameters)
    found = cursor.fetchone()
    cursor.close()
    return found[0] if found else None


def in_two_phases(call: Call) -> bool:
    """Work that is to be kept prepared. (A sole branch prepares and commits in one local transaction.)"""
    return call.protocol == Protocol.TWO_PHASE and not (call.operation == Operation.PREPARE and call.one_phase)
