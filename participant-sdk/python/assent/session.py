"""One conversation with one coordinator, over one connection: what came in, and what is to be sent. Neither gRPC nor a thread of its
own; participant.py and aio/participant.py carry it out.

A reply is sent only on the connection that its command came on, at most once. Whatever breaks, the coordinator asks again, and the
desk answers the second asking with the first's run.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Iterable, Optional

from . import wire
from .barrier import Held
from .call import Call, Reply, retry_later
from .desk import Desk, Waiter
from .transaction import as_enum
from .v1 import participant_pb2
from .words import FRAME_BYTES, MAX_FRAME_MESSAGES, Verdict, cut, one_line

PATIENCE = 10.0  # for the Welcome, and for the end of a stream that is half-closed
GOOD_CONNECTION = 5.0  # one that lasted so long: the next dial does not inherit the waits of the failures before it
MAX_QUESTIONS = 1024


class Counters:
    """Of a participant."""

    def __init__(self) -> None:
        self.commands = 0  # received
        self.replies = 0  # sent, or queued to be
        self.dropped_replies = 0  # computed for a stream that was lost: asked again by the coordinator
        self.stale_commands = 0  # dropped unanswered: of a coordinator that has lost the transaction to another
        self.connections = 0


class _Asked(Waiter):
    def __init__(self, session: "Session", command_id: int):
        self._session, self._command_id = session, command_id

    def alive(self) -> bool:
        return self._session.alive()

    def answer(self, call: Call, reply: Reply) -> None:
        self._session.answer(self._command_id, call, reply)


class Session:
    def __init__(self, endpoint: str, hello: Any, desk: Desk, counters: Counters, *, deliver: Callable[[Held, Verdict, bool], None],
                 wake: Callable[[], None], log: Callable[[str], None]):
        """`wake`: there may be a frame to be sent. Called from any thread, never under a lock of this."""
        self.endpoint = endpoint
        self._hello, self._desk, self._counters = hello, desk, counters
        self._deliver, self._wake, self._log = deliver, wake, log
        self._lock = threading.Lock()
        self._replies: deque[Any] = deque()
        self._queries: deque[Held] = deque()
        self._asked: dict[tuple[str, str], Held] = {}
        self._in_flight = 0  # commands whose reply is not queued yet
        self._hello_due = True
        self._goodbye_due = False
        self._draining = self._half_closed = self._closed = False
        self._told_stale = False
        self.opened_at: Optional[float] = None
        self.due = time.monotonic() + PATIENCE  # when our patience ends
        self.coordinator_id = self.epoch = 0
        self.clustered = False

    # ---- what comes in

    def on_frame(self, frame: Any) -> None:
        """ValueError: the coordinator does not keep to the protocol; give the connection up."""
        if frame.HasField("welcome") != (self.opened_at is None):
            raise ValueError("its first frame has no Welcome" if self.opened_at is None else "a second Welcome")
        if self.opened_at is None:
            self._on_welcome(frame.welcome)
        for command in frame.commands:
            self._on_command(command)
        for answer in frame.answers:
            self._on_answer(answer)
        if frame.goodbye:
            self._log(f"coordinator says goodbye endpoint={self.endpoint}")
            self._drain(goodbye=False)

    def _on_welcome(self, welcome: Any) -> None:
        self.coordinator_id, self.epoch, self.clustered = welcome.coordinator_id, welcome.epoch, welcome.cluster_version != 0
        self.due = float("inf")
        self.opened_at = time.monotonic()
        self._counters.connections += 1
        self._log(one_line(f"connected session={cut(welcome.session_id, 64)} coordinator={self.coordinator_id} epoch={self.epoch} "
                           f"endpoint={self.endpoint}"))

    def _on_command(self, command: Any) -> None:
        self._counters.commands += 1
        if not self._desk.heard_from_owner(self.coordinator_id, command.slot, command.slot_epoch):
            # Without an answer: whoever sent it has lost the slot and must not conclude anything.
            self._counters.stale_commands += 1
            if not self._told_stale:
                self._told_stale = True
                self._log(f"command dropped, another coordinator has slot {command.slot} since endpoint={self.endpoint}")
            return
        try:
            call = wire.call_of(command)
        except ValueError as wrong:
            self._reject(command, f"ill-formed command: {wrong}")
            return
        with self._lock:
            full = self._in_flight >= self._hello.max_in_flight
            self._in_flight += 0 if full else 1
        if full:
            self._reject(command, f"more than max_in_flight ({self._hello.max_in_flight}) commands are unanswered here")
        elif not self._desk.ask(call, _Asked(self, command.command_id)):
            with self._lock:
                self._in_flight -= 1
            self._reject(command, "the participant's queue is full (max_queued_calls)")

    def _reject(self, command: Any, reason: str) -> None:
        self._queue(wire.reply_message(command, retry_later(cut(reason)), command.command_id))

    def _on_answer(self, answer: Any) -> None:
        """One to something that was not asked on this connection is dropped: acting on it would trust a stranger's verdict."""
        with self._lock:
            held = self._asked.pop((answer.gid, answer.branch_id), None)
        verdict = as_enum(Verdict, answer.verdict, None)
        if held is not None and verdict is not None:
            self._deliver(held, verdict, answer.finished)

    # ---- what goes out

    def alive(self) -> bool:
        return not self._closed and not self._half_closed

    @property
    def open(self) -> bool:
        return self.opened_at is not None and not self._draining and not self._closed

    def answer(self, command_id: int, call: Call, reply: Reply) -> None:
        if not self.alive():
            self._counters.dropped_replies += 1
            return
        with self._lock:
            self._in_flight -= 1
        self._queue(wire.reply_message(call, reply, command_id))

    def _queue(self, message: Any) -> None:
        self._counters.replies += 1
        with self._lock:
            self._replies.append(message)
        self._wake()

    def question(self, branches: Iterable[Held]) -> None:
        """Beyond MAX_QUESTIONS unanswered ones, and while it is not open, they are dropped: they come again with the next round."""
        with self._lock:
            if not self.open:
                return
            for held in branches:
                key = (held.gid, held.branch_id)
                if key not in self._asked and len(self._asked) < MAX_QUESTIONS:
                    self._asked[key] = held
                    self._queries.append(held)
        self._wake()

    def stop(self) -> None:
        """Says goodbye, answers what it has, and ends."""
        self._drain(goodbye=True)

    def _drain(self, goodbye: bool) -> None:
        with self._lock:
            self._goodbye_due = self._goodbye_due or (goodbye and not self._draining)
            self._draining = True
            self._queries.clear()
        self._wake()

    def next_frame(self) -> Optional[Any]:
        """To be sent now; None: nothing. (Then, if `finished`, the stream is to be half-closed.)"""
        with self._lock:
            if self._closed or self._half_closed:
                return None
            if self._hello_due:
                self._hello_due = False
                return participant_pb2.ParticipantFrame(hello=self._hello)
            if self.opened_at is None:
                return None
            if self._replies or self._queries or self._goodbye_due:
                return self._fill()
            if self._draining and self._in_flight == 0:
                self._half_closed = True
                self.due = time.monotonic() + PATIENCE
            return None

    def _fill(self) -> Any:
        frame = participant_pb2.ParticipantFrame(goodbye=self._goodbye_due)
        self._goodbye_due = False
        size = count = 0
        while self._replies and count < MAX_FRAME_MESSAGES and size < FRAME_BYTES:
            reply = self._replies.popleft()
            size += reply.ByteSize()
            count += 1
            frame.replies.append(reply)
        while self._queries and count < MAX_FRAME_MESSAGES:
            held = self._queries.popleft()
            count += 1
            frame.queries.add(gid=held.gid, branch_id=held.branch_id, coordinator_id=held.coordinator_id, began_epoch=held.began_epoch)
        return frame

    @property
    def finished(self) -> bool:
        """Nothing more will be sent."""
        return self._half_closed or self._closed

    def close(self) -> None:
        """The connection is gone."""
        with self._lock:
            self._closed = True
            self._counters.dropped_replies += len(self._replies)
            self._replies.clear()
        self._wake()

    def was_good(self) -> bool:
        return self.opened_at is not None and time.monotonic() - self.opened_at >= GOOD_CONNECTION

    def complaint(self) -> Optional[str]:
        """Why it should be torn down, if our patience has ended."""
        if self._closed or time.monotonic() < self.due:
            return None
        if self.opened_at is None:
            return f"the coordinator at {self.endpoint} did not say Welcome within {PATIENCE:g} s; is assentd running there?"
        return f"the coordinator at {self.endpoint} did not end the session within {PATIENCE:g} s"
