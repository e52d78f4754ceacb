"""What both kinds of participant share: options, who is dialled, questions, the workers of plain handlers."""

import concurrent.futures
import dataclasses
import logging
import os
import random
import socket
from typing import Any, Callable, Iterable, Optional, Union

from .barrier import Held
from .call import Reply
from .desk import Desk
from .dial import Dialling, Tls, Token, check_endpoint, endpoints_of
from .errors import ConfigError
from .service import Job, Resource, Service, run_plain, unknown_action
from .session import Counters, Session
from .v1 import participant_pb2
from .version import AGENT
from .words import MAX_NAME_BYTES, Verdict, cut, one_line

MAX_MEMBERS = 32  # of one cluster: more are not dialled
MIN_SHARE = 32  # commands in flight for each of several coordinators, at the least
QUESTIONS_AT_ONCE = 256

_LOGGER = logging.getLogger("assent")


@dataclasses.dataclass(frozen=True)
class Options:
    """Of a participant. Seconds."""

    # "host:port", or several, all of them dialled, and those that share a log with one of them. None: ASSENT_ENDPOINT.
    endpoints: Union[None, str, Iterable[str]] = None
    instance: str = ""  # tells instances apart in `assentctl participants`; empty: host name and process id
    workers: int = 16  # threads that run plain handlers; one that blocks occupies one
    max_in_flight: int = 1024  # commands that a coordinator may have unanswered here; several share it
    max_queued_calls: int = 8192  # all coordinators together; one more is answered "retry later"
    initial_backoff: float = 0.05  # before dialling again: doubles each time, with full jitter
    max_backoff: float = 2.0
    keepalive: float = 20.0  # a silent connection is probed this often, and given up soon after; 0: never
    question_interval: float = 5.0  # and on each connection
    stop_grace: float = 10.0  # how long running handlers may take before it leaves without their answers
    tls: Optional[Tls] = None
    token: Optional[Token] = None
    # State changes, one line each, "key=value"; never a payload. None: the logger "assent", where trouble is a warning.
    log: Optional[Callable[[str], None]] = None

    def check(self) -> None:
        for name, least in (("workers", 1), ("max_in_flight", 1), ("max_queued_calls", 1), ("initial_backoff", 0), ("max_backoff", 0),
                            ("keepalive", 0), ("question_interval", 0.01), ("stop_grace", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if len(self.instance.encode()) > MAX_NAME_BYTES:
            raise ConfigError(f"instance has {len(self.instance.encode())} bytes; at most {MAX_NAME_BYTES}")


class Backoff:
    def __init__(self, options: Options):
        self._options = options
        self.reset()

    def reset(self) -> None:
        self._next = self._options.initial_backoff

    def next(self) -> float:
        wait, self._next = random.uniform(0, self._next), min(self._next * 2, self._options.max_backoff)
        return wait


class Shared:
    """What the sessions of one participant have in common. ConfigError when it is made, for what is wrong."""

    def __init__(self, service: Service, options: Options, run: Callable[[Any, Job], None]):
        """`run(action, job)`: runs a plain handler."""
        options.check()
        self.service, self.options = service, options
        self.owners = service.by_action()
        self.seeds = endpoints_of(options.endpoints)
        self.dialling = Dialling(options.tls, options.token, options.keepalive)
        self.counters = Counters()
        self.desk = Desk(self._execute, options.max_queued_calls)
        self.maps: dict[int, list[str]] = {}  # members by coordinator_id
        self._run = run
        self._holders: dict[tuple[str, str], Resource] = {}
        self._turn = 0
        self._told: dict[str, str] = {}  # by endpoint: the last failure that was logged

    def log(self, line: str, level: int = logging.INFO) -> None:
        if self.options.log is not None:
            self.options.log(line)
        else:
            _LOGGER.log(level, "%s", line)

    def log_failure(self, endpoint: str, was_open: bool, failure: str) -> None:
        """One line for each change, not for each attempt."""
        line = one_line(f"{'disconnected' if was_open else 'not connected'} endpoint={endpoint} reason=\"{failure}\"")
        if was_open or self._told.get(endpoint) != line:
            self.log(line, logging.WARNING)
        self._told[endpoint] = line

    def _execute(self, job: Job) -> None:
        key = (job.call.protocol, job.call.action)
        if key not in self.owners:
            job.answer(unknown_action(job.call))
            return
        owner = self.owners[key]
        if owner is None:
            self._run(self.service.table[key], job)
        else:
            owner.execute(job)

    def hello(self, endpoint: str) -> Any:
        members = next((len(members) for members in self.maps.values() if endpoint in members), 1)
        share = max(self.options.max_in_flight // max(members, 1), min(MIN_SHARE, self.options.max_in_flight))
        return participant_pb2.Hello(
            version=1, service=self.service.name, agent=AGENT, max_in_flight=share,
            instance=self.options.instance or cut(f"{socket.gethostname()}-{os.getpid()}", MAX_NAME_BYTES),
            actions=[participant_pb2.ActionInfo(name=name, protocol=int(protocol)) for protocol, name in sorted(self.owners)])

    def deliver(self, held: Held, verdict: Verdict, finished: bool) -> None:
        resource = self._holders.pop((held.gid, held.branch_id), None)
        if resource is not None:
            try:
                resource.answer(held, verdict, finished)
            except Exception as error:  # noqa: BLE001 (asked again in the next round)
                self.log(f"the answer about branch {held.branch_id} of transaction {held.gid} was not carried out: {error}",
                         logging.WARNING)

    def ask_round(self, sessions: list[Session]) -> None:
        """Asks one of the coordinators of the log in which each transaction began, and another one next round; if none of that log is
        connected, all that are."""
        sessions = [session for session in sessions if session.open]
        if not sessions:
            return
        self._turn += 1
        self._holders.clear()
        for resource in self.service.resources:
            try:
                questions = resource.questions(QUESTIONS_AT_ONCE)
            except Exception as error:  # noqa: BLE001
                self.log(f"no questions asked: {type(error).__name__}: {error}", logging.WARNING)
                continue
            for held in questions:
                self._holders[(held.gid, held.branch_id)] = resource
                of_log = [session for session in sessions if session.coordinator_id == held.coordinator_id]
                for session in [of_log[self._turn % len(of_log)]] if of_log else sessions:
                    session.question([held])

    def learn(self, coordinator_id: int, view: Any) -> None:
        """Who shares the log, as one of them says."""
        members = []
        for member in view.members[:MAX_MEMBERS]:
            try:
                check_endpoint(member.address)
                members.append(member.address)
            except ConfigError:
                self.log("a member's address cannot be dialled")
        if members:
            self.maps[coordinator_id] = members

    def wanted(self) -> list[str]:
        """The endpoints that were given are kept, since an address that a member says of itself may lead nowhere from here."""
        return list(dict.fromkeys([*self.seeds, *(member for members in self.maps.values() for member in members)]))

    def start_resources(self) -> None:
        for resource in self.service.resources:
            resource.start()

    def close_resources(self) -> None:
        for resource in self.service.resources:
            resource.close()


class Workers:
    """Threads that run plain handlers. (The desk bounds how many calls wait for them.)"""

    def __init__(self, count: int):
        self._pool = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="assent-worker")

    def run(self, action: Any, job: Job) -> None:
        self._pool.submit(self._work, action, job)

    @staticmethod
    def _work(action: Any, job: Job) -> None:
        if job.begin():
            reply: Optional[Reply] = None
            try:
                reply = run_plain(action, job.call)
            finally:
                job.answer(reply)

    def close(self, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=not wait)
