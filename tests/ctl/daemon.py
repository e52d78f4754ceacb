"""Runs assentd and assentctl for tests: real processes, ephemeral ports, a folder that goes away."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/release/bin"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    def __init__(self, *arguments):
        self._folder = tempfile.TemporaryDirectory(prefix="assentctl-test-")
        self.endpoint = f"127.0.0.1:{free_port()}"
        self._arguments = arguments
        self.data = os.path.join(self._folder.name, "data")
        self.start()

    def start(self):
        self._log = open(os.path.join(self._folder.name, "assentd.log"), "ab")
        self._process = subprocess.Popen(
            [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.endpoint, "--data",
             self.data, *self._arguments],
            stdout=subprocess.PIPE, stderr=self._log, text=True)
        self.card = ""
        for line in self._process.stdout:
            self.card += line
            if re.match(r"\s+see\s", line):  # the last line of the start-up card
                return
        sys.exit("assentd did not start: " + open(self._log.name).read())

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        with open(self._log.name, encoding="utf-8") as file:
            return file.read()

    def threads(self):
        """Their names."""
        folder = f"/proc/{self._process.pid}/task"
        names = set()
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/comm", encoding="utf-8") as file:
                names.add(file.read().rstrip("\n"))
        return names

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        """In order; its exit code."""
        self._process.terminate()
        code = self._process.wait()
        self._process.stdout.close()
        self._log.close()
        return code

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def close(self):
        if self._process.poll() is None:
            self.kill()
        self._folder.cleanup()


class Result:
    def __init__(self, completed):
        self.code, self.out, self.err = completed.returncode, completed.stdout, completed.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Ctl:
    """assentctl against one endpoint, without a terminal and without the caller's own settings."""

    def __init__(self, endpoint):
        self.env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "USER": "tester", "ASSENT_ENDPOINT": endpoint}
        self.program = os.path.join(BIN, "assentctl")

    def __call__(self, *arguments, stdin="", env=None):
        return Result(subprocess.run([self.program, *arguments], input=stdin, capture_output=True, text=True,
                                     env={**self.env, **(env or {})}, timeout=60))

    def until_kept(self, *gids):
        """Until the log has their ends. `wait` is told of an end sooner, which a kill then takes back: it gates nothing."""
        end = time.monotonic() + 20
        while not set(gids) <= set(self("list", "--state", "finished", "-o", "id").out.split()):
            assert time.monotonic() < end, f"{gids}: not all of them are in the history"
            time.sleep(0.02)

    def start(self, *arguments):
        return subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.env)


class CtlTest(unittest.TestCase):
    """With `self.ctl`."""

    PATIENCE_SECONDS = 20

    def expect(self, code, *arguments, **more):
        result = self.ctl(*arguments, **more)
        self.assertEqual(code, result.code, f"{arguments}: {result}")
        return result

    def until(self, what):
        """Waits for a condition, which says what it saw."""
        end = time.monotonic() + self.PATIENCE_SECONDS
        while not (seen := what()):
            self.assertLess(time.monotonic(), end, "waited too long")
            time.sleep(0.02)
        return seen
