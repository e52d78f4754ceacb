"""Coordinators that share a PostgreSQL, as real processes of which a test decides each start and each end."""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("support", "ctl"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))

import postgresql  # noqa: E402
from daemon import BIN, Ctl  # noqa: E402,F401


class Member:
    """`environment`: the whole of it. `arguments`: after --log, --listen and --node."""

    def __init__(self, name, log, *arguments, environment=None):
        self.name, self.environment = name, environment
        self.folder = tempfile.TemporaryDirectory(prefix="assent-member-")
        self.log_file = os.path.join(self.folder.name, "log")
        self.endpoint = f"127.0.0.1:{postgresql.free_port()}"
        self.argv = [os.path.join(BIN, "assentd"), "--log", log, "--http-listen", "none", "--listen", self.endpoint, "--node", name, *arguments]
        self.process, self.card = None, ""

    def start(self):
        """Until the card is there."""
        if self.process:
            self.process.stdout.close()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.argv], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment)
        self.card = ""
        for line in self.process.stdout:
            self.card += line
            if re.match(r"\s+see\s", line):
                return self
        raise RuntimeError(f"{self.name} did not start: {self.words()}")

    def words(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as log:
            return log.read()

    def terminate(self, seconds=60):
        """Its exit status."""
        self.process.terminate()
        self.process.wait(seconds)
        self.process.stdout.close()
        return self.process.returncode

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process:
            self.process.stdout.close()
        self.folder.cleanup()


class ServerTest(unittest.TestCase):
    """A PostgreSQL for the class, and a log of its own for each test."""

    @classmethod
    def setUpClass(cls):
        cls.server = postgresql.Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def setUp(self):
        self.database = self.server.new_database()


class MembersTest(ServerTest):
    """With members that are started at once."""

    def member(self, name, *arguments):
        member = Member(name, self.server.url(self.database), *arguments)
        self.addCleanup(member.close)
        return member.start()

    def until(self, what, seconds=60):
        """What it gives, once that is true."""
        end = time.monotonic() + seconds
        while not (result := what()):
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)  # until it is so
        return result

    def line(self, member, words):
        """The line of its log with these words, once it is there."""
        self.until(lambda: words in member.words())
        return next(line for line in member.words().splitlines() if words in line)
