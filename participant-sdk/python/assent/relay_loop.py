"""The relay's loop: turns, and calls in between. What it decides is in relay_rules.py. The database is worked on in one thread, since its drivers
wait; calls are tasks of the loop."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import time
from typing import Any, Callable, Optional

from . import calls, wire
from .errors import DeadlineExceeded, Error, FailedPrecondition, NotFound
from .outbox import Outbox
from .outbox_sql import OutboxCounts, Room, Settled, Table, Taken, driver_of
from .relay_rules import (COUNT_BOUND, COUNT_EVERY_S, DATABASE_BACKOFF_S, INITIAL_BACKOFF_S, MAX_BATCH_BYTES, NOT_YET, OLD_S,
                          RelayOptions, RelayStats, conclude, elapsed, is_of_the_coordinator, log_line, read)
from .words import WaitFor

_TOLD_EVERY_S = 60.0


class Loop:
    """Made anywhere, started and used in one event loop."""

    def __init__(self, outbox: Outbox, make_client: Callable[[], Any], options: RelayOptions):
        """`make_client`: within the event loop; of an assent.aio.Client, or what has its `get`, `wait`, `_carry_out` and `close`."""
        self._outbox, self._make_client, self._options = outbox, make_client, options
        self._task: Optional["asyncio.Task[None]"] = None
        self._under_way: dict["asyncio.Task[None]", Taken] = {}
        self._unaccepted: set[int] = set()  # ids of rows of which the coordinator has said nothing yet
        self._settled: list[Settled] = []  # and not written yet
        self._probing = False  # it does not answer: one row at a time finds out when it does
        self._database_failure = ""
        self._counts: Optional[OutboxCounts] = None
        self._counted_at, self._told_at = -COUNT_EVERY_S, -_TOLD_EVERY_S
        self._handed_over = self._failed = self._parked = 0
        self._table: Optional[Table] = None
        self._listener: Optional[_Listener] = None

    async def start(self) -> None:
        if self._task is not None:
            raise FailedPrecondition("the relay was started before; make another one")
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()
        self._wake, self._stopping = asyncio.Event(), False
        self._database = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="assent-relay-sql")
        self._task = self._loop.create_task(self._run())

    def wake(self) -> None:
        """After a commit in this process: it looks at once."""
        if self._task is not None:
            self._wake.set()

    def stats(self) -> RelayStats:
        return RelayStats(len(self._under_way), self._handed_over, self._failed, self._parked, self._counts)

    async def stop(self) -> None:
        """Takes nothing more, waits for what is under way, and leaves the rest in the table."""
        if self._task is None or self._stopping:
            return
        self._stopping = True
        self._wake.set()
        end = self._loop.time() + self._options.stop_grace
        answers = bool((await asyncio.wait([self._task], timeout=self._options.stop_grace))[0])  # the database does
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=max(end - self._loop.time(), 0.0))
        for task in list(self._under_way):
            task.cancel()
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        if self._listener is not None:
            await self._listener.close()
        if answers:
            with contextlib.suppress(Exception):  # what could not be written is handed over again
                await self._turn_of_table(Room(0, 0, 0))
            await self._in_database(self._close_table)
        self._task.cancel()
        self._database.shutdown(wait=answers)
        await self._client.close()

    # ---- turns

    async def _run(self) -> None:
        pause = INITIAL_BACKOFF_S
        while not self._stopping:
            self._wake.clear()
            try:
                more = await self._turn()
                pause = INITIAL_BACKOFF_S
            except Exception as error:  # noqa: BLE001 (a driver's; rows that were taken are taken again when their lease ends)
                await self._in_database(self._close_table)
                self._say_database(f"{type(error).__name__}: {error}")
                await self._idle(pause, whatever=True)
                pause = min(pause * 2, DATABASE_BACKOFF_S)
                continue
            if not more:
                await self._idle(self._options.poll)

    async def _turn(self) -> bool:
        rows, more = await self._turn_of_table(self._room())
        self._say_database("")
        self._reach("settled")
        taken_at = elapsed()
        if rows:
            self._reach("taken")
        for row in rows:
            self._unaccepted.add(row.id)
            task = self._loop.create_task(self._hand_over(row, taken_at))
            self._under_way[task] = row
            task.add_done_callback(self._ended)
        if self._loop.time() - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = self._loop.time()
            self._counts = await self._in_database(lambda: self._open_table().count(COUNT_BOUND))
            self._say_counts()
        return more and bool(rows)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._unaccepted.discard(self._under_way.pop(task).id)
        self._wake.set()

    def _room(self) -> Room:
        """Rows of keys may take long: they leave half of the room to the others."""
        under_way = list(self._under_way.values())
        keyed = sum(row.key is not None for row in under_way)
        left = MAX_BATCH_BYTES - sum(len(row.request or b"") for row in under_way)
        if self._probing:
            return Room(0 if self._unaccepted else 1, 0 if self._unaccepted or keyed >= self._options.batch // 2 else 1, max(left, 1))
        if left <= 0:
            return Room(0, 0, 0)
        half = self._options.batch // 2
        return Room(self._options.batch - half - (len(under_way) - keyed), half - keyed, left)

    async def _idle(self, seconds: float, whatever: bool = False) -> None:
        """`whatever`: it is not woken by news."""
        if whatever:
            end = self._loop.time() + seconds
            while not self._stopping and (left := end - self._loop.time()) > 0:
                self._wake.clear()
                await self._idle(left)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    # ---- the database, in its thread

    async def _in_database(self, work: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._database, work)

    def _open_table(self) -> Table:
        if self._table is None:
            self._table = self._outbox.open_table()
            self._table.create()
            self._loop.call_soon_threadsafe(self._listen, driver_of(self._table.connection))
        return self._table

    async def _turn_of_table(self, room: Room) -> Any:
        settled, self._settled = self._settled, []
        try:
            return await self._in_database(lambda: self._open_table().turn(settled, room, self._options.lease))
        except BaseException:
            self._settled = settled + self._settled  # said again: it may have happened, or not
            raise

    def _close_table(self) -> None:
        table, self._table = self._table, None
        if table is not None:
            with contextlib.suppress(Exception):
                table.close()

    def _listen(self, driver: str) -> None:
        if driver.startswith("psycopg") and self._listener is None and not self._stopping:
            self._listener = _Listener(self._outbox, self.wake)

    # ---- the coordinator

    async def _hand_over(self, row: Taken, taken_at: float) -> None:
        try:
            settled = await self._ask(row, taken_at + self._options.call_timeout)
        except asyncio.CancelledError:
            settled = Settled(row, later=0.0, error="the relay was stopped before there was an answer")
        except Exception as error:  # noqa: BLE001 (of one row: it is said there, and the others go on)
            self._probing = self._probing or is_of_the_coordinator(error)
            settled = conclude(row, error)
        if settled.parked:
            self._parked += 1
            self._say(f"a row of the outbox waits for a person gid={row.gid} reason={settled.parked!r}", logging.WARNING)
        elif settled.later is None:
            self._handed_over += 1
            self._reach("answered")
        elif settled.error != NOT_YET:
            self._failed += 1
        self._settled.append(settled)

    async def _ask(self, row: Taken, end: float) -> Settled:
        request = read(row)
        if isinstance(request, str):
            return Settled(row, parked=request)
        # A process that was stopped for long must not say what others have said, and the coordinator has forgotten, since.
        if end - elapsed() <= 0:
            return Settled(row, later=0.0, error="the relay stood still for longer than a call may take", never_sent=True)
        if row.first_attempt_age > self._options.retention_guard:
            try:
                await self._client.get(row.gid, timeout=end - elapsed())
            except NotFound:
                return Settled(row, parked="the coordinator does not know it, and it was first handed over "
                                           f"{row.first_attempt_age / 3600:.1f} h ago: it may have run, and been forgotten")
        else:
            request.wait_for = int(WaitFor.ACCEPTED)
            await self._client._carry_out(calls.Prepared("Submit", request, row.gid, f"Submit of transaction {row.gid}", end - elapsed(), False,
                                                         wire.report_of))
        self._probing = False
        self._unaccepted.discard(row.id)
        if row.key is not None:
            try:
                await self._client.wait(row.gid, wait=WaitFor.COMPLETED, timeout=max(end - elapsed(), 0.001))
            except DeadlineExceeded:
                return Settled(row, later=0.0, error=NOT_YET)
            except NotFound:
                pass  # it is over, and forgotten
            except Error as error:  # it was handed over all the same
                return dataclasses.replace(conclude(row, error), never_sent=False)
        return Settled(row)

    # ---- what it says

    def _say(self, line: str, level: int = logging.INFO) -> None:
        log_line(self._options, line, level)

    def _say_database(self, failure: str) -> None:
        if failure and not self._database_failure:
            self._say(f"the outbox cannot be read error={failure!r}", logging.WARNING)
        elif self._database_failure and not failure:
            self._say("the outbox can be read again")
        self._database_failure = failure

    def _say_counts(self) -> None:
        counts = self._counts
        if counts is None or time.monotonic() - self._told_at < _TOLD_EVERY_S or not (counts.parked or counts.oldest_age > OLD_S):
            return
        self._told_at = time.monotonic()
        self._say(f"the outbox needs a look waiting={counts.waiting}{'+' if counts.is_more else ''} parked={counts.parked} "
                  f"unknown={counts.unknown} oldest_seconds={counts.oldest_age:.0f}", logging.WARNING)

    def _reach(self, point: str) -> None:
        if self._options.at_point is not None:
            self._options.at_point(point)


class _Listener:
    """Over PostgreSQL: a connection that is told when something was published. Without it polling does the same, later."""

    def __init__(self, outbox: Outbox, wake: Callable[[], None]):
        self._outbox, self._wake = outbox, wake
        self._threads = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="assent-relay-listen")
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop, pause = asyncio.get_running_loop(), INITIAL_BACKOFF_S
        while True:
            news, reader = asyncio.Event(), -1
            opening = self._threads.submit(self._open)
            try:
                connection = await asyncio.wrap_future(opening)
                reader = connection.fileno()
                loop.add_reader(reader, news.set)
                self._wake()
                while True:
                    await news.wait()
                    news.clear()
                    if hears(connection):
                        pause = INITIAL_BACKOFF_S
                        self._wake()
            except Exception:  # noqa: BLE001 (the relay's own connection says what the database says)
                pass
            finally:
                if reader >= 0:
                    loop.remove_reader(reader)
                opening.add_done_callback(give_up)
            await asyncio.sleep(pause)
            pause = min(pause * 2, DATABASE_BACKOFF_S)

    def _open(self) -> Any:
        table = self._outbox.open_table()
        table.run("LISTEN assent_outbox")
        return table.connection

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._threads.shutdown(wait=False)


def give_up(opened: "concurrent.futures.Future[Any]") -> None:
    """The connection, once there is one."""
    if not opened.cancelled() and opened.exception() is None:
        with contextlib.suppress(Exception):
            opened.result().close()


def hears(connection: Any) -> bool:
    """Takes what has come. It raises when the connection is lost."""
    if driver_of(connection) == "psycopg2":
        connection.poll()
        found = bool(connection.notifies)
        connection.notifies.clear()
        return found
    connection.pgconn.consume_input()
    found = False
    while connection.pgconn.notifies() is not None:
        found = True
    return found
