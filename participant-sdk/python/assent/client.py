"""For initiators: run transactions, ask what became of them. (With asyncio: assent.aio.Client.)

    with assent.Client() as client:                       # ASSENT_ENDPOINT, or 127.0.0.1:7400
        report = client.submit(assent.Transaction().tcc("inventory", "reserve", items).tcc("payment", "charge", amount))
        if not report.committed: print(report.abort_reason)

An abort is a Report. What is raised says what to do next: see errors.py.
"""

import threading
import time
from typing import Any, Iterable, Optional, Union

import grpc

from . import calls
from .dial import Dialling, Tls, Token, endpoints_of, trailer
from .errors import Aborted, Error, FailedPrecondition
from .plan import Ask, Attempt, Pause, Retry, Routes, call
from .transaction import Branch, BranchResult, Report, Transaction, TransactionInfo, _bytes
from .v1 import cluster_pb2_grpc, transaction_pb2_grpc
from .why import NO_ANSWER, WHY_PATIENCE, why_unavailable
from .words import Protocol, WaitFor

_READY, _FAILED = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
_STATE_THREAD_ENDS_WITHIN = 1.0  # it looks five times in a second


class _Link:
    """One coordinator's connection."""

    def __init__(self, dialling: Dialling, endpoint: str):
        self.stamp = dialling.stamp()
        self._channel, self._is_secure = dialling.channel(endpoint), dialling.is_secure(endpoint)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self._channel)
        self.cluster = cluster_pb2_grpc.ClusterServiceStub(self._channel)
        self._changed = threading.Condition()
        self._state: Optional[grpc.ChannelConnectivity] = None
        self._channel.subscribe(self._on_state, try_to_connect=True)

    def _on_state(self, state: grpc.ChannelConnectivity) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def await_connection(self, patience: float) -> bool:
        end = time.monotonic() + patience
        with self._changed:
            if self._state == _READY:
                return True
        nudge = lambda state: None  # noqa: E731 (whoever subscribes so has a lost connection made anew)
        self._channel.subscribe(nudge, try_to_connect=True)
        try:
            with self._changed:
                while self._state != _READY:
                    failed = self._state in (_FAILED, grpc.ChannelConnectivity.SHUTDOWN)
                    if failed or not self._changed.wait(end - time.monotonic()):
                        return self._state == _READY
                return True
        finally:
            self._channel.unsubscribe(nudge)

    def why_unconnected(self) -> str:
        """gRPC tells the cause to a call alone."""
        if self._state == _FAILED:
            try:
                self.transactions.GetServerInfo(calls.SERVER_INFO_REQUEST, timeout=WHY_PATIENCE)
            except grpc.RpcError as error:
                return why_not_connected(error, self._is_secure)
        return NO_ANSWER

    def close(self) -> None:
        # gRPC's thread that follows the state says loudly that it stumbles over a channel that is closed under it: it is given the time
        # to see that nobody listens any more.
        self._channel.unsubscribe(self._on_state)
        later = threading.Timer(_STATE_THREAD_ENDS_WITHIN, self._channel.close)
        later.daemon = True
        later.start()


