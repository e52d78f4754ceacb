#!/usr/bin/python3
"""examples/http/flask as it stands, under a real assentd: it commits, refuses, is killed and comes back, and knows who calls."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../sdk_python"), os.path.join(HERE, "../ctl")]

import unittest  # noqa: E402

import support  # noqa: E402
from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from participant import HttpParticipant, Said, reply, REPLY_TYPE  # noqa: E402

EXAMPLE = os.path.join(HERE, "../../examples/http/flask/participant.py")
SECRET = "the secret of the bank"
SOON = {"initial_backoff": "10ms", "max_backoff": "100ms"}


class FlaskExample(CtlTest):
    PATIENCE_SECONDS = 60

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-flask-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        shutil.copy(EXAMPLE, self.folder)
        self.port = free_port()
        self.secret_file = self.file("bank.secret", SECRET + "\n")
        self.shop = HttpParticipant()
        self.addCleanup(self.shop.down)
        self.bank = None
        self.start_bank()
        self.addCleanup(lambda: self.kill_bank())

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def start_bank(self):
        self.output = open(os.path.join(self.folder, "output"), "ab")  # noqa: SIM115
        self.bank = subprocess.Popen(["/usr/bin/python3", "-B", "-m", "flask", "--app", "participant", "run", "--port", str(self.port)],
                                     cwd=self.folder, stdout=self.output, stderr=self.output,
                                     env={"PATH": os.environ["PATH"], "PYTHONPATH": support.PACKAGE, "ASSENT_SECRET_FILE": self.secret_file})

    def kill_bank(self):
        self.bank.kill()
        self.bank.wait()
        self.output.close()

    def start(self, secrets):
        self.daemon = Daemon("--unary", f"bank=http://127.0.0.1:{self.port}/assent", "--unary", f"shop={self.shop.url}",
                             "--unary-secrets-file", self.file("secrets", secrets))
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, gid, cents, until="completed"):
        """Sold, and paid for."""
        branches = [{"protocol": "tcc", "service": "bank", "action": "debit", "payload": {"cents": cents}, "retry": SOON},
                    {"protocol": "tcc", "service": "shop", "action": "sell", "retry": SOON}]
        return self.ctl("submit", "--gid", gid, "--for", until, stdin=json.dumps({"branches": branches})).code

    def accept(self, gid, cents):
        """It is on its way."""
        self.assertIn(self.submit(gid, cents, until="accepted"), (0, 11))

    def debits(self):
        with sqlite3.connect(os.path.join(self.folder, "bank.db")) as db:
            return dict(db.execute("SELECT gid, state FROM debit"))

    def test_example(self):
        self.start(f"bank: {SECRET}\nshop: the secret of the shop\n")
        self.assertEqual(0, self.submit("order-1", 500))
        self.assertEqual({"order-1": "paid"}, self.debits())
        self.assertEqual(10, self.submit("order-2", 5000))
        self.assertIn("no account here has so much", self.expect(0, "show", "order-2").out)
        # The shop says no: what the bank held is let go.
        self.shop.answer("sell", "TRY", lambda command: Said(409, reply(command, "REFUSED", reason="sold out"), REPLY_TYPE))
        self.assertEqual(10, self.submit("order-3", 500))
        self.assertEqual({"order-1": "paid"}, self.debits())
        self.shop.answer("sell", "TRY", None)
        # Killed between the two phases, and back.
        import threading
        arrived, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def held(command):
            arrived.set()
            go.wait(60)
            return reply(command)

        self.shop.answer("sell", "TRY", held)
        self.accept("order-4", 500)
        self.assertTrue(arrived.wait(60))
        self.until(lambda: self.debits().get("order-4") == "held")
        self.kill_bank()
        go.set()
        self.until(lambda: "bank" in self.expect(0, "show", "order-4", "-o", "json").json["why_not_finished"])
        self.assertEqual("held", self.debits()["order-4"])
        self.start_bank()
        self.expect(0, "wait", "order-4", "--patient", "--timeout", "60s")
        self.assertEqual({"order-1": "paid", "order-4": "paid"}, self.debits())

    def test_who_has_not_its_secret_does_nothing(self):
        self.start("bank: another secret, as long\nshop: the secret of the shop\n")
        self.accept("order-1", 500)
        self.until(lambda: "HTTP 401" in self.expect(0, "show", "order-1", "-o", "json").out)
        self.assertEqual({}, self.debits())


if __name__ == "__main__":
    unittest.main()
