#!/usr/bin/python3
"""`assent-demo --keep`: the shop stays with an outage in it. Its causes are found over REST, the commands that it prints work, and
Ctrl-C leaves neither a process nor a file."""

import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/release/bin"))
PATIENCE_SECONDS = 60
LAST_LINE = "Ctrl-C ends all of it"


def processes_in(path):
    """{pid: command line} of those that name something below `path`."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().decode(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        if any(path in word for word in line):
            found[int(pid)] = " ".join(line)
    return found


def until(condition, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)  # tidy: allow(sleep) between two looks
    raise AssertionError(f"in vain: {what}")


class Kept(unittest.TestCase):
    """A demo that stays."""

    def start(self, *more):
        self.folder = tempfile.TemporaryDirectory(prefix="demo-keep-")
        self.addCleanup(self.folder.cleanup)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ASSENT_")}
        self.demo = subprocess.Popen([os.path.join(BIN, "assent-demo"), "--only", "tcc-commits", "--keep", *more], stdout=subprocess.PIPE,
                                     text=True, env={**environment, "TMPDIR": self.folder.name})
        self.addCleanup(self.demo.stdout.close)
        self.addCleanup(self.demo.wait)
        self.addCleanup(self.demo.kill)
        self.said = []

    def read_until(self, words):
        for line in self.demo.stdout:
            self.said.append(line.rstrip("\n"))
            if words in line:
                return "\n".join(self.said)
        raise AssertionError("\n".join(self.said))

    def printed(self, name):
        """The command on the line that begins so."""
        return shlex.split(re.search(rf"^  {name} +(\S.*)$", "\n".join(self.said), re.M)[1])

    def run_printed(self, name):
        done = subprocess.run(self.printed(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout.decode()

    def end(self):
        self.demo.send_signal(signal.SIGINT)
        self.assertEqual(128 + signal.SIGINT, self.demo.wait(PATIENCE_SECONDS))
        self.assertEqual({}, processes_in(self.folder.name))
        self.assertEqual([], os.listdir(self.folder.name))


class Keep(Kept):
    def ask(self, path):
        with urllib.request.urlopen(self.console + path, timeout=PATIENCE_SECONDS) as answer:
            return answer.headers.get_content_type(), answer.read().decode()

    def causes(self):
        try:
            return {one["sentence"]: one for one in json.loads(self.ask("v1/causes")[1])["causes"]}
        except (urllib.error.URLError, ConnectionError):  # it is being started again
            return {}

    def test_an_outage_to_look_at(self):
        self.start()
        # While the stories are told, the console can be looked at.
        self.console = re.search(r"while this runs: (http://\S+)", self.read_until("while this runs"))[1]
        self.assertEqual("text/html", self.ask("")[0])
        self.assertIn("books balanced", self.read_until(LAST_LINE))
        self.assertEqual([self.console], self.printed("console"))

        causes = self.causes()
        waits, misspelt = causes["payment: not connected"], causes["paymnet: not connected"]
        self.assertEqual((12, "NOT_CONNECTED"), (int(waits["count"]), waits["kind"]))
        self.assertEqual(["order-misspelt"], misspelt["gids"])
        sealed = next(one for sentence, one in causes.items() if "COMPENSATE" in sentence)
        self.assertEqual((["order-of-bob"], "1"), (sealed["gids"], sealed["needsOperator"]))
        self.assertEqual(3, len(causes), causes)

        self.assertRegex(self.run_printed("list"), r"12 .*payment: not connected")
        self.assertIn("the shelf is sealed", self.run_printed("show"))

        # Somebody tries kill -9: it comes back, at the same address, with all of it.
        coordinator = next(pid for pid, line in processes_in(self.folder.name).items() if "/assentd " in line)
        os.kill(coordinator, signal.SIGKILL)
        self.read_until("it runs again")
        until(lambda: self.causes().keys() == causes.keys(), "the causes are there again")

        # And somebody has the payment service come back.
        payment = subprocess.Popen(self.printed("payment"), stderr=subprocess.DEVNULL)
        try:
            until(lambda: (now := self.causes()) and "payment: not connected" not in now, "those that waited go on")
            finished = until(lambda: self.finished("order-1012"), "the last of them is finished")
            self.assertEqual("COMMITTED", finished["outcome"])
        finally:
            payment.terminate()
            payment.wait()

        self.end()
        with self.assertRaises(urllib.error.URLError):
            self.ask("livez")

    def finished(self, gid):
        one = json.loads(self.ask(f"v1/transactions/{gid}")[1])
        return one if one["state"] == "FINISHED" else None


class KeepSecure(Kept):
    """The same with locks: what is printed is enough to get into the console, and nobody else does."""

    def ask(self, path, *, cookie=None, body=None, **headers):
        context = ssl.create_default_context(cafile=os.path.join(self.keys, "ca.pem"))
        if cookie:
            headers["cookie"] = cookie
        if body is not None:
            headers["content-type"] = "application/json"
        request = urllib.request.Request(self.console + path, headers=headers, data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=context) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as failed:
            return failed.code, failed.headers, failed.read().decode()

    def test_the_console_is_entered_with_what_is_printed(self):
        self.start("--secure")
        self.console = re.search(r"while this runs: (https://\S+)", self.read_until("while this runs"))[1]
        said = self.read_until(LAST_LINE)
        self.assertIn("books balanced", said)
        self.assertIn("was refused at once: no rule has that service", said)
        self.assertEqual([self.console], self.printed("console"))
        self.keys = os.path.dirname(self.printed("token")[1])

        self.assertEqual(401, self.ask("v1/causes")[0])
        self.assertEqual(401, self.ask("v1/login", body={"token": "assent_operator_" + "0" * 64})[0])
        status, headers, _ = self.ask("v1/login", body={"token": self.run_printed("token").strip()})
        self.assertEqual(200, status)
        status, _, causes = self.ask("v1/causes", cookie=headers["set-cookie"].split(";")[0])
        self.assertEqual(200, status)
        self.assertIn("payment: not connected", causes)
        self.assertIn("payment: not connected", self.run_printed("curl"))

        self.assertRegex(self.run_printed("list"), r"12 .*payment: not connected")
        self.assertIn("the shelf is sealed", self.run_printed("show"))
        # The payment service comes back with its key, by the command that is printed.
        payment = subprocess.Popen(self.printed("payment"), stderr=subprocess.DEVNULL)
        try:
            until(lambda: "payment: not connected" not in self.run_printed("list"), "those that waited go on")
        finally:
            payment.terminate()
            payment.wait()
        self.end()


if __name__ == "__main__":
    sys.exit(unittest.main())