class Client:
    """Cheap to keep, and shared by all threads: make one for the program. Dials with its first call."""

    def __init__(self, endpoints: Union[None, str, Iterable[str]] = None, *, wait: WaitFor = WaitFor.DECIDED, timeout: float = 0.0,
                 retry: Retry = Retry(), tls: Optional[Tls] = None, token: Optional[Token] = None, keepalive: float = 20.0):
        """`endpoints`: "host:port", or several that share one log (some suffice, the client learns of the others); None:
        ASSENT_ENDPOINT. Coordinators that share no log must never be named together. `timeout`: seconds that one call may take,
        repeats included; 0: the transaction's deadline and 10 s more (30 s where there is none)."""
        self._routes = Routes(endpoints_of(endpoints))
        self._dialling = Dialling(tls, token, keepalive)
        self._wait, self._timeout, self._retry = wait, timeout, retry
        self._lock = threading.Lock()
        self._links: dict[str, _Link] = {}

    def submit(self, transaction: Transaction, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        """Runs the whole transaction, and waits. An abort is a Report, not a failure."""
        return self._carry_out(calls.submit(transaction, wait or self._wait, timeout or self._timeout))

    def prepare(self, message: Transaction, *, timeout: Optional[float] = None) -> Report:
        """Makes a message durable that begins once its initiator's local transaction has committed, and never if that does not (check_back.py):
        before that transaction. After it, `submit`. As of `submit`, the same again is the same."""
        return self._carry_out(calls.prepare(message, timeout or self._timeout))

    def begin(self, transaction: Optional[Transaction] = None, *, timeout: Optional[float] = None) -> "OpenTransaction":
        """Opens a transaction to which branches are added one by one. `transaction` has none; its gid, labels, deadline count."""
        transaction = transaction or Transaction()
        self._carry_out(calls.begin(transaction, timeout or self._timeout))
        return OpenTransaction(self, transaction)

    def wait(self, gid: str, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        """Answers when the transaction gets there; DeadlineExceeded if it does not in time."""
        return self._carry_out(calls.wait_for(gid, wait or self._wait, timeout or self._timeout))

    def get(self, gid: str, *, timeout: Optional[float] = None) -> TransactionInfo:
        return self._carry_out(calls.get(gid, timeout or self._timeout))

    def close(self) -> None:
        with self._lock:
            links, self._links = list(self._links.values()), {}
        for link in links:
            link.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *failure: Any) -> None:
        self.close()

    def _carry_out(self, prepared: calls.Prepared) -> Any:
        plan = call(self._routes, prepared.method, prepared.request, calls.MAP_REQUEST, gid=prepared.gid, what=prepared.what,
                    timeout=prepared.timeout, read_only=prepared.read_only, retry=self._retry, now=time.monotonic)
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration as end:
                return prepared.read(end.value)
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                answer = None
            else:
                answer = self._ask(step)

    def _ask(self, ask: Ask) -> Attempt:
        metadata = self._dialling.metadata(ask.endpoint)
        link = self._link(ask.endpoint)
        if not link.await_connection(ask.patience):
            return Attempt("UNAVAILABLE", f"no connection to {ask.endpoint}: {link.why_unconnected()}", contacted=False)
        method = link.cluster.Get if ask.method == "Cluster" else getattr(link.transactions, ask.method)
        try:
            return Attempt("OK", reply=method(ask.request, timeout=ask.timeout, metadata=metadata))
        except grpc.RpcError as error:
            return attempt_of(error)

    def _link(self, endpoint: str) -> _Link:
        stamp = self._dialling.stamp()
        with self._lock:
            link = self._links.get(endpoint)
            if link is None or link.stamp != stamp:
                link = self._links[endpoint] = _Link(self._dialling, endpoint)  # an old one ends with its calls
            return link


def attempt_of(error: Any) -> Attempt:
    """Of an RpcError, of either package."""
    trailers = error.trailing_metadata()
    hint = trailer(trailers, "assent-retry-after-ms")
    return Attempt(error.code().name, error.details() or "", owner=trailer(trailers, "assent-owner"),
                   retry_after=int(hint) / 1000 if hint.isascii() and hint.isdigit() and len(hint) < 9 else 0.0)


def why_not_connected(error: Any, secure: bool) -> str:
    """Of an RpcError of GetServerInfo, of either package."""
    return why_unavailable(error.details() or "", secure) if error.code() == grpc.StatusCode.UNAVAILABLE else NO_ANSWER


class OpenTransaction:
    """A transaction whose branches are added one by one. Its `with` block rolls back what was not committed in it.

        with client.begin() as order:
            stock = order.tcc("inventory", "reserve", items)
            if not stock.refused:
                order.saga("shipping", "book", stock.result)
                report = order.commit()
    """

    def __init__(self, client: Client, transaction: Transaction):
        self._client, self._transaction = client, transaction
        self._next = 1
        self._finishing = False

    @property
    def gid(self) -> str:
        return self._transaction.gid

    def execute(self, branch: Branch, *, timeout: Optional[float] = None) -> BranchResult:
        """Adds a branch and waits for its forward operation. On UnknownOutcome the branch may have executed: say the same again (same
        id), or roll back; the commit will not succeed without it."""
        branch = numbered(branch, self._next)
        self._next += 1
        return self._client._carry_out(calls.execute(self.gid, branch, calls.open_timeout(self._transaction, timeout)))

    def two_phase(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return self.execute(Branch(Protocol.TWO_PHASE, service, action, _bytes(payload), **options))

    def tcc(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return self.execute(Branch(Protocol.TCC, service, action, _bytes(payload), **options))

    def saga(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return self.execute(Branch(Protocol.SAGA, service, action, _bytes(payload), **options))

    def commit(self, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        """UnknownOutcome: call it again, or `client.wait(gid)`. From the first call on, leaving the block does nothing."""
        self._finishing = True
        return self._client._carry_out(calls.commit(self.gid, wait or self._client._wait, calls.open_timeout(self._transaction, timeout)))

    def rollback(self, reason: str = "", *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        self._finishing = True
        return self._client._carry_out(
            calls.rollback(self.gid, reason, wait or self._client._wait, calls.open_timeout(self._transaction, timeout)))

    def __enter__(self) -> "OpenTransaction":
        return self

    def __exit__(self, kind: Any, failure: Any, trace: Any) -> None:
        if self._finishing or isinstance(failure, (Aborted, FailedPrecondition)):
            return
        try:
            # It does not insist: the coordinator's deadline does the rest.
            self.rollback(reason_of(failure), wait=WaitFor.ACCEPTED, timeout=2.0)
        except Error:
            pass


def numbered(branch: Branch, number: int) -> Branch:
    """With an id: a call that is repeated after a lost answer must be the same branch."""
    return branch if branch.id else Branch(**{**vars(branch), "id": str(number)})


def reason_of(failure: Optional[BaseException]) -> str:
    return f"{type(failure).__name__}: {failure}" if failure else "left without a commit"
