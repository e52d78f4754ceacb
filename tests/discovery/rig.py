"""What tests of services that are found share: participants at addresses of the loopback network, and a daemon that looks for them."""

import concurrent.futures
import json
import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../support"), os.path.join(HERE, "../ctl"), os.path.join(HERE, "../tls"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from daemon import Ctl, CtlTest, Daemon  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc  # noqa: E402

SOON = {"initial_backoff": "10ms", "max_backoff": "50ms"}


class Instance(participant_pb2_grpc.ParticipantServicer):
    """One that says yes, at an address of the loopback network; `gate` holds it up."""

    def __init__(self, host, port=0, pair=None, handlers=()):
        self.host, self.port = host, port
        self.asked = []
        self.gate = None
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        participant_pb2_grpc.add_ParticipantServicer_to_server(self, self._server)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        at = f"{host}:{port}"
        if pair:
            with open(pair.key, "rb") as key, open(pair.cert, "rb") as cert:
                self.port = self._server.add_secure_port(at, grpc.ssl_server_credentials([(key.read(), cert.read())]))
        else:
            self.port = self._server.add_insecure_port(at)
        if not self.port:
            raise OSError(f"{at} is taken")
        self._server.start()

    def Execute(self, request, context):  # noqa: N802
        self.asked.append(request.gid)
        if self.gate:
            self.gate.result(30)
        return participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation,
                                           kind=participant_pb2.BranchReply.DONE)

    def close(self):
        self._server.stop(0).wait()


def common_port(*hosts):
    """One that is free at all of them."""
    while True:
        with socket.socket() as first:
            first.bind((hosts[0], 0))
            port = first.getsockname()[1]
            try:
                for host in hosts[1:]:
                    with socket.socket() as other:
                        other.bind((host, port))
            except OSError:
                continue
            return port


class FoundTest(CtlTest):
    """With `self.port`, which is free at all of the addresses."""

    PATIENCE_SECONDS = 60

    def setUp(self):
        self.port = common_port("127.0.0.2", "127.0.0.3", "127.0.0.4")
        self.gids = 0

    def start(self, names, *arguments):
        unary = [word for name in names for word in ("--unary", name)]
        self.daemon = Daemon(*unary, *arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def instance(self, host, **more):
        made = Instance(host, self.port, **more)
        self.addCleanup(made.close)
        return made

    def submit(self, until="completed", service="pay"):
        self.gids += 1
        gid = f"g{self.gids}"
        body = {"branches": [{"protocol": "saga", "service": service, "action": "act", "retry": SOON}]}
        return gid, self.ctl("submit", "--gid", gid, "--for", until, stdin=json.dumps(body))

    def served(self, count=1, service="pay"):
        for _ in range(count):
            gid, done = self.submit(service=service)
            self.assertEqual(0, done.code, (done, self.daemon.log()))

    def addresses(self, service="pay"):
        """Where it is dialled, and reached."""
        listed = self.expect(0, "participants", "-o", "json").json
        services = [one for one in listed["participants"] if one["service"] == service]
        return sorted(i["address"] for one in services for i in one.get("instances", []) if i.get("connected_unix_ms"))

    def sources(self):
        listed = self.expect(0, "participants", "-o", "json").json["participants"]
        return {i["source"] for one in listed for i in one["instances"]}

    def at(self, *hosts):
        return sorted(f"{host}:{self.port}" for host in hosts)
