"""For services: own branches of transactions. Plain functions as handlers, threads below. (With asyncio: assent.aio.Participant.)

    participant = assent.Participant(service)
    participant.run()                                     # until SIGTERM or SIGINT

It dials the coordinator (several, if there are several), keeps the connection, and needs no port. An exception of a handler is a
failed attempt, never the end of the process; two operations of one branch never run at the same time in one process; a command that
comes again while the first is running gets the first one's answer.
"""

import signal
import threading
import time
from typing import Any, Optional

import grpc

from .errors import ConfigError, DeadlineExceeded, FailedPrecondition
from .roster import Backoff, Options, Shared, Workers
from .service import Service
from .session import Counters, Session
from .v1 import cluster_pb2, cluster_pb2_grpc, participant_pb2_grpc
from .why import why_failed

_TICK = 0.2


class _Link(threading.Thread):
    """Keeps a session with one endpoint: dials, talks, waits, dials again."""

    def __init__(self, owner: "Participant", endpoint: str):
        super().__init__(name=f"assent-session-{endpoint}", daemon=True)
        self.endpoint = endpoint
        self.session: Optional[Session] = None
        self.failure = "not tried yet"
        self.retired = False  # it leads nowhere any more: not dialled again when its session has ended
        self._owner, self._shared = owner, owner._shared
        self._outgoing = threading.Event()
        self._call: Any = None
        self._watcher: Optional[threading.Thread] = None
        self.watch_call: Any = None

    def run(self) -> None:
        backoff = Backoff(self._shared.options)
        while not self._owner._stopping.is_set() and not self.retired:
            if self._owner._is_spare(self):
                self._owner._stopping.wait(_TICK)
                continue
            session = self.session = Session(
                self.endpoint, self._shared.hello(self.endpoint), self._shared.desk, self._shared.counters, deliver=self._shared.deliver,
                wake=self._outgoing.set, log=self._shared.log)
            self.failure = self._converse(session)
            session.close()
            self._owner._on_change()
            if session.was_good():
                backoff.reset()
            wait = backoff.next()
            if not self._owner._stopping.is_set() and not self.retired:
                self._shared.log_failure(self.endpoint, session.opened_at is not None, self.failure)
                self._owner._stopping.wait(wait)
        self._owner._on_change()

    def _converse(self, session: Session) -> str:
        """What it ended with."""
        channel = None
        try:
            metadata = self._shared.dialling.metadata(self.endpoint)
            channel = self._shared.dialling.channel(self.endpoint)
            self._call = participant_pb2_grpc.ParticipantSessionStub(channel).Connect(self._frames(session), metadata=metadata)
            for frame in self._call:
                was_open = session.opened_at is not None
                session.on_frame(frame)
                if not was_open:
                    self._on_welcome(session, channel)
            return "the coordinator ended the session"
        except grpc.RpcError as error:
            return session.complaint() or why_failed(error.code().name, error.details() or "", self._shared.dialling.is_secure(self.endpoint))
        except ConfigError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 (bytes that are no frame, whatever a library makes of them: it is dialled again)
            return f"the coordinator at {self.endpoint} does not keep to the protocol: {type(error).__name__}: {error}"
        finally:
            session.close()
            if self.watch_call is not None:
                self.watch_call.cancel()
            if self._call is not None:
                self._call.cancel()
            if channel is not None:
                channel.close()

    def _on_welcome(self, session: Session, channel: Any) -> None:
        if self._owner._is_spare(self):
            session.stop()
            return
        self._owner._on_change()
        self._owner._ask_now.set()
        if session.clustered:
            self._watcher = threading.Thread(target=self._watch, args=(session, channel), name="assent-map", daemon=True)
            self._watcher.start()

    def _watch(self, session: Session, channel: Any) -> None:
        """Follows who shares the log, for as long as the session stands."""
        try:
            metadata = self._shared.dialling.metadata(self.endpoint)
            self.watch_call = cluster_pb2_grpc.ClusterServiceStub(channel).Watch(cluster_pb2.WatchClusterRequest(), metadata=metadata)
            for view in self.watch_call:
                self._shared.learn(session.coordinator_id, view)
                self._owner._dial_wanted()
        except (grpc.RpcError, ConfigError, ValueError):
            pass  # it ends with the session, or the next one asks again

    def _frames(self, session: Session) -> Any:
        while True:
            self._outgoing.clear()
            frame = session.next_frame()
            if frame is not None:
                yield frame
            elif session.finished:
                return
            else:
                self._outgoing.wait()

    def tick(self) -> None:
        session = self.session
        if session is not None and session.complaint() and self._call is not None:
            self._call.cancel()

    def abandon(self) -> None:
        if self._call is not None:
            self._call.cancel()


