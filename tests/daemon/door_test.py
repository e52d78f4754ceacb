#!/usr/bin/python3
"""Who gets in, and what is heard of it: connections up to every limit, a log that nobody reads, signals at any moment, two
daemons on one Unix socket. With the real assentd; each test was written against one that failed it.
"""

import contextlib
import glob
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "..", "grpc"), os.path.join(_HERE, "..", "ctl")]
from daemon import BIN  # noqa: E402
from wire import Session, branch, connect, spec, tx, tx_grpc, types  # noqa: E402

ASSENTD = os.path.join(BIN, "assentd")
# The beginning of every HTTP/2 connection: what a client says before it waits.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
MAX_START_SECONDS = 60


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not (seen := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return seen


class Assentd:
    """A daemon of its own: its log in a file or where `stderr` says, its folder gone at the end."""

    def __init__(self, *arguments, listen="127.0.0.1:0", files=None, **popen):
        self.folder = tempfile.TemporaryDirectory(prefix="assentd-door-")
        self.log_path = os.path.join(self.folder.name, "log")
        with open(self.log_path, "wb") as log:
            popen.setdefault("stderr", log)
            self.process = subprocess.Popen(
                [ASSENTD, "--http-listen", "none", "--listen", listen, "--data", os.path.join(self.folder.name, "data"), *arguments],
                stdout=subprocess.PIPE, text=True,
                preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None, **popen)

    def ready(self):
        for line in self.process.stdout:
            if line.strip().startswith("listening"):
                self.endpoint = line.split()[1]
            if line.strip().startswith("see"):
                return self
        raise AssertionError("it did not start: " + self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8") as log:
            return log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


class Test(unittest.TestCase):
    def assentd(self, *arguments, **more):
        return self.enterContext(Assentd(*arguments, **more))

    def dial(self, daemon, says=b"", source=None):
        host, port = daemon.endpoint.rsplit(":", 1)
        peer = socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0) if source else None)
        self.addCleanup(peer.close)
        with contextlib.suppress(OSError):
            peer.sendall(says)
        return peer

    @staticmethod
    def lives(peer):
        """Whether a connection has not been closed from the other side."""
        with contextlib.suppress(BlockingIOError, TimeoutError):
            peer.settimeout(0)
            try:
                while peer.recv(4096):
                    pass
                return False
            except ConnectionError:
                return False
        return True

    @staticmethod
    def answered(peer):
        """Waits for the first byte of an answer, or the end."""
        peer.settimeout(20)
        try:
            return peer.recv(1) != b""
        except ConnectionError:
            return False

    def server(self, endpoint, seconds=20):
        """The daemon as a client that is new, and tries again, finds it."""
        end = time.monotonic() + seconds
        while True:
            with connect(endpoint) as channel:
                try:
                    return tx_grpc.TransactionServiceStub(channel).GetServerInfo(tx.GetServerInfoRequest(), timeout=5)
                except grpc.RpcError as error:
                    self.assertLess(time.monotonic(), end, error)
                    time.sleep(0.1)


