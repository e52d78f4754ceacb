#!/usr/bin/python3
"""Who has shown nothing is counted by where he comes from: no address takes the place of all, over either door."""

import os
import socket
import sys
import unittest

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "../http")]

from rig import PATIENCE_SECONDS, Daemon  # noqa: E402


class Addresses(unittest.TestCase):
    """Connections of one address, over either door: the others of it are turned away, and who leaves makes room."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--max-connections-per-address", "5", "--max-http-connections-per-address", "5")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def hold_five(self, dial, accepted, refused):
        """`dial(from_address)` says a connection and what it was told first."""
        held = [dial("127.0.0.2") for _ in range(5)]
        self.assertEqual([accepted] * 5, [said for _, said in held])
        self.assertEqual(refused, dial("127.0.0.2")[1])
        self.assertEqual(accepted, dial("127.0.0.3")[1], "another address has its own")
        held[0][0].close()
        while dial("127.0.0.2")[1] != accepted:  # as soon as the daemon has heard of it
            self.assertIsNone(self.daemon.process.poll())

    def dialler(self, address, says, length):
        host, port = address.rsplit(":", 1)

        def dial(source):
            connected = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS, source_address=(source, 0))
            self.addCleanup(connected.close)
            try:
                connected.sendall(says)
                return connected, connected.recv(length)
            except ConnectionError:
                return connected, b""
        return dial

    def test_of_grpc(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
        dial = self.dialler(self.daemon.endpoint, preface, 1)
        self.hold_five(dial, dial("127.0.0.4")[1], b"")

    def test_of_http(self):
        ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.hold_five(self.dialler(f"127.0.0.1:{self.daemon.port}", ask, 12), b"HTTP/1.1 200", b"HTTP/1.1 429")


if __name__ == "__main__":
    unittest.main()
