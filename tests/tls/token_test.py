#!/usr/bin/python3
"""Tokens of the SDK and of assentctl, shown to a real assentd that has rules: over TLS, over loopback, and nowhere else."""

import json
import os
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl")]

from certificates import read, write  # noqa: E402
from daemon import BIN, Ctl, Daemon  # noqa: E402
from door_test import TlsTest  # noqa: E402

FLIGHTS = "north-air, south-air"


class Tokens(TlsTest):
    def setUp(self):
        super().setUp()
        self.tokens = self.ca.path("tokens")
        self.rules = self.ca.path("rules")
        self.said = {name: self.made(name) for name in ("airline", "dashboard", "nobody")}
        # One process of the example is both airlines, and their customer.
        write(self.rules, "\n".join((f"allow token:airline as participant for {FLIGHTS}", f"allow token:airline as initiator for {FLIGHTS}",
                                     "allow token:dashboard as viewer", "allow cn:operator as admin")) + "\n")

    def made(self, name, *more):
        return Ctl("")("auth", "token", name, "--append", self.tokens, *more).out.strip()

    def held(self, name, text=None):
        """The path of a file that has it."""
        path = self.ca.path(name + ".token")
        write(path, (self.said[name] if text is None else text) + "\n")
        return path

    def guarded(self):
        return "--auth-rules", self.rules, "--auth-tokens", self.tokens

    def plain(self, *arguments):
        self.daemon = Daemon(*self.guarded(), *arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "ASSENT_ENDPOINT": self.daemon.endpoint, **more}

    def fly(self, **environment):
        done = subprocess.run([os.path.join(BIN, "example-interactive")], env=self.environment(**environment), capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def test_the_sdk_shows_it_on_calls_and_streams(self):
        self.plain()
        code, said = self.fly(ASSENT_TOKEN=self.said["airline"])
        self.assertEqual(0, code, said)
        code, said = self.fly(ASSENT_TOKEN_FILE=self.held("airline"))
        self.assertEqual(0, code, said)
        for strange in ({}, {"ASSENT_TOKEN": self.said["nobody"]}, {"ASSENT_TOKEN": self.said["airline"][:-1] + "x"}):
            code, said = self.fly(**strange)
            self.assertEqual(1, code, said)

    def test_the_sdk_over_tls(self):
        self.serve("--tls-client-cert", "optional", *self.guarded())
        code, said = self.fly(ASSENT_TLS_CA=self.ca.ca, ASSENT_TOKEN=self.said["airline"])
        self.assertEqual(0, code, said)
        # It goes before the certificate of its connection.
        pair = {"ASSENT_TLS_CERT": self.operator.cert, "ASSENT_TLS_KEY": self.operator.key}
        code, said = self.fly(ASSENT_TLS_CA=self.ca.ca, ASSENT_TOKEN=self.said["airline"], **pair)
        self.assertEqual(0, code, said)
        code, said = self.fly(ASSENT_TLS_CA=self.ca.ca)
        self.assertEqual(1, code, said)

    def test_what_is_no_token_is_said_without_it(self):
        self.plain()
        secret = "blanks and secrets"
        for environment, words in (({"ASSENT_TOKEN": secret}, "blanks or other characters"), ({"ASSENT_TOKEN_FILE": "/nonexistent"}, "cannot be read"),
                                   ({"ASSENT_TOKEN_FILE": self.ca.folder}, "cannot be read"),
                                   ({"ASSENT_TOKEN_FILE": self.held("empty", "")}, "is empty"),
                                   ({"ASSENT_TOKEN_FILE": self.held("long", "x" * 8193)}, "more than 8192 bytes"),
                                   ({"ASSENT_TOKEN": "x", "ASSENT_TOKEN_FILE": "y"}, "one of them alone can count")):
            with self.subTest(words):
                code, said = self.fly(**environment)
                self.assertEqual(1, code, said)
                self.assertIn(words, said)
                self.assertNotIn(secret, said)
                shown = self.expect(2, "stats", env=environment).err
                self.assertIn(words, shown)
                self.assertNotIn(secret, shown)

    def test_it_is_not_shown_to_whoever_listens_on_the_way(self):
        self.plain()
        # Nothing is dialled: 192.0.2.0/24 is nobody's.
        remote = {"ASSENT_ENDPOINT": "192.0.2.1:7400"}
        code, said = self.fly(ASSENT_TOKEN=self.said["airline"], **remote)
        self.assertEqual(1, code, said)
        self.assertIn("could be read by others on its way to 192.0.2.1:7400", said)
        held = self.held("dashboard")
        self.assertIn("--token-over-plain", self.expect(2, "--token-file", held, "stats", env=remote).err)
        # A name is believed to be of this machine only if it can be of no other.
        self.expect(2, "--token-file", held, "stats", env={"ASSENT_ENDPOINT": "127.0.0.1.shop.example:7400"})
        self.expect(2, "--token-file", held, "stats", env={"ASSENT_ENDPOINT": f"{self.daemon.endpoint},192.0.2.1:7400"})
        told = self.expect(3, "--timeout", "1s", "--token-file", held, "--token-over-plain", "stats", env=remote)
        self.assertNotIn("could be read", told.err)
        self.expect(0, "--token-file", held, "--endpoint", "localhost:" + self.daemon.endpoint.split(":")[1], "stats")

    def test_assentctl_by_flag_environment_and_profile(self):
        self.plain()
        held = self.held("dashboard")
        self.expect(0, "--token-file", held, "stats")
        self.expect(0, "stats", env={"ASSENT_TOKEN_FILE": held})
        self.expect(0, "stats", env={"ASSENT_TOKEN": self.said["dashboard"]})
        profile = self.ca.path("assentctl.toml")
        write(profile, f'token-file = "{held}"\n')
        self.expect(0, "--profile-file", profile, "stats")
        # The environment goes before the profile, the flag before both.
        self.expect(6, "--profile-file", profile, "stats", env={"ASSENT_TOKEN": self.said["nobody"]})
        self.expect(0, "--profile-file", profile, "--token-file", held, "stats", env={"ASSENT_TOKEN": self.said["nobody"]})
        self.assertIn("token", self.expect(6, "stats").err)
        # There is no flag that would show it to whoever lists processes.
        self.expect(2, "--token", self.said["dashboard"], "stats")

    def test_who_sees_no_payloads_is_shown_the_rest(self):
        """show and wait ask for results, which a rule without payloads does not have."""
        self.plain()
        self.expect(0, "--token-file", self.held("airline"), "submit", "--gid", "one", "--for", "accepted", stdin=json.dumps(
            {"branches": [{"protocol": "tcc", "service": "north-air", "action": "book", "payload": {"secret": 1}}], "deadline": "1s"}))
        seen = self.held("dashboard")
        self.assertIn("one", self.expect(0, "--token-file", seen, "show", "one").out)
        self.expect(6, "--token-file", seen, "show", "one", "--payloads")
        self.expect(10, "--token-file", seen, "wait", "one", "--patient", "--timeout", "30s")

    def until_opened(self, seen, count):
        self.until(lambda: read(seen).count("connected session=") >= count)

    def test_a_token_that_ends_while_a_service_runs(self):
        """Its session ends with it, and is refused until the file has another token; nobody has to restart."""
        write(self.rules, read(self.rules) + "allow token:payment as participant for payment\n")
        self.said["payment"] = self.made("payment")
        self.plain()
        held, seen = self.held("payment"), self.ca.path("payment.log")
        with open(seen, "w", encoding="utf-8") as log:
            service = subprocess.Popen([os.path.join(BIN, "assent-demo-payment"), "--database", self.ca.path("payment.db")],
                                       env=self.environment(ASSENT_TOKEN_FILE=held), stdout=log, stderr=log)
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        self.until_opened(seen, 1)
        # It ends now: a line of the file says so.
        lines = read(self.tokens).splitlines()
        write(self.tokens, "\n".join(line + " until 2020-01-01" if line.split()[0] == "payment" else line for line in lines) + "\n")
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: "the token payment has expired" in read(seen))
        self.assertNotIn(self.said["payment"], read(seen) + self.daemon.log())
        shown = self.expect(0, "--token-file", self.held("dashboard"), "participants", "-o", "jsonl").out
        self.assertNotIn('"payment"', shown)
        self.said["other"] = self.made("other")
        write(self.rules, read(self.rules) + "allow token:other as participant for payment\n")
        self.daemon.signal(signal.SIGHUP)
        write(held, self.said["other"] + "\n")
        self.until_opened(seen, 2)


if __name__ == "__main__":
    unittest.main()
