"""The client for asyncio: what client.py has, awaited."""

import asyncio
import time
from typing import Any, Iterable, Optional, Union

import grpc
import grpc.aio

from .. import calls
from ..client import attempt_of, numbered, reason_of, why_not_connected
from ..dial import Dialling, Tls, Token, endpoints_of
from ..errors import Aborted, Error, FailedPrecondition
from ..plan import Ask, Attempt, Pause, Retry, Routes, call
from ..transaction import Branch, BranchResult, Report, Transaction, TransactionInfo, _bytes
from ..v1 import cluster_pb2_grpc, transaction_pb2_grpc
from ..why import NO_ANSWER, WHY_PATIENCE
from ..words import Protocol, WaitFor


class _Link:
    def __init__(self, dialling: Dialling, endpoint: str):
        self.stamp = dialling.stamp()
        self.channel, self._is_secure = dialling.channel(endpoint, grpc.aio), dialling.is_secure(endpoint)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)
        self.cluster = cluster_pb2_grpc.ClusterServiceStub(self.channel)

    async def await_connection(self, patience: float) -> bool:
        end = time.monotonic() + patience
        while True:
            state = self.channel.get_state(try_to_connect=True)
            if state == grpc.ChannelConnectivity.READY:
                return True
            if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                return False
            try:
                await asyncio.wait_for(self.channel.wait_for_state_change(state), max(end - time.monotonic(), 0.0))
            except asyncio.TimeoutError:
                return False

    async def why_unconnected(self) -> str:
        if self.channel.get_state() == grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            try:
                await self.transactions.GetServerInfo(calls.SERVER_INFO_REQUEST, timeout=WHY_PATIENCE)
            except grpc.aio.AioRpcError as error:
                return why_not_connected(error, self._is_secure)
        return NO_ANSWER


class Client:
    """Made and used in one event loop. The options are those of assent.Client."""

    def __init__(self, endpoints: Union[None, str, Iterable[str]] = None, *, wait: WaitFor = WaitFor.DECIDED, timeout: float = 0.0,
                 retry: Retry = Retry(), tls: Optional[Tls] = None, token: Optional[Token] = None, keepalive: float = 20.0):
        self._routes = Routes(endpoints_of(endpoints))
        self._dialling = Dialling(tls, token, keepalive)
        self._wait, self._timeout, self._retry = wait, timeout, retry
        self._links: dict[str, _Link] = {}

    async def submit(self, transaction: Transaction, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        return await self._carry_out(calls.submit(transaction, wait or self._wait, timeout or self._timeout))

    async def prepare(self, message: Transaction, *, timeout: Optional[float] = None) -> Report:
        return await self._carry_out(calls.prepare(message, timeout or self._timeout))

    async def begin(self, transaction: Optional[Transaction] = None, *, timeout: Optional[float] = None) -> "OpenTransaction":
        transaction = transaction or Transaction()
        await self._carry_out(calls.begin(transaction, timeout or self._timeout))
        return OpenTransaction(self, transaction)

    async def wait(self, gid: str, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        return await self._carry_out(calls.wait_for(gid, wait or self._wait, timeout or self._timeout))

    async def get(self, gid: str, *, timeout: Optional[float] = None) -> TransactionInfo:
        return await self._carry_out(calls.get(gid, timeout or self._timeout))

    async def close(self) -> None:
        links, self._links = list(self._links.values()), {}
        for link in links:
            await link.channel.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *failure: Any) -> None:
        await self.close()

    async def _carry_out(self, prepared: calls.Prepared) -> Any:
        plan = call(self._routes, prepared.method, prepared.request, calls.MAP_REQUEST, gid=prepared.gid, what=prepared.what,
                    timeout=prepared.timeout, read_only=prepared.read_only, retry=self._retry, now=time.monotonic)
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration as end:
                return prepared.read(end.value)
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await self._ask(step)

    async def _ask(self, ask: Ask) -> Attempt:
        metadata = self._dialling.metadata(ask.endpoint)
        link = self._link(ask.endpoint)
        if not await link.await_connection(ask.patience):
            return Attempt("UNAVAILABLE", f"no connection to {ask.endpoint}: {await link.why_unconnected()}", contacted=False)
        method = link.cluster.Get if ask.method == "Cluster" else getattr(link.transactions, ask.method)
        try:
            return Attempt("OK", reply=await method(ask.request, timeout=ask.timeout, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            return attempt_of(error)

    def _link(self, endpoint: str) -> _Link:
        stamp = self._dialling.stamp()
        link = self._links.get(endpoint)
        if link is None or link.stamp != stamp:
            link = self._links[endpoint] = _Link(self._dialling, endpoint)
        return link


class OpenTransaction:
    """As assent.OpenTransaction: `async with await client.begin() as order: …`."""

    def __init__(self, client: Client, transaction: Transaction):
        self._client, self._transaction = client, transaction
        self._next = 1
        self._finishing = False

    @property
    def gid(self) -> str:
        return self._transaction.gid

    async def execute(self, branch: Branch, *, timeout: Optional[float] = None) -> BranchResult:
        branch = numbered(branch, self._next)
        self._next += 1
        return await self._client._carry_out(calls.execute(self.gid, branch, calls.open_timeout(self._transaction, timeout)))

    async def two_phase(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return await self.execute(Branch(Protocol.TWO_PHASE, service, action, _bytes(payload), **options))

    async def tcc(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return await self.execute(Branch(Protocol.TCC, service, action, _bytes(payload), **options))

    async def saga(self, service: str, action: str, payload: Union[bytes, str] = b"", **options: Any) -> BranchResult:
        return await self.execute(Branch(Protocol.SAGA, service, action, _bytes(payload), **options))

    async def commit(self, *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        self._finishing = True
        timeout = calls.open_timeout(self._transaction, timeout)
        return await self._client._carry_out(calls.commit(self.gid, wait or self._client._wait, timeout))

    async def rollback(self, reason: str = "", *, wait: Optional[WaitFor] = None, timeout: Optional[float] = None) -> Report:
        self._finishing = True
        timeout = calls.open_timeout(self._transaction, timeout)
        return await self._client._carry_out(calls.rollback(self.gid, reason, wait or self._client._wait, timeout))

    async def __aenter__(self) -> "OpenTransaction":
        return self

    async def __aexit__(self, kind: Any, failure: Any, trace: Any) -> None:
        if self._finishing or isinstance(failure, (Aborted, FailedPrecondition)):
            return
        try:
            await self.rollback(reason_of(failure), wait=WaitFor.ACCEPTED, timeout=2.0)
        except Error:
            pass