class Participant:
    """Thread-safe, but for its beginning. Also a context manager: starts, and stops."""

    def __init__(self, service: Service, endpoints: Any = None, **options: Any):
        """`options`: fields of Options. What is wrong with them, or with the actions, is a ConfigError of `start`."""
        self._service, self._options = service, {"endpoints": endpoints, **options}
        self._stopping = threading.Event()
        self._ask_now = threading.Event()
        self._changed = threading.Condition()
        self._links: dict[str, _Link] = {}
        self._started = False

    def start(self) -> "Participant":
        """Begins to dial, and returns: an unreachable coordinator is no failure, it is dialled until it is reached."""
        if self._started:
            raise FailedPrecondition("the participant was started before; make another one")
        options = Options(**self._options)
        self._workers = Workers(options.workers)
        self._shared = Shared(self._service, options, self._workers.run)
        self._shared.start_resources()
        self._started = True
        self._dial_wanted()
        self._ticker = threading.Thread(target=self._tick, name="assent-ticker", daemon=True)
        self._ticker.start()
        return self

    def wait_connected(self, timeout: float = 10.0) -> None:
        """Until at least one coordinator has welcomed us. DeadlineExceeded says what the last attempt met."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(one.open for one in self._sessions()), timeout):
                failures = "; ".join(f"{link.endpoint}: {link.failure}" for link in self._links.values())
                raise DeadlineExceeded(f"no coordinator within {timeout:g} s: {failures}")

    def stop(self) -> None:
        """Says goodbye, answers what it has, leaves. Returns when that is done, or the grace is over. Not from a handler."""
        if not self._started or self._stopping.is_set():
            return
        end = time.monotonic() + self._shared.options.stop_grace
        with self._changed:
            self._stopping.set()
            links = list(self._links.values())
        for link in links:
            session = link.session
            if session is not None and session.open:
                session.stop()
            elif session is not None and session.opened_at is None:
                link.abandon()  # nothing was asked of us yet
        for link in links:
            link.join(max(end - time.monotonic(), 0.0))
        in_time = not any(link.is_alive() for link in links)
        for link in links:
            link.abandon()
            link.join()
        self._ask_now.set()
        self._ticker.join()
        self._workers.close(wait=in_time)
        self._shared.close_resources()

    def run(self) -> None:
        """Starts, and stops when SIGTERM or SIGINT comes; a second one ends the process at once. From the main thread."""
        ended = threading.Event()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def end(number: int, _: Any) -> None:
            if ended.is_set():
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            ended.set()

        for number in before:
            signal.signal(number, end)
        try:
            with self:
                ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def counters(self) -> Counters:
        return self._shared.counters

    @property
    def connected(self) -> int:
        """Coordinators that have welcomed us."""
        return sum(session.open for session in self._sessions())

    def __enter__(self) -> "Participant":
        return self.start()

    def __exit__(self, *failure: Any) -> None:
        self.stop()

    # ---- for the links

    def _sessions(self) -> list[Session]:
        return [link.session for link in list(self._links.values()) if link.session is not None]

    def _on_change(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _dial_wanted(self) -> None:
        wanted = self._shared.wanted()
        with self._changed:
            if self._stopping.is_set():
                return
            for endpoint, link in list(self._links.items()):
                link.retired = endpoint not in wanted
                if not link.is_alive() and endpoint in wanted:
                    del self._links[endpoint]
            for endpoint in wanted:
                if endpoint not in self._links:
                    self._links[endpoint] = _Link(self, endpoint)
                    self._links[endpoint].start()

    def _is_spare(self, link: _Link) -> bool:
        """It leads to a coordinator that has an older session: one for each is enough, whatever names lead to it."""
        session = link.session
        if session is None or session.epoch == 0:
            return False
        for other in list(self._links.values()):
            there = other.session
            if other is not link and there is not None and there.open and there.epoch == session.epoch \
                    and there.coordinator_id == session.coordinator_id and there.opened_at < (session.opened_at or 0.0):
                return True
        return False

    def _tick(self) -> None:
        next_questions = time.monotonic() + self._shared.options.question_interval
        while not self._stopping.is_set():
            asked = self._ask_now.wait(_TICK)
            self._ask_now.clear()
            for link in list(self._links.values()):
                link.tick()
            if asked or time.monotonic() >= next_questions:
                next_questions = time.monotonic() + self._shared.options.question_interval
                self._shared.ask_round(self._sessions())
