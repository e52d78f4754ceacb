"""The unary server for asyncio: what unary.py has, awaited."""

import asyncio
from typing import Any, Optional

import grpc
import grpc.aio

from .. import wire
from ..call import Call, Reply, retry_later
from ..desk import Waiter
from ..service import Service
from ..unary import OPTIONS, Reception, ServerTls, add_port
from ..v1 import participant_pb2_grpc
from ..words import Kind
from .participant import LoopWorkers


class _Future(Waiter):
    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self.future: asyncio.Future[Reply] = loop.create_future()

    def alive(self) -> bool:
        return not self.future.cancelled()

    def answer(self, call: Call, reply: Reply) -> None:
        self._loop.call_soon_threadsafe(self._set, reply)

    def _set(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)


class _Servicer(participant_pb2_grpc.ParticipantServicer):
    def __init__(self, reception: Reception):
        self._reception = reception

    async def Execute(self, request: Any, context: Any) -> Any:
        try:
            call, reply = self._reception.at_once(request)
        except ValueError as wrong:
            await context.abort(grpc.StatusCode.UNKNOWN, f"ill-formed command: {wrong}")
        if call is not None:
            waiter = _Future(asyncio.get_running_loop())
            if not self._reception.desk.ask(call, waiter):
                reply = retry_later("the participant's queue is full (max_queued_calls)")
            else:
                reply = await waiter.future
        if reply.kind == Kind.UNKNOWN:
            await context.abort(grpc.StatusCode.UNKNOWN, reply.reason)
        return wire.reply_message(request, reply)


class UnaryServer:
    """`async with assent.aio.UnaryServer(service, "127.0.0.1:7501"): …`."""

    def __init__(self, service: Service, listen: str = "127.0.0.1:7501", *, workers: int = 16, max_queued_calls: int = 1024,
                 stop_grace: float = 10.0, tls: Optional[ServerTls] = None):
        self._service, self._listen, self._tls = service, listen, tls
        self._count, self._max_queued_calls, self._grace = workers, max_queued_calls, stop_grace
        self.port = 0

    async def start(self) -> "UnaryServer":
        self._workers = LoopWorkers(asyncio.get_running_loop(), self._count)
        reception = Reception(self._service, self._workers.run, self._max_queued_calls)
        for resource in self._service.resources:
            await asyncio.to_thread(resource.start)
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=self._max_queued_calls)
        participant_pb2_grpc.add_ParticipantServicer_to_server(_Servicer(reception), self._server)
        self.port = add_port(self._server, self._listen, self._tls)
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(self._grace)
        await self._workers.close(False)
        for resource in self._service.resources:
            await asyncio.to_thread(resource.close)

    async def __aenter__(self) -> "UnaryServer":
        return await self.start()

    async def __aexit__(self, *failure: Any) -> None:
        await self.stop()
