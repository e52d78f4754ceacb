#!/usr/bin/python3
"""Who reads slowly is waited for, who does not read is not, and who has vanished is found out: a real assentd, and TCP as it is."""

import base64
import concurrent.futures
import ctypes
import json
import select
import socket
import struct
import time
import unittest

from rig import PATIENCE_SECONDS, Daemon, order, postgresql, read_all

# coordinator/http/limits.h
WRITE_SECONDS = 30
# What a test on a machine with much to do may be late by.
LATE_SECONDS = 30
# Longer than TCP_USER_TIMEOUT was.
PAUSE_SECONDS = 12
KEEPALIVE_SECONDS = 3
ROOM_BYTES = 4096  # of the reader's window


def vanish(connected):
    """Whatever comes for this socket from now on is dropped, as by a cable that is out: no answer, no reset."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # return 0: nothing of it
    connected.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(program)))  # SO_ATTACH_FILTER


def stays(connected, seconds):
    """It is not reset in this time."""
    poll = select.poll()
    poll.register(connected, 0)  # POLLERR and POLLHUP always count
    return poll.poll(seconds * 1000) == []


class Reader:
    """Has asked, and reads when it is told to."""

    all = []

    def __init__(self, daemon, request, room=ROOM_BYTES):
        self.daemon = daemon
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", daemon.port))
        self.socket.sendall(request.encode())
        self.said = b""
        self.all.append(self)

    def read(self, size):
        while len(self.said) < size:
            more = self.socket.recv(min(4096, size - len(self.said)))
            if not more:
                return
            self.said += more

    def size(self):
        """Of the whole answer, of which the head has been read."""
        head, _, _ = self.said.partition(b"\r\n\r\n")
        line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        return len(head) + 4 + int(line.split()[1])

    def is_held(self):
        """Whether the daemon's kernel has anything of it left."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            lines = [line.split() for line in file.readlines()[1:]]
        mine = self.socket.getsockname()[1]
        return any(int(line[1].split(":")[1], 16) == self.daemon.port and int(line[2].split(":")[1], 16) == mine and line[3] != "06"
                   for line in lines)

    def held_for(self, began):
        """Seconds until it is not held any more."""
        postgresql.until(lambda: not self.is_held(), WRITE_SECONDS + LATE_SECONDS, "it is held for ever")
        return time.monotonic() - began


class Readers(unittest.TestCase):
    """Each takes its time, so they take it together."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--keepalive-seconds", str(KEEPALIVE_SECONDS))
        body = order("large", service="nobody", deadlineMs="600000")
        body["branches"] *= 4
        body["branches"] = [{**branch, "payload": base64.b64encode(b"x" * 700_000).decode()} for branch in body["branches"]]
        code, _, said = cls.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", body)
        assert code == 200, said
        cls.pool = concurrent.futures.ThreadPoolExecutor()
        names = ("slow_from_the_beginning", "slow_at_the_end", "slow_and_the_last", "deaf", "vanished_reader", "vanished_stream", "vanished_waiter",
                 "waiter")
        cls.came_of = {name: cls.pool.submit(getattr(cls, name)) for name in names}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown()
        for reader in Reader.all:
            reader.socket.close()
        cls.daemon.close()

    def result(self, name):
        return self.came_of[name].result()

    @classmethod
    def large(cls, fields=""):
        return Reader(cls.daemon, f"GET /v1/transactions/large?payloads=true HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")

    @classmethod
    def waiting(cls, gid):
        body = json.dumps(order(gid, service="nobody", deadlineMs="600000"))
        return Reader(cls.daemon, "POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                  f"Content-Length: {len(body)}\r\n\r\n{body}")

    # ---- What they do ---------------------------------------------------------------------------------

    @classmethod
    def slow_from_the_beginning(cls):
        reader = cls.large()
        for step in range(1, 4):
            if not stays(reader.socket, PAUSE_SECONDS):
                return f"cut off in pause {step}"
            reader.read(step * 16 * ROOM_BYTES)
        reader.read(reader.size())
        return reader.size() - len(reader.said)

    @classmethod
    def slow_at_the_end(cls, fields=""):
        reader = cls.large(fields)
        reader.read(4096)
        reader.read(reader.size() - 4 * ROOM_BYTES)
        for step in range(1, 4):
            if not stays(reader.socket, PAUSE_SECONDS):
                return f"cut off in pause {step}"
            reader.read(reader.size() - (4 - step) * ROOM_BYTES)
        reader.read(reader.size())
        return reader.size() - len(reader.said)

    @classmethod
    def slow_and_the_last(cls):
        return cls.slow_at_the_end("Connection: close\r\n")

    @classmethod
    def deaf(cls):
        reader = cls.large()
        return reader.held_for(time.monotonic())

    @classmethod
    def vanished_reader(cls):
        reader = cls.large()
        reader.read(4096)
        vanish(reader.socket)
        return reader.held_for(time.monotonic())

    @classmethod
    def vanished_stream(cls):
        reader = Reader(cls.daemon, "GET /v1/transactions/large:watch HTTP/1.1\r\nHost: localhost\r\n\r\n", room=65536)
        while b"event: transaction" not in reader.said:
            reader.read(len(reader.said) + 1)
        vanish(reader.socket)
        return reader.held_for(time.monotonic())

    @classmethod
    def vanished_waiter(cls):
        reader = cls.waiting("vanished")
        vanish(reader.socket)
        return reader.held_for(time.monotonic())

    @classmethod
    def waiter(cls):
        """Whoever waits and is there answers the kernel's question, and notices nothing."""
        reader = cls.waiting("there")
        stayed = stays(reader.socket, PAUSE_SECONDS) and reader.is_held()
        cls.daemon.ask("POST", "/v1/transactions/there:abort", {"action": {"who": "ann", "reason": "r"}})
        reader.socket.shutdown(socket.SHUT_WR)
        return stayed and b"ABORTED" in read_all(reader.socket)

    # ---- What comes of it -----------------------------------------------------------------------------

    def test_who_takes_something_now_and_then_gets_all_of_it(self):
        for name in ("slow_from_the_beginning", "slow_at_the_end", "slow_and_the_last"):
            with self.subTest(name):
                self.assertEqual(0, self.result(name))

    def test_who_takes_nothing_is_cut_off_in_time(self):
        for name, least, most in (("deaf", WRITE_SECONDS - 1, WRITE_SECONDS), ("vanished_reader", WRITE_SECONDS - 1, WRITE_SECONDS),
                                  # Nothing is written to it meanwhile: it is asked, as who waits is.
                                  ("vanished_stream", KEEPALIVE_SECONDS - 1, 2 * KEEPALIVE_SECONDS),
                                  ("vanished_waiter", KEEPALIVE_SECONDS - 1, 2 * KEEPALIVE_SECONDS)):
            with self.subTest(name):
                seconds = self.result(name)
                self.assertGreaterEqual(seconds, least)
                self.assertLess(seconds, most + LATE_SECONDS)

    def test_who_waits_and_is_there_stays(self):
        self.assertTrue(self.result("waiter"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
