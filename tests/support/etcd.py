"""etcd, real and private: members on loopback, and a gate before one that may go silent.

    with Etcd() as etcd:                       # or Etcd(count=3)
        etcd.put("/pay/a", "127.0.0.2:7001")
        etcd.members[0].kill()                 # kill -9
        etcd.members[0].start()                # with what it knew
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

STARTS_WITHIN_S = 60


def missing():
    return shutil.which("etcd") is None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _bytes(text):
    return base64.b64encode(text.encode()).decode()


class Member:
    def __init__(self, etcd, name):
        self.etcd, self.name = etcd, name
        self.port, self.peer_port = free_port(), free_port()
        self._process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def begin(self):
        scheme = "https" if self.etcd.pair else "http"
        client, peer = f"{scheme}://{self.address}", f"http://127.0.0.1:{self.peer_port}"
        everybody = ",".join(f"{m.name}=http://127.0.0.1:{m.peer_port}" for m in self.etcd.members)
        tls = ["--cert-file", self.etcd.pair.cert, "--key-file", self.etcd.pair.key] if self.etcd.pair else []
        with open(f"{self.etcd.folder}/{self.name}.log", "ab") as output:
            self._process = subprocess.Popen(
                ["etcd", "--name", self.name, "--data-dir", f"{self.etcd.folder}/{self.name}", "--listen-client-urls", client,
                 "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", everybody, "--heartbeat-interval", "50", "--election-timeout", "500", *tls],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def start(self):
        self.begin()
        self.until_well()

    def until_well(self):
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                self.ask("kv/range", key=_bytes("-"))
                return
            except OSError:
                assert time.monotonic() < end, open(f"{self.etcd.folder}/{self.name}.log", encoding="utf-8").read()[-3000:]
                time.sleep(0.05)

    def ask(self, method, **body):
        headers = {}
        if self.etcd.root:
            name, password = self.etcd.root
            headers["Authorization"] = self._post("auth/authenticate", {"name": name, "password": password}, {})["token"]
        return self._post(method, body, headers)

    def _post(self, method, body, headers):
        request = urllib.request.Request(f"{'https' if self.etcd.pair else 'http'}://{self.address}/v3/{method}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=5, context=self.etcd.context) as answer:
            return json.load(answer)

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Etcd:
    """`pair`: its certificate; `context`: with which the test asks it then."""

    def __init__(self, count=1, pair=None, context=None):
        self.pair, self.context = pair, context
        self.root = None  # a name and a password, once it wants to know who asks
        self._folder = tempfile.TemporaryDirectory(prefix="assent-etcd-")
        self.folder = self._folder.name
        self.members = []
        self.members = [Member(self, f"e{i}") for i in range(count)]
        for member in self.members:
            member.begin()
        for member in self.members:
            member.until_well()

    def close(self):
        for member in self.members:
            member.kill()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def endpoints(self):
        return ",".join(("https://" if self.pair else "") + member.address for member in self.members)

    # The first member is asked.
    def ask(self, method, **body):
        return self.members[0].ask(method, **body)

    def put(self, key, value, lease=0):
        return self.ask("kv/put", key=_bytes(key), value=_bytes(value), lease=lease)

    def delete(self, key, end=""):
        return self.ask("kv/deleterange", key=_bytes(key), range_end=_bytes(end))

    def values(self, prefix):
        """By key, of all that begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.ask("kv/range", key=_bytes(prefix), range_end=_bytes(end)).get("kvs", [])
        return {base64.b64decode(one["key"]).decode(): base64.b64decode(one["value"]).decode() for one in found}

    def compact(self):
        """Forgets everything but what is now."""
        revision = self.ask("kv/range", key=_bytes("-"))["header"]["revision"]
        self.ask("kv/compaction", revision=revision, physical=True)

    def leases(self):
        return [one["ID"] for one in self.ask("lease/leases").get("leases", [])]

    def revoke(self, lease):
        self.ask("lease/revoke", ID=lease)


class Gate:
    """A way to `port` that may be shut: connections stand, and nothing comes through."""

    def __init__(self, port):
        self._port = port
        self._open = threading.Event()
        self._open.set()
        self._over = False
        self._ends = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self):
        self._open.clear()

    def open(self):
        self._open.set()

    def close(self):
        self._over = True
        self._open.set()
        self._listener.close()
        for end in self._ends:
            end.close()

    def _accept(self):
        while True:
            try:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                if self._over:
                    return
                continue
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one, other):
        try:
            while data := one.recv(65536):
                self._open.wait()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
