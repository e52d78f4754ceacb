#!/usr/bin/python3
"""What somebody who has shown nothing can make a coordinator hold, over both listeners: handshakes that never end, that are too large, that
begin again, connections without number. Each ends in time, and others are served meanwhile."""

import os
import re
import socket
import struct
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl")]

from certificates import Authority, read, write  # noqa: E402
from daemon import free_port  # noqa: E402
from door_test import TlsTest  # noqa: E402
from scan import Scan, hello, record  # noqa: E402

HANDSHAKE_SECONDS = 10      # kMaxHandshakeMs of HTTP; of gRPC the first byte and the handshake have as much each
PATIENCE_SECONDS = 60
CHAIN_KIB = {"http": 32, "grpc": 100}
HELD = 200                  # handshakes at once
HELD_KIB_EACH = 256         # of memory, at most


class Stranger(TlsTest):
    def setUp(self):
        super().setUp()
        self.http = f"127.0.0.1:{free_port()}"
        self.serve("--http-listen", self.http)
        self.doors = {"grpc": self.daemon.endpoint, "http": self.http}

    def dial(self, door, said=b""):
        host, port = self.doors[door].rsplit(":", 1)
        connected = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
        self.addCleanup(connected.close)
        connected.sendall(said)
        return connected

    @staticmethod
    def ended_after(connected):
        """Seconds until it is closed, whatever is said before."""
        begun = time.monotonic()
        try:
            while connected.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return time.monotonic() - begun

    def is_served(self):
        self.expect(0, *self.flags(), "stats")
        said = subprocess.run(["openssl", "s_client", "-quiet", "-connect", self.http, "-CAfile", self.ca.ca, "-cert", self.operator.cert, "-key", self.operator.key],
                              input=b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", capture_output=True, timeout=PATIENCE_SECONDS)
        self.assertIn(b"alive", said.stdout)

    def resident_kib(self):
        with open(f"/proc/{self.daemon.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def test_a_hello_that_never_ends(self):
        """A byte now and then is no progress: the time is of the whole."""
        whole = hello(0x0303, [0xc02b])
        trickling = {door: self.dial(door, whole[:10]) for door in self.doors}
        begun, at, ended = time.monotonic(), 10, {}
        while len(ended) < len(trickling):
            self.assertLess(time.monotonic() - begun, 3 * HANDSHAKE_SECONDS)
            for door, connected in trickling.items():
                if door in ended:
                    continue
                connected.settimeout(0.25)
                try:
                    connected.sendall(whole[at:at + 1])
                    if not connected.recv(4096):
                        ended[door] = time.monotonic() - begun
                except TimeoutError:
                    pass
                except OSError:
                    ended[door] = time.monotonic() - begun
            at = min(at + 1, len(whole) - 2)
        for door, seconds in ended.items():
            self.assertLess(seconds, 2 * HANDSHAKE_SECONDS + 2, door)
        self.is_served()

    def test_a_hello_that_is_too_large(self):
        """Of what it announces nothing is kept for later: it is refused where it says its size."""
        announced = b"\x01" + struct.pack(">I", (1 << 24) - 1)[1:] + b"\x03\x03" + bytes(1000)
        for door in self.doors:
            self.assertLess(self.ended_after(self.dial(door, record(announced))), HANDSHAKE_SECONDS / 2, door)
        self.is_served()

    def test_a_chain_that_is_too_large(self):
        """Megabytes of certificates, each good by itself."""
        others = "".join(read(self.ca.make(f"n{number}").cert) for number in range(3))
        one_kib = len(others) * 3 / 4 / 1024
        for door, most in CHAIN_KIB.items():
            path = self.ca.path(f"chain-{door}.pem")
            write(path, others * int(2 * most / one_kib + 1))
            said = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", self.doors[door], "-alpn", "h2,http/1.1", "-CAfile", self.ca.ca,
                                   "-cert", self.operator.cert, "-key", self.operator.key, "-cert_chain", path], input=b"", capture_output=True, timeout=PATIENCE_SECONDS)
            self.assertRegex((said.stdout + said.stderr).decode(), "alert|unexpected eof|Cipher is \\(NONE\\)|errno", door)
            self.assertNotEqual(0, said.returncode, door)
        self.is_served()

    def test_a_handshake_that_begins_again(self):
        for door, address in self.doors.items():
            said = Scan(address, b"h2" if door == "grpc" else b"http/1.1").client(
                "-tls1_2", "-CAfile", self.ca.ca, "-cert", self.operator.cert, "-key", self.operator.key, said=b"R\n")
            self.assertIn("RENEGOTIATING", said, door)
            self.assertRegex(said, "no renegotiation|alert|unexpected", door)
        self.is_served()

    def test_many_that_have_begun(self):
        self.is_served()
        before = self.resident_kib()
        half = hello(0x0303, [0xc02b])[:-1]
        held = [self.dial(door, half) for door in self.doors for _ in range(HELD)]
        self.is_served()
        self.assertLess(self.resident_kib() - before, len(held) * HELD_KIB_EACH)
        begun = time.monotonic()
        for connected in held:
            self.ended_after(connected)
        self.assertLess(time.monotonic() - begun, 3 * HANDSHAKE_SECONDS)
        self.is_served()


del TlsTest

if __name__ == "__main__":
    unittest.main()