class Connections(Test):
    def test_the_limit_on_open_files_is_never_reached_and_nobody_is_turned_away_for_good(self):
        """gRPC's listener had given up for good at the first EMFILE, and nothing was said."""
        daemon = self.assentd(files=256).ready()
        guests = [self.dial(daemon, PREFACE, f"127.0.0.{2 + i % 9}") for i in range(400)]
        let_in = [guest for guest in guests if self.answered(guest)]
        self.assertIn("event=few_files connections=192", daemon.log())
        self.assertEqual(192, len(let_in))
        self.assertLess(daemon.files(), 256, "no descriptor is left for the log")
        until(lambda: "event=connections_turned_away in_all=208" in daemon.log())
        for guest in guests:
            guest.close()
        self.assertEqual("", self.server(daemon.endpoint).refusing)
        until(lambda: "event=connections_taken_again" in daemon.log())
        self.assertEqual(0, daemon.stop())

    def test_out_of_descriptors_all_the_same(self):
        """Others may take them: here the limit is lowered under the daemon's feet."""
        daemon = self.assentd().ready()
        first = connect(daemon.endpoint)
        self.addCleanup(first.close)
        api = tx_grpc.TransactionServiceStub(first)
        api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (daemon.files(), 4096))
        until(lambda: not self.answered(self.dial(daemon, PREFACE)))
        until(lambda: re.search(r"for_descriptors=[1-9]", daemon.log()))
        self.assertEqual("", api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20).refusing)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        self.assertEqual("", self.server(daemon.endpoint).refusing)

    def test_one_address_does_not_take_the_place_of_all(self):
        daemon = self.assentd("--max-connections", "40", "--max-connections-per-address", "30").ready()
        greedy = [self.dial(daemon, PREFACE, "127.0.0.2") for _ in range(60)]
        self.assertEqual(30, sum(self.answered(peer) for peer in greedy))
        self.assertTrue(self.answered(self.dial(daemon, PREFACE, "127.0.0.3")))
        until(lambda: "by_address=30" in daemon.log())

    def test_who_says_nothing_gives_way_and_is_not_waited_for(self):
        daemon = self.assentd("--max-connections", "20", "--max-connections-per-address", "20").ready()
        silent = [self.dial(daemon) for _ in range(20)]
        time.sleep(0.3)  # so long anybody may hesitate
        self.assertEqual("", self.server(daemon.endpoint).refusing)
        self.assertFalse(self.lives(silent[0]), "the one who was silent longest had to go")
        self.assertTrue(self.lives(silent[-1]))
        # A first byte and no more is not enough either; gRPC ends these.
        half = self.dial(daemon, PREFACE[:10])
        until(lambda: not any(map(self.lives, silent + [half])))
        self.assertEqual("", self.server(daemon.endpoint).refusing)

    def test_every_kind_of_address_is_listened_on(self):
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "assentd.sock")
        for listen, dials in (("127.0.0.1:0", ["127.0.0.1"]), ("localhost:0", ["127.0.0.1"]), ("0.0.0.0:0", ["127.0.0.1"]),
                              ("[::1]:0", ["[::1]"]), ("[::]:0", ["[::1]", "127.0.0.1"]), ("unix:" + path, []), ("unix://" + path, [])):
            with self.subTest(listen), Assentd("--allow-insecure", "--self-dial-seconds", "1", listen=listen) as daemon:
                daemon.ready()
                endpoint = daemon.endpoint
                for target in [f"{host}:{endpoint.rsplit(':', 1)[1]}" for host in dials] or [endpoint]:
                    session = Session(target, "svc")
                    self.addCleanup(session.close)
                    self.assertTrue(session.welcome.wait(20))
                    self.assertIsNone(session.error)
                    with connect(target) as channel:
                        reply = tx_grpc.TransactionServiceStub(channel).ListParticipants(tx.ListParticipantsRequest(), timeout=20)
                    family = "unix:" if "unix" in target else "ipv6:" if "[" in target else "ipv4:"
                    self.assertIn(family, [i.address[:5] for p in reply.participants for i in p.instances])
                    session.close()
                self.assertEqual(0, daemon.stop())
                self.assertNotIn("self_dial", daemon.log())

    def test_an_address_that_is_taken_is_told_with_the_setting(self):
        first = self.assentd().ready()
        second = self.assentd(listen=first.endpoint)
        self.assertEqual(69, second.process.wait(MAX_START_SECONDS))
        self.assertRegex(second.log(), f"cannot listen on {first.endpoint}: Address already in use.*--listen")
        self.assertEqual(69, (other := self.assentd("--allow-insecure", listen="192.0.2.1:7400")).process.wait(MAX_START_SECONDS))
        self.assertIn("this machine does not have it", other.log())


