#!/usr/bin/python3
"""Connections on which nobody has shown who he is, with rules: they make room, and what they send is bounded, and no others' is."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../grpc"), os.path.join(HERE, "../ctl")]
from door_test import BIN, PREFACE, Assentd, until  # noqa: E402
from wire import branch, spec, tx, tx_grpc  # noqa: E402

GRACE_SECONDS = 10          # kStrangerGrace
SHARE = 64 * 1024 * 1024    # kMaxStrangerBytes
# A header that begins, and how it goes on for ever: literals without an end of the header.
BEGIN = b"\0\0\0\1\0\0\0\0\1"
GO_ON = b"\0\x3f\xf0\x09\0\0\0\0\1" + (b"\0\3x-a\x7f\xa1\x1e" + b"b" * 4000) * 4
GO_ON = (len(GO_ON) - 9).to_bytes(3, "big") + GO_ON[3:]


def established(daemon):
    """Its connections."""
    port = int(daemon.endpoint.rsplit(":", 1)[1])
    with open("/proc/net/tcp", encoding="ascii") as table:
        return [line for line in table if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01"]


class Strangers(unittest.TestCase):
    def serve(self, *flags):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        rules, tokens = os.path.join(folder, "rules"), os.path.join(folder, "tokens")
        with open(rules, "w", encoding="utf-8") as file:
            file.write("allow token:boss as admin\nallow token:boss as initiator for *\n")
        self.token = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", "boss", "--append", tokens], check=True, capture_output=True,
                                    text=True, timeout=60).stdout.strip()
        self.daemon = self.enterContext(Assentd("--auth-rules", rules, "--auth-tokens", tokens, *flags)).ready()

    def stranger(self, address="127.0.0.1"):
        host, port = self.daemon.endpoint.rsplit(":", 1)
        connected = socket.create_connection((host, int(port)), timeout=60, source_address=(address, 0))
        self.addCleanup(connected.close)
        connected.sendall(PREFACE)
        return connected

    def client(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 500)]
        return self.enterContext(grpc.insecure_channel(self.daemon.endpoint, options=options))

    def ask(self, channel, timeout=60):
        return tx_grpc.TransactionServiceStub(channel).GetServerInfo(
            tx.GetServerInfoRequest(), timeout=timeout, metadata=(("authorization", "Bearer " + self.token),), wait_for_ready=True)

    @staticmethod
    def is_ended(connected):
        connected.setblocking(False)
        try:
            while data := connected.recv(65536):
                del data
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def test_they_make_room_and_who_is_known_stays(self):
        self.serve("--max-connections", "8", "--max-connections-per-address", "8")
        known = self.client()
        self.ask(known)
        strangers = [self.stranger() for _ in range(7)]
        came = time.monotonic()
        self.ask(self.client())  # waits until one of them is old enough
        self.assertGreater(time.monotonic() - came, GRACE_SECONDS - 2)
        self.assertTrue(self.is_ended(strangers[0]), "the oldest")
        # For the client, and perhaps for the daemon, which dials itself every five seconds.
        ended = [self.is_ended(one) for one in strangers]
        self.assertEqual(sorted(ended, reverse=True), ended, "the oldest first")
        self.assertIn(sum(ended), (1, 2))
        self.ask(known, timeout=5)
        until(lambda: re.search(rf"event=connections_turned_away .* strangers=[1-{sum(ended)}] ", self.daemon.log()))

    def test_who_has_many_and_comes_again_at_once_keeps_nobody_out(self):
        """From two addresses they had all of the places, and whoever was ended had one again before anybody else."""
        self.serve("--max-connections", "12", "--max-connections-per-address", "6")
        stop = threading.Event()

        def crowd(address):
            while not stop.is_set():
                with contextlib.suppress(OSError), contextlib.closing(self.stranger(address)) as connected:
                    connected.settimeout(0.2)
                    while not stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            if not connected.recv(65536):
                                break
                time.sleep(0.01)  # tidy: allow(sleep) it is turned away most of the time

        crowds = [threading.Thread(target=crowd, args=(f"127.0.0.{2 + number % 2}",)) for number in range(12)]
        self.addCleanup(lambda: [one.join() for one in crowds])
        self.addCleanup(stop.set)
        for one in crowds:
            one.start()
        until(lambda: len(established(self.daemon)) >= 12)
        for _ in range(4):  # and who is in stays in
            came = time.monotonic()
            self.ask(self.client())
            self.assertLess(time.monotonic() - came, GRACE_SECONDS / 2)

    def test_what_one_sends_is_bounded(self):
        self.serve()
        known = self.client()
        self.ask(known)
        stranger, sent = self.stranger(), 0
        with self.assertRaises(OSError):
            stranger.sendall(BEGIN)
            while sent < 100 * SHARE:
                stranger.sendall(GO_ON)
                sent += len(GO_ON)
        self.assertGreater(sent, SHARE // 2)
        # Of whoever is known it is not.
        stub = tx_grpc.TransactionServiceStub(known)
        big = branch("absent", payload=b"x" * 1_000_000)
        for number in range(2 * SHARE // 1_000_000):
            with self.assertRaises(grpc.RpcError) as refused:  # for its gid, when it has come in whole
                stub.Submit(tx.SubmitRequest(transaction=spec("x" * 65, big)), timeout=60, metadata=(("authorization", "Bearer " + self.token),))
            self.assertEqual(grpc.StatusCode.INVALID_ARGUMENT, refused.exception.code(), number)
        until(lambda: re.search(r"event=connections_turned_away .* strangers=1 ", self.daemon.log()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
