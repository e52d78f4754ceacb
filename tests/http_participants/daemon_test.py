#!/usr/bin/python3
"""Participants over HTTP: a real assentd, and participants that answer as they should, late, never, too much, or nonsense."""

import base64
import json
import os
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl"), os.path.join(HERE, "../tls")]

from certificates import Authority, write  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon, free_port  # noqa: E402
from participant import REPLY_TYPE, HttpParticipant, Said, reply  # noqa: E402

SOON = {"initial_backoff": "10ms", "max_backoff": "10ms"}


def tcc(service, action, **more):
    return {"protocol": "tcc", "service": service, "action": action, "retry": SOON, **more}


class HttpParticipants(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-http-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def participant(self, *arguments, **more):
        made = HttpParticipant(*arguments, **more)
        self.addCleanup(made.down)
        return made

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        write(path, text)
        return path

    def start(self, *arguments, **services):
        unary = [word for name, one in services.items() for word in ("--unary", f"{name}={getattr(one, 'url', one)}")]
        self.daemon = Daemon(*unary, *arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, gid, *branches, until="completed", **more):
        """Its exit code."""
        return self.ctl("submit", "--gid", gid, "--for", until, stdin=json.dumps({"branches": branches, **more})).code

    def accept(self, gid, *branches):
        """It is on its way."""
        self.assertIn(self.submit(gid, *branches, until="accepted"), (0, 11))

    def show(self, gid):
        return self.expect(0, "show", gid, "-o", "json").json

    def errors(self, gid):
        """All that attempts were answered with, in words."""
        return self.expect(0, "show", gid, "-o", "json").out

    def test_commits_and_rolls_back(self):
        bank, hotel = self.participant(), self.participant("/hooks/assent")
        self.start(bank=bank, hotel=hotel)
        bank.answer("debit", "TRY", lambda command: reply(command, result=b"\x00\xffheld"))
        pay = tcc("bank", "debit", id="pay", payload={"cents": 5}, headers={"tenant": "a"})
        book = tcc("hotel", "book", id="room", after=["pay"], receive_results=True)
        self.assertEqual(0, self.submit("order-1", pay, book))
        self.assertEqual([("debit", "TRY"), ("debit", "CONFIRM")], bank.asked)
        self.assertEqual([("book", "TRY"), ("book", "CONFIRM")], hotel.asked)
        first = bank.commands[0]
        self.assertEqual({"cents": 5}, json.loads(base64.b64decode(first["payload"])))
        self.assertEqual({"tenant": "a"}, first["headers"])
        self.assertEqual(("order-1", "pay", "TCC", "bank", 1), tuple(first[name] for name in ("gid", "branchId", "protocol", "service", "attempt")))
        self.assertEqual({"pay": base64.b64encode(b"\x00\xffheld").decode()}, hotel.commands[0]["results"])
        path, headers = hotel.requests[0]
        self.assertEqual(("/hooks/assent", "application/json"), (path, headers["Content-Type"]))
        self.assertNotIn("Assent-Signature", headers)
        # A no, with the code that people expect of one.
        hotel.answer("book", "TRY", lambda command: Said(409, reply(command, "REFUSED", reason="no room"), REPLY_TYPE))
        self.assertEqual(10, self.submit("order-2", pay, book))
        self.assertEqual([("debit", "TRY"), ("debit", "CANCEL")], bank.asked[2:])
        self.assertIn("no room", self.errors("order-2"))
        listed = {s["service"]: s for s in self.expect(0, "participants", "-o", "json").json["participants"]}
        self.assertEqual(bank.url, listed["bank"]["instances"][0]["address"])

    def test_what_is_no_reply_is_asked_again(self):
        """None of these is a no, and none a yes."""
        bank = self.participant()
        self.start(bank=bank)
        answers = {
            "HTTP 404": Said(404, b"no such page", "text/html"),
            "HTTP 409": Said(409, b'{"kind": "REFUSED"}'),
            "HTTP 500": Said(500, b"Traceback", "text/plain"),
            "HTTP 302": Said(302, b"", "text/html", Location="http://127.0.0.1:1/"),
            "HTTP 204": Said(204, b""),
            "without a reply (text/html)": Said(200, b"<p>welcome</p>", "text/html"),
            "no object of JSON": Said(200, b"OK"),
            "more than 1048576 bytes": Said(200, b"x" * (2 << 20)),
            "another gid": Said(200, reply({"gid": "other", "branchId": "1", "operation": "TRY"})),
            "the limit is 262144": lambda command: reply(command, result=b"x" * (256 * 1024 + 1)),
            "finished": None,  # it hangs up: on a kept connection it is asked again at once, within the same try
        }
        order = list(answers.values())
        turns = iter(order)

        def next_of(command):
            try:
                said = next(turns)
            except StopIteration:
                return reply(command, "REFUSED", reason="at last")
            return said(command) if callable(said) else said

        bank.answer("debit", "TRY", next_of)
        branch = tcc("bank", "debit", id="1")
        self.assertEqual(10, self.submit("odd", branch))
        self.assertEqual(len(order) + 1, bank.asked.count(("debit", "TRY")))
        self.assertEqual(0, bank.asked.count(("debit", "CANCEL")))  # who refuses holds nothing
        said = self.errors("odd")
        for words in answers:
            self.assertIn(words, said)
        self.assertEqual(0, self.submit("fine", tcc("bank", "credit")))

    def test_retry_after(self):
        """Of a proxy, and of a participant that says so itself: each is asked again, and not before."""
        bank = self.participant()
        self.start(bank=bank)
        turns = iter([Said(503, b"busy", "text/plain", Retry_After="1"),
                      lambda command: Said(503, reply(command, "RETRY_LATER", reason="not yet"), REPLY_TYPE, Retry_After="1")])
        times = []
        import time

        def next_of(command):
            times.append(time.monotonic())
            said = next(turns, None)
            return said(command) if callable(said) else said or reply(command)

        bank.answer("debit", "TRY", next_of)
        self.assertEqual(0, self.submit("later", tcc("bank", "debit")))
        self.assertEqual(3, len(times))
        self.assertGreaterEqual(times[1] - times[0], 0.99)
        self.assertGreaterEqual(times[2] - times[1], 0.99)

    def test_goes_away_and_comes_back(self):
        bank = self.participant()
        bank.down()
        self.start(bank=bank)
        self.accept("order-1", tcc("bank", "debit"))
        why = lambda: self.show("order-1")["why_not_finished"]  # noqa: E731
        self.until(lambda: "connection refused" in why() and bank.url in why())
        bank.up()
        self.expect(0, "wait", "order-1", "--timeout", "20s")
        # In the middle of a call: unknown, and asked again.
        arrived, go = threading.Event(), threading.Event()

        def held(command):
            arrived.set()
            go.wait(30)
            return reply(command)

        bank.answer("debit", "TRY", held)
        self.accept("order-2", tcc("bank", "debit"))
        self.assertTrue(arrived.wait(20))
        bank.down()
        go.set()
        self.until(lambda: "connection was lost" in self.errors("order-2"))
        bank.answer("debit", "TRY", None)
        bank.up()
        self.expect(0, "wait", "order-2", "--timeout", "20s")
        self.assertIn("event=participant_left", self.daemon.log())

    def test_slow(self):
        """The time is the branch's own; who is slow holds up nobody else of the same service."""
        bank = self.participant()
        self.start(bank=bank)
        go = threading.Event()
        self.addCleanup(go.set)

        def slow(command):
            if command["attempt"] == 1:
                go.wait(60)
            return reply(command)

        bank.answer("slow", "TRY", slow)
        self.accept("slow-1", tcc("bank", "slow", attempt_timeout="500ms"))
        self.assertEqual(0, self.submit("fast-1", tcc("bank", "debit")))
        self.expect(0, "wait", "slow-1", "--timeout", "20s")
        self.assertEqual(2, bank.asked.count(("slow", "TRY")))
        self.assertLessEqual(int(bank.commands[0]["timeoutMs"]), 500)

    def test_signed(self):
        bank = self.participant(secret="the secret of the bank")
        shop = self.participant(secret="the secret of the shop")
        right = self.file("secrets", "# each its own\nbank: the secret of the bank\nshop: the secret of the shop\n")
        self.start("--unary-secrets-file", right, bank=bank, shop=shop)
        self.assertEqual(0, self.submit("order-1", tcc("bank", "debit"), tcc("shop", "sell")))
        self.assertEqual((0, 0), (bank.refused, shop.refused))
        self.assertEqual(0, self.daemon.stop())
        # One that has not the bank's is nobody, and its words do nothing.
        wrong = self.file("wrong", "bank: another secret, as long\nshop: the secret of the shop\n")
        self.start("--unary-secrets-file", wrong, bank=bank, shop=shop)
        asked = len(bank.asked)
        self.accept("order-2", tcc("bank", "debit"))
        self.until(lambda: "HTTP 401: who are you?" in self.errors("order-2"))
        self.assertEqual(asked, len(bank.asked))
        for secret in ("the secret of the shop", "another secret, as long"):
            self.assertNotIn(secret, self.daemon.log() + self.expect(0, "config", "show").out)

    def test_settings_that_are_wrong(self):
        def refused(*arguments):
            import subprocess
            done = subprocess.run([os.path.join(BIN, "assentd"), "--check-config", *arguments], capture_output=True, text=True)
            self.assertNotEqual(0, done.returncode, arguments)
            return done.stderr

        url = "bank=http://127.0.0.1:1/assent"
        self.assertIn("bank", refused("--unary", "bank=http://127.0.0.1/assent"))
        self.assertNotIn("hunter2", refused("--unary", "bank=http://ann:hunter2@127.0.0.1:1/assent"))
        self.assertIn("--tls-participant-ca", refused("--unary", "bank=https://127.0.0.1:1/assent"))
        self.assertIn("no secret of bank", refused("--unary", url, "--unary-secrets-file", self.file("empty", "# none\n")))
        self.assertIn("of mail, which", refused("--unary", url, "--unary-secrets-file", self.file("two", "bank: 0123456789abcdef\nmail: 0123456789abcdef\n")))
        self.assertIn("line 2 has a secret of 4 bytes", refused("--unary", url, "--unary-secrets-file", self.file("short", "\nbank: tiny\n")))
        self.assertIn("line 1 is no", refused("--unary", url, "--unary-secrets-file", self.file("odd", "bank 0123456789abcdef\n")))
        self.assertIn("line 2 has the name bank again",
                      refused("--unary", url, "--unary-secrets-file", self.file("twice", "bank: 0123456789abcdef\nbank: 0123456789abcdef\n")))
        self.assertIn("cannot be read", refused("--unary", url, "--unary-secrets-file", f"{self.folder}/none"))

    def test_mutual_tls(self):
        ours, others = Authority(), Authority("another-ca")
        self.addCleanup(ours.close)
        self.addCleanup(others.close)
        own, of_bank = ours.make("coordinator"), ours.make("bank")
        bank = self.participant(pair=of_bank, client_ca=ours.ca)
        stranger = self.participant(pair=others.make("stranger"))
        elsewhere = self.participant(pair=ours.make("elsewhere", sans="DNS:other.example"))
        self.start("--tls-cert", own.cert, "--tls-key", own.key, "--tls-participant-ca", ours.ca, "--allow-insecure",
                   bank=bank, stranger=stranger, elsewhere=elsewhere)
        plain = self.ctl
        self.ctl = lambda *words, **more: plain("--tls-ca", ours.ca, *words, **more)
        self.assertEqual(0, self.submit("order-1", tcc("bank", "debit")))
        self.assertEqual({"coordinator"}, {value for one in bank.shown for field in one["subject"] for name, value in field if name == "commonName"})
        # Nobody is told anything who is not believed: neither of another CA, nor under another name.
        for service in ("stranger", "elsewhere"):
            self.accept(service, tcc(service, "take", payload={"card": "1"}))
            self.until(lambda: "there is no secure connection" in self.show(service)["why_not_finished"])
        self.assertEqual([], stranger.asked + elsewhere.asked)
        # Without the certificate that it wants, the bank hears nothing either.
        self.assertEqual(0, self.daemon.stop())
        self.start("--tls-participant-ca", ours.ca, bank=bank)
        asked = len(bank.asked)
        self.accept("order-2", tcc("bank", "debit"))
        self.until(lambda: len(self.show("order-2")["branches"][0].get("attempts", [])) > 0 or self.show("order-2")["why_not_finished"])
        self.assertEqual(asked, len(bank.asked))

    def test_a_new_certificate_is_taken_up(self):
        """Connections that were made with the files of before are not used on."""
        ours = Authority()
        self.addCleanup(ours.close)
        own, next_own = ours.make("coordinator-1"), ours.make("coordinator-2")
        bank = self.participant(pair=ours.make("bank"), client_ca=ours.ca)
        self.start("--tls-cert", own.cert, "--tls-key", own.key, "--tls-participant-ca", ours.ca, bank=bank)
        plain = self.ctl
        self.ctl = lambda *words, **more: plain("--tls-ca", ours.ca, *words, **more)
        names = lambda: [value for one in bank.shown for field in one["subject"] for name, value in field if name == "commonName"]  # noqa: E731
        self.assertEqual(0, self.submit("order-1", tcc("bank", "debit")))
        self.assertEqual({"coordinator-1"}, set(names()))
        own.become(next_own)
        self.until(lambda: "event=tls_reloaded setting=tls-participant-ca" in self.daemon.log())
        known = len(bank.shown)
        self.assertEqual(0, self.submit("order-2", tcc("bank", "debit")))
        self.assertEqual({"coordinator-2"}, set(names()[known:]))

    def test_a_stop_in_the_middle(self):
        """What is under way at a stop is nobody's loss: the next start asks again."""
        bank = self.participant()
        self.start("--drain-seconds", "0", bank=bank)
        arrived, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def held(command):
            arrived.set()
            go.wait(60)
            return reply(command)

        bank.answer("debit", "TRY", held)
        self.accept("order-1", tcc("bank", "debit"))
        self.assertTrue(arrived.wait(20))
        self.assertEqual(0, self.daemon.stop())
        bank.answer("debit", "TRY", None)
        self.daemon.start()
        self.expect(0, "wait", "order-1", "--timeout", "20s")


if __name__ == "__main__":
    unittest.main()
