"""The participant for asyncio: what participant.py has, as tasks. Coroutine functions run in the loop, plain ones in worker threads,
adapters in threads of their own.

    async with assent.aio.Participant(service):
        await something
"""

import asyncio
import signal
import threading
import time
from typing import Any, Optional

import grpc
import grpc.aio

from ..errors import ConfigError, DeadlineExceeded, FailedPrecondition
from ..roster import Backoff, Options, Shared, Workers
from ..service import Action, Job, Service, is_async, run_async
from ..session import Counters, Session
from ..v1 import cluster_pb2, cluster_pb2_grpc, participant_pb2_grpc
from ..why import why_failed

_TICK = 0.2


class LoopWorkers:
    """Runs plain handlers: coroutines as tasks of the loop, functions in threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int):
        self._loop = loop
        self._threads = Workers(threads)
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, action: Action, job: Job) -> None:
        """From any thread."""
        if not is_async(action):
            self._threads.run(action, job)
        elif threading.get_ident() == getattr(self._loop, "_thread_id", None):
            self._begin(action, job)
        else:
            self._loop.call_soon_threadsafe(self._begin, action, job)

    def _begin(self, action: Action, job: Job) -> None:
        task = self._loop.create_task(self._work(action, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _work(action: Action, job: Job) -> None:
        if job.begin():
            reply = None
            try:
                reply = await run_async(action, job.call)
            finally:
                job.answer(reply)

    async def close(self, wait: bool) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.to_thread(self._threads.close, wait)


class _Link:
    def __init__(self, owner: "Participant", endpoint: str):
        self.endpoint = endpoint
        self.session: Optional[Session] = None
        self.failure = "not tried yet"
        self.retired = False
        self._owner, self._shared = owner, owner._shared
        self._outgoing = asyncio.Event()
        self._call: Any = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    def _wake(self) -> None:
        """From any thread."""
        try:
            self._owner._loop.call_soon_threadsafe(self._outgoing.set)
        except RuntimeError:
            pass  # the loop is closed, and with it the stream

    async def _run(self) -> None:
        backoff = Backoff(self._shared.options)
        stopping = self._owner._stopping
        while not stopping.is_set() and not self.retired:
            if self._owner._is_spare(self):
                await _until(stopping, _TICK)
                continue
            session = self.session = Session(
                self.endpoint, self._shared.hello(self.endpoint), self._shared.desk, self._shared.counters, deliver=self._owner._deliver,
                wake=self._wake, log=self._shared.log)
            self.failure = await self._converse(session)
            session.close()
            self._owner._changed.set()
            if session.was_good():
                backoff.reset()
            wait = backoff.next()
            if not stopping.is_set() and not self.retired:
                self._shared.log_failure(self.endpoint, session.opened_at is not None, self.failure)
                await _until(stopping, wait)
        self._owner._changed.set()

    async def _converse(self, session: Session) -> str:
        channel, writer, watcher = None, None, None
        try:
            metadata = self._shared.dialling.metadata(self.endpoint)
            channel = self._shared.dialling.channel(self.endpoint, grpc.aio)
            self._call = participant_pb2_grpc.ParticipantSessionStub(channel).Connect(metadata=metadata)
            writer = asyncio.get_running_loop().create_task(self._write(session, self._call))
            while (frame := await self._call.read()) is not grpc.aio.EOF:
                was_open = session.opened_at is not None
                session.on_frame(frame)
                self._outgoing.set()
                if not was_open:
                    watcher = self._on_welcome(session, channel)
            code, details = await self._call.code(), await self._call.details()
            return "the coordinator ended the session" if code == grpc.StatusCode.OK else self._why(code, details)
        except grpc.aio.AioRpcError as error:
            return self._why(error.code(), error.details())
        except ConfigError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 (bytes that are no frame, whatever a library makes of them: it is dialled again)
            return f"the coordinator at {self.endpoint} does not keep to the protocol: {type(error).__name__}: {error}"
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return session.complaint() or "given up"
        finally:
            session.close()
            for task in (writer, watcher):
                if task is not None:
                    task.cancel()
            if self._call is not None:
                self._call.cancel()
            if channel is not None:
                await channel.close()

    def _why(self, code: grpc.StatusCode, details: Optional[str]) -> str:
        return why_failed(code.name, details or "", self._shared.dialling.is_secure(self.endpoint))

    async def _write(self, session: Session, call: Any) -> None:
        try:
            while True:
                self._outgoing.clear()
                frame = session.next_frame()
                if frame is not None:
                    await call.write(frame)
                elif session.finished:
                    await call.done_writing()
                    return
                else:
                    await self._outgoing.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the reader says how it ended

    def _on_welcome(self, session: Session, channel: Any) -> Optional["asyncio.Task[None]"]:
        if self._owner._is_spare(self):
            session.stop()
            return None
        self._owner._changed.set()
        self._owner._ask_now.set()
        if session.clustered:
            return asyncio.get_running_loop().create_task(self._watch(session, channel))
        return None

    async def _watch(self, session: Session, channel: Any) -> None:
        try:
            metadata = self._shared.dialling.metadata(self.endpoint)
            async for view in cluster_pb2_grpc.ClusterServiceStub(channel).Watch(cluster_pb2.WatchClusterRequest(), metadata=metadata):
                self._shared.learn(session.coordinator_id, view)
                self._owner._dial_wanted()
        except (grpc.aio.AioRpcError, ConfigError, ValueError):
            pass

    def abandon(self) -> None:
        if self._call is not None:
            self._call.cancel()


async def _until(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
        return True
    except asyncio.TimeoutError:
        return False


class Participant:
    """Made and used in one event loop. The options are those of assent.Participant."""

    def __init__(self, service: Service, endpoints: Any = None, **options: Any):
        self._service, self._options = service, {"endpoints": endpoints, **options}
        self._links: dict[str, _Link] = {}
        self._started = False

    async def start(self) -> "Participant":
        if self._started:
            raise FailedPrecondition("the participant was started before; make another one")
        options = Options(**self._options)
        self._loop = asyncio.get_running_loop()
        self._workers = LoopWorkers(self._loop, options.workers)
        self._shared = Shared(self._service, options, self._workers.run)
        await asyncio.to_thread(self._shared.start_resources)
        self._started = True
        self._stopping, self._ask_now, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._dial_wanted()
        self._ticker = self._loop.create_task(self._tick())
        return self

    async def wait_connected(self, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while not self.connected:
            self._changed.clear()
            if not await _until(self._changed, max(end - time.monotonic(), 0.0)) and not self.connected:
                failures = "; ".join(f"{link.endpoint}: {link.failure}" for link in self._links.values())
                raise DeadlineExceeded(f"no coordinator within {timeout:g} s: {failures}")

    async def stop(self) -> None:
        if not self._started or self._stopping.is_set():
            return
        self._stopping.set()
        for link in self._links.values():
            session = link.session
            if session is not None and session.open:
                session.stop()
            elif session is not None and session.opened_at is None:
                link.abandon()
        tasks = [link.task for link in self._links.values()]
        in_time = not tasks or not (await asyncio.wait(tasks, timeout=self._shared.options.stop_grace))[1]
        for link in self._links.values():
            link.abandon()
        if tasks:
            await asyncio.wait(tasks)
        self._ask_now.set()
        await self._ticker
        await self._workers.close(in_time)
        await asyncio.to_thread(self._shared.close_resources)

    async def run(self) -> None:
        """Starts, and stops when SIGTERM or SIGINT comes."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        try:
            async with self:
                await ended.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    @property
    def counters(self) -> Counters:
        return self._shared.counters

    @property
    def connected(self) -> int:
        return sum(link.session is not None and link.session.open for link in self._links.values())

    async def __aenter__(self) -> "Participant":
        return await self.start()

    async def __aexit__(self, *failure: Any) -> None:
        await self.stop()

    def _deliver(self, *what: Any) -> None:
        # A verdict is carried out in the database, which may take a while.
        self._loop.run_in_executor(None, self._shared.deliver, *what)

    def _dial_wanted(self) -> None:
        wanted = self._shared.wanted()
        if self._stopping.is_set():
            return
        for endpoint, link in list(self._links.items()):
            link.retired = endpoint not in wanted
            if link.task.done() and endpoint in wanted:
                del self._links[endpoint]
        for endpoint in wanted:
            if endpoint not in self._links:
                self._links[endpoint] = _Link(self, endpoint)

    def _is_spare(self, link: _Link) -> bool:
        session = link.session
        if session is None or session.epoch == 0:
            return False
        for other in list(self._links.values()):
            there = other.session
            if other is not link and there is not None and there.open and there.epoch == session.epoch \
                    and there.coordinator_id == session.coordinator_id and there.opened_at < (session.opened_at or 0.0):
                return True
        return False

    async def _tick(self) -> None:
        next_questions = time.monotonic() + self._shared.options.question_interval
        while not self._stopping.is_set():
            asked = await _until(self._ask_now, _TICK)
            self._ask_now.clear()
            for link in list(self._links.values()):
                if link.session is not None and link.session.complaint():
                    link.abandon()
            if asked or time.monotonic() >= next_questions:
                next_questions = time.monotonic() + self._shared.options.question_interval
                sessions = [link.session for link in list(self._links.values()) if link.session is not None]
                await asyncio.to_thread(self._shared.ask_round, sessions)