class UnixSocket(Test):
    def setUp(self):
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "assentd.sock")

    def test_two_daemons_do_not_share_one(self):
        """The second had taken the first one's place without a word, and the first deleted the second's on its way out."""
        first = self.assentd(listen="unix:" + self.path).ready()
        second = self.assentd(listen="unix:" + self.path)
        self.assertEqual(69, second.process.wait(MAX_START_SECONDS))
        self.assertRegex(second.log(), f"process {first.process.pid} listens there.*--listen")
        self.assertEqual("", self.server("unix:" + self.path).refusing)
        self.assertEqual(0, first.stop())
        self.assertEqual([], os.listdir(os.path.dirname(self.path)))

    def test_a_dead_one_is_taken_over_and_a_strangers_is_not(self):
        first = self.assentd(listen="unix:" + self.path).ready()
        first.process.kill()
        first.process.wait()
        self.assertTrue(os.path.exists(self.path))
        self.assertEqual(0, self.assentd(listen="unix:" + self.path).ready().stop())
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.bind(self.path)
            stranger.listen()
            second = self.assentd(listen="unix:" + self.path)
            self.assertEqual(69, second.process.wait(MAX_START_SECONDS))
            self.assertIn(f"process {os.getpid()} listens there", second.log())
        os.unlink(self.path)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("mine")
        self.assertEqual(69, (third := self.assentd(listen="unix:" + self.path)).process.wait(MAX_START_SECONDS))
        self.assertIn("no socket, which is left alone", third.log())
        self.assertTrue(os.path.exists(self.path))

    def test_on_the_way_out_only_our_own_is_deleted(self):
        first = self.assentd("--self-dial-seconds", "0", listen="unix:" + self.path).ready()
        os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            self.assertEqual(0, first.stop())
            self.assertTrue(os.path.exists(self.path), "another one's socket was deleted")

    def test_a_file_that_was_deleted_is_made_again(self):
        """The daemon notices by its own dial that nobody can reach it any more."""
        daemon = self.assentd("--self-dial-seconds", "1", listen="unix:" + self.path).ready()
        os.unlink(self.path)
        self.assertEqual("", self.server("unix:" + self.path).refusing)
        self.assertIn("event=listening_again", daemon.log())
        self.assertEqual(0, daemon.stop())
        self.assertFalse(os.path.exists(self.path))

    def test_a_daemon_that_cannot_be_reached_ends_for_its_supervisor(self):
        daemon = self.assentd("--self-dial-seconds", "1", listen="unix:" + self.path).ready()
        os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            self.assertEqual(70, daemon.process.wait(60))
        self.assertIn("event=unreachable", daemon.log())


