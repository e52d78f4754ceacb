"""The other transport: the coordinator dials out, and this serves assent.v1.Participant/Execute.

    assentd --unary payment=127.0.0.1:7501 …
    assent.UnaryServer(service, "127.0.0.1:7501").run()

For TCC and Saga; there is no way to ask about prepared work here, so two-phase commit waits to be told.
"""

import concurrent.futures
import dataclasses
import signal
import threading
from typing import Any, Optional

import grpc

from . import wire
from .call import Call, Reply, retry_later
from .desk import Desk, Waiter
from .dial import read_file
from .errors import ConfigError
from .roster import Workers
from .service import Job, Service, unknown_action
from .v1 import participant_pb2_grpc
from .words import MAX_FRAME_BYTES, Kind, Role

ACTION_OF_ANOTHER = "no {operation} of action {action} here"


@dataclasses.dataclass(frozen=True)
class ServerTls:
    """Files in PEM, read when the server starts. `client_ca_file`: the CAs that sign the coordinators' certificates, of which each then
    has to show one."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""

    def credentials(self) -> Any:
        pair = (read_file("the key", self.key_file), read_file("the certificate", self.cert_file))
        ca = read_file("CAs of clients", self.client_ca_file) if self.client_ca_file else None
        return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_FRAME_BYTES), ("grpc.max_send_message_length", MAX_FRAME_BYTES)]


def add_port(server: Any, listen: str, tls: Optional[ServerTls]) -> int:
    """The port. ConfigError: it cannot listen there."""
    try:
        port = server.add_secure_port(listen, tls.credentials()) if tls else server.add_insecure_port(listen)
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(f"cannot listen on {listen}: it is taken, or no address of this machine")
    return port


class Reception:
    """Whoever wants a call of this transport answered: actions, and the desk that keeps operations of one branch apart."""

    def __init__(self, service: Service, run: Any, max_calls: int):
        self.service, self._run = service, run
        self.owners = service.by_action()
        self.desk = Desk(self._execute, max_calls)

    def _execute(self, job: Job) -> None:
        key = (job.call.protocol, job.call.action)
        owner = self.owners[key]
        if owner is None:
            self._run(self.service.table[key], job)
        else:
            owner.execute(job)

    def at_once(self, command: Any) -> tuple[Optional[Call], Optional[Reply]]:
        """The call, or what is answered without one. ValueError: no answer at all, it is asked again."""
        call = wire.call_of(command)
        if (call.protocol, call.action) not in self.owners:
            if call.operation.role == Role.FORWARD:
                # Here nobody else is asked first: without this no it would be asked until its deadline.
                return None, Reply(Kind.REFUSED, reason=ACTION_OF_ANOTHER.format(operation=call.operation.name, action=call.action))
            return None, unknown_action(call)
        return call, None


class _Future(Waiter):
    def __init__(self) -> None:
        self.future: concurrent.futures.Future[Reply] = concurrent.futures.Future()

    def alive(self) -> bool:
        return not self.future.cancelled()

    def answer(self, call: Call, reply: Reply) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(reply)


class _Servicer(participant_pb2_grpc.ParticipantServicer):
    def __init__(self, reception: Reception):
        self._reception = reception

    def Execute(self, request: Any, context: Any) -> Any:
        try:
            call, reply = self._reception.at_once(request)
        except ValueError as wrong:
            context.abort(grpc.StatusCode.UNKNOWN, f"ill-formed command: {wrong}")
        if call is not None:
            waiter = _Future()
            context.add_callback(waiter.future.cancel)
            if not self._reception.desk.ask(call, waiter):
                reply = retry_later("the participant's queue is full (max_queued_calls)")
            else:
                try:
                    reply = waiter.future.result()
                except concurrent.futures.CancelledError:
                    context.abort(grpc.StatusCode.CANCELLED, "nobody waits for it")
        if reply.kind == Kind.UNKNOWN:
            context.abort(grpc.StatusCode.UNKNOWN, reply.reason)  # every status is an unknown outcome: asked again
        return wire.reply_message(request, reply)


class UnaryServer:
    """Threads, as many as calls at once. Also a context manager."""

    def __init__(self, service: Service, listen: str = "127.0.0.1:7501", *, workers: int = 16, max_queued_calls: int = 1024,
                 stop_grace: float = 10.0, tls: Optional[ServerTls] = None):
        """`listen`: "host:port"; port 0: any that is free, which `port` then says."""
        self._service, self._listen, self._tls = service, listen, tls
        self._count, self._max_queued_calls, self._grace = workers, max_queued_calls, stop_grace
        self._ended = threading.Event()
        self.port = 0

    def start(self) -> "UnaryServer":
        self._workers = Workers(self._count)
        reception = Reception(self._service, self._workers.run, self._max_queued_calls)
        for resource in self._service.resources:
            resource.start()
        # A thread of gRPC waits for each call that a worker, or an adapter, is at.
        self._pool = concurrent.futures.ThreadPoolExecutor(self._count * 4, thread_name_prefix="assent-unary")
        self._server = grpc.server(self._pool, options=OPTIONS, maximum_concurrent_rpcs=self._max_queued_calls)
        participant_pb2_grpc.add_ParticipantServicer_to_server(_Servicer(reception), self._server)
        self.port = add_port(self._server, self._listen, self._tls)
        self._server.start()
        return self

    def stop(self) -> None:
        """Takes no new calls, answers those that run, and ends."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._server.stop(self._grace).wait()
        self._workers.close(wait=False)
        for resource in self._service.resources:
            resource.close()

    def run(self) -> None:
        """Serves until SIGTERM or SIGINT. From the main thread."""
        ended = threading.Event()
        before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with self:
                ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> "UnaryServer":
        return self.start()

    def __exit__(self, *failure: Any) -> None:
        self.stop()
