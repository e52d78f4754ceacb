"""A server of the DNS for tests: dnsmasq on a private port, with names that change while it runs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE_SECONDS = 30


class DnsServer:
    def __init__(self, ttl=1):
        self._program = shutil.which("dnsmasq", path=os.environ["PATH"] + ":/usr/sbin")
        if not self._program:
            raise FileNotFoundError("no dnsmasq: tools/install-deps.sh")
        self._folder = tempfile.TemporaryDirectory(prefix="assent-dns-")
        self._hosts = os.path.join(self._folder.name, "hosts")
        self._log = os.path.join(self._folder.name, "log")
        self._ttl = ttl
        self._services = []
        self._process = None
        self.set()
        for attempt in range(10):  # what is free for UDP may be taken for TCP
            self.port = self._free_port()
            try:
                self.start()
                return
            except RuntimeError:
                self.stop()
                if attempt == 9:
                    raise

    @staticmethod
    def _free_port():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def set(self, **names):
        """name=(addresses); dots of a name are written as two underscores. All others are no more."""
        text = "".join(f"{address} {name.replace('__', '.')}\n" for name, addresses in names.items() for address in addresses)
        with open(self._hosts + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(self._hosts + ".new", self._hosts)
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def services(self, *records):
        """(name, target, port, priority) of SRV records; takes a new start."""
        self._services = [f"--srv-host={name},{target},{port},{priority}" for name, target, port, priority in records]
        self.stop()
        self.start()

    def start(self):
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--keep-in-foreground", "--conf-file=/dev/null", f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces",
                 "--no-resolv", "--no-hosts", f"--addn-hosts={self._hosts}", f"--local-ttl={self._ttl}", "--pid-file=", "--log-queries", "--log-facility=-",
                 "--local=/internal/", *(["--user=root"] if os.geteuid() == 0 else []), *self._services], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_SECONDS
        while "started, " not in self.log():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("dnsmasq did not start: " + self.log())
            time.sleep(0.01)

    def stop(self):
        """As if it were away."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            os.unlink(self._log)

    def log(self):
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def asked(self, name):
        """How often a name was asked for since its start."""
        return self.log().count(f"query[A] {name} ")

    def close(self):
        self.stop()
        self._folder.cleanup()