class Log(Test):
    @staticmethod
    def fill(pipe):
        """By a description of our own: that of the daemon has to block as it always does."""
        with open(f"/proc/self/fd/{pipe}", "wb", buffering=0, opener=lambda p, f: os.open(p, os.O_WRONLY | os.O_NONBLOCK)) as end:
            while end.write(b"full "):
                pass

    def test_a_log_that_nobody_reads_stops_nothing(self):
        """273 labels that are not UTF-8 had been enough: protobuf wrote a line for each, into a pipe that was full."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        daemon = self.assentd("--log-level", "debug", stderr=writing).ready()
        self.fill(writing)
        with connect(daemon.endpoint) as channel:
            api = tx_grpc.TransactionServiceStub(channel)
            submit = channel.unary_unary("/assent.v1.TransactionService/Submit")
            bad = tx.SubmitRequest(transaction=spec("bad", branch("svc"), labels={"key": "XX"})).SerializeToString().replace(b"XX", b"\xff\xfe")
            for _ in range(1000):
                with self.assertRaises(grpc.RpcError):
                    submit(bad, timeout=20)
            session = Session(daemon.endpoint, "svc")
            self.addCleanup(session.close)
            reply = api.Submit(tx.SubmitRequest(transaction=spec("good", branch("svc")), wait_for=types.WAIT_COMPLETED), timeout=20)
            self.assertEqual(types.COMMITTED, reply.outcome)
            session.close()
        self.assertEqual(0, daemon.stop())
        os.close(writing)

    def test_what_was_dropped_is_said(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        daemon = self.assentd("--log-level", "debug", stderr=writing).ready()
        self.fill(writing)
        os.close(writing)
        with connect(daemon.endpoint) as channel:
            submit = channel.unary_unary("/assent.v1.TransactionService/Submit")
            bad = tx.SubmitRequest(transaction=spec("bad", labels={"key": "XX"})).SerializeToString().replace(b"XX", b"\xff\xfe")
            for _ in range(200):
                with self.assertRaises(grpc.RpcError):
                    submit(bad, timeout=20)
        daemon.process.send_signal(signal.SIGTERM)
        text = b""
        while chunk := os.read(reading, 65536):
            text += chunk
        self.assertEqual(0, daemon.process.wait(30))
        said = text.decode().replace("full ", "")
        self.assertRegex(said, r"event=protobuf said=\".*UTF-8")
        self.assertRegex(said, r"event=library_lines_left_out lines=\d+")
        self.assertIn("event=stopped", said)


class Signals(Test):
    @staticmethod
    def blocks(process):
        """Whether the process is far enough to take SIGTERM: from its first own instruction on. The thread that waits for the signal is
        shown without it in its mask meanwhile; all others have it."""
        for path in glob.glob(f"/proc/{process.pid}/task/*/status"):
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as status:
                mask = next((line.split()[1] for line in status if line.startswith("SigBlk")), "0")
                if int(mask, 16) >> (signal.SIGTERM - 1) & 1:
                    return True
        return False

    def test_sigterm_at_any_moment_of_the_start_ends_it_in_order(self):
        """In its first milliseconds, while libraries are made ready, it had ended by the signal."""
        codes = []
        for microseconds in [*range(0, 20_000, 500), *range(20_000, 120_000, 4_000)]:
            daemon = self.assentd()
            until(lambda process=daemon.process: self.blocks(process))
            end = time.monotonic() + microseconds / 1e6
            while time.monotonic() < end:
                pass
            codes.append(daemon.stop())
            daemon.__exit__()
        self.assertEqual([0] * len(codes), codes)

    def test_a_signal_that_comes_before_the_program_is_kept_for_it(self):
        for _ in range(3):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            daemon = self.assentd(restore_signals=False)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            self.assertEqual(0, daemon.stop())


class Reflection(Test):
    SERVICE = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

    def services(self, daemon):
        """The answer to "list your services": field 7 of a request, in bytes."""
        with connect(daemon.endpoint) as channel:
            ask = channel.stream_stream(self.SERVICE)
            try:
                return b"".join(ask(iter([b"\x3a\x01*"]), timeout=20))
            except grpc.RpcError as error:
                return error.code()

    def test_it_is_on_and_can_be_turned_off(self):
        self.assertIn(b"assent.v1.TransactionService", self.services(self.assentd().ready()))
        self.assertEqual(grpc.StatusCode.UNIMPLEMENTED, self.services(self.assentd("--reflection=false").ready()))

    def test_health_says_serving_for_the_whole(self):
        with connect(self.assentd().ready().endpoint) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            self.assertEqual(b"\x08\x01", check(b"", timeout=20))
            self.assertEqual(b"\x08\x01", check(b"\x0a\x00", timeout=20))
            with self.assertRaises(grpc.RpcError) as other:
                check(b"\x0a\x01x", timeout=20)
            self.assertEqual(grpc.StatusCode.NOT_FOUND, other.exception.code())

    def test_health_is_not_watched(self):
        """By strangers without number, whom nobody would count."""
        with connect(self.assentd().ready().endpoint) as channel:
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
            with self.assertRaises(grpc.RpcError) as refused:
                next(watch)
            self.assertEqual(grpc.StatusCode.UNIMPLEMENTED, refused.exception.code())


if __name__ == "__main__":
    unittest.main(verbosity=2)
