#!/usr/bin/python3
"""What a supervisor is told, on a real socket, by the protocol of sd_notify: systemd's side of Type=notify."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "..", "grpc"), os.path.join(_HERE, "..", "ctl")]
from daemon import BIN, Ctl, free_port  # noqa: E402

PATIENCE_SECONDS = 60


class Supervisor(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-supervisor-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.endpoint = f"127.0.0.1:{free_port()}"

    def socket(self, name):
        """The supervisor's end; `@` begins a name that is in no folder."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.settimeout(PATIENCE_SECONDS)
        made.bind("\0" + name[1:] if name.startswith("@") else name)
        return made

    def start(self, notify):
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        if notify is not None:
            environment["NOTIFY_SOCKET"] = notify
        with open(os.path.join(self.folder, "log"), "ab") as log:
            process = subprocess.Popen(
                [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.endpoint, "--data",
                 os.path.join(self.folder, "data")], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def heard_until(self, made, what):
        """The lines that came, up to the one that begins so."""
        lines = []
        while not any(line.startswith(what) for line in lines):
            lines += made.recv(65536).decode().split("\n")
        return lines

    def whole_life(self, name):
        made = self.socket(name)
        process = self.start(name)
        lines = self.heard_until(made, "READY=1")
        self.assertEqual("STATUS=opening the log", lines[0])
        self.assertIn(f"STATUS=serving {self.endpoint}", lines)
        # Ready is not said before it is true.
        self.assertEqual(0, Ctl(self.endpoint)("health").code)
        self.heard_until(made, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        lines = self.heard_until(made, "STOPPING=1")
        self.assertIn("STATUS=stopping: transactions under way have 5 s to end", lines)
        self.assertIn("EXTEND_TIMEOUT_USEC=25000000", lines)
        self.assertEqual(0, process.wait(PATIENCE_SECONDS))

    def test_a_socket_in_a_folder(self):
        self.whole_life(os.path.join(self.folder, "notify"))

    def test_a_socket_without_a_folder(self):
        self.whole_life(f"@assent-supervisor-test-{os.getpid()}")

    def test_a_start_that_fails_is_never_ready(self):
        with open(os.path.join(self.folder, "data"), "w", encoding="utf-8") as file:
            file.write("no folder")
        path = os.path.join(self.folder, "notify")
        made = self.socket(path)
        self.assertEqual(73, self.start(path).wait(PATIENCE_SECONDS))
        made.setblocking(False)
        said = []
        try:
            while True:
                said.append(made.recv(65536).decode())
        except BlockingIOError:
            pass
        self.assertEqual(["STATUS=opening the log"], said)

    def test_nobody_who_listens(self):
        """Nothing is expected, and nothing waited for: no socket, a name too long, one that nobody reads any more."""
        full = os.path.join(self.folder, "full")
        made = self.socket(full)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            try:
                while True:
                    filler.sendto(b"X=1", full)
            except BlockingIOError:
                pass
        for notify in (None, os.path.join(self.folder, "nobody"), "/" + "x" * 200, "", full):
            with self.subTest(notify=notify):
                process = self.start(notify)
                while not process.stdout.readline().startswith("  see "):
                    self.assertIsNone(process.poll())
                process.send_signal(signal.SIGTERM)
                self.assertEqual(0, process.wait(PATIENCE_SECONDS))
        made.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
