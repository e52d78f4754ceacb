"""A real assentd with its HTTP port, and a participant that says yes."""

import concurrent.futures
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(HERE, "../../build/release/bin"))
sys.path[:0] = [os.path.join(HERE, "../../examples/python"), os.path.join(HERE, "../support")]

import grpc  # noqa: E402
import postgresql  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc  # noqa: E402

PATIENCE_SECONDS = 60


class Obliging(participant_pb2_grpc.ParticipantServicer):
    def Execute(self, request, context):
        return participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation,
                                           kind=participant_pb2.BranchReply.DONE, result=b"kept")


class Participant:
    def __init__(self, address="127.0.0.1:0"):
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
        participant_pb2_grpc.add_ParticipantServicer_to_server(Obliging(), self._server)
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def close(self):
        self._server.stop(0).wait()


class Daemon:
    # Whoever starts it anew where it was sets this.
    http_listen = "127.0.0.1:0"

    def __init__(self, *arguments, listen="127.0.0.1:0"):
        self._folder = tempfile.TemporaryDirectory(prefix="assentd-http-")
        self.arguments, self._listen = arguments, listen
        self.data = os.path.join(self._folder.name, "data")
        self.start()

    def start(self, *more):
        self.log = os.path.join(self._folder.name, "assentd.log")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ASSENT_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(BIN, "assentd"), "--listen", self._listen, "--http-listen", self.http_listen, "--data", self.data,
                 *self.arguments, *more], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        card = ""
        for line in self.process.stdout:
            card += line
            if re.match(r"\s+see\s", line):
                break
        else:
            sys.exit("assentd did not start: " + open(self.log, encoding="utf-8").read())
        self.card = card
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", card)[1])
        self.endpoint = re.search(r"listening +(\S+)", card)[1]

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def connections(self):
        """Of its HTTP port, those that it has not closed."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            lines = [line.split() for line in file.readlines()[1:]]
        return sum(int(line[1].split(":")[1], 16) == self.port and line[3] in ("01", "08") for line in lines)

    def resident_kib(self, figure="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(figure + r":\s+(\d+)", file.read())[1])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._folder.cleanup()

    # ---- Asking -------------------------------------------------------------------------------------

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def ask(self, method, target, body=None, headers=None):
        """(code, headers, body: JSON if it is), on a connection of its own."""
        connection = self.connect()
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            connection.request(method, target, body, {**({"Content-Type": "application/json"} if body else {}), **(headers or {})})
            return self.take(connection)
        finally:
            connection.close()

    @staticmethod
    def take(connection):
        response = connection.getresponse()
        text = response.read()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, dict(response.getheaders()), json.loads(text) if is_json else text.decode()

    def raw(self, data=b""):
        """A socket on which `data` has been sent."""
        connected = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connected.sendall(data)
        return connected

    def say(self, data):
        """All that is answered to these bytes, until the daemon closes."""
        with self.raw(data) as connected:
            return read_all(connected)


class Served(unittest.TestCase):
    """One daemon, which dials `bank`, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.participant = Participant()
        cls.daemon = Daemon("--unary", f"bank={cls.participant.endpoint}")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()
        cls.participant.close()

    def ask(self, *arguments, **more):
        return self.daemon.ask(*arguments, **more)


def read_all(connected):
    said = b""
    while True:
        try:
            more = connected.recv(65536)
        except ConnectionResetError:
            return said
        if not more:
            return said
        said += more


def order(gid, service="bank", **more):
    return {"gid": gid, "branches": [{"protocol": "TCC", "service": service, "action": "debit"}], **more}
