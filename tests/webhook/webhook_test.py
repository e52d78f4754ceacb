#!/usr/bin/python3
"""A person is told: a real assentd, a participant that refuses, and a receiver that is down, slow, wrong, or hangs."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(ROOT, "tests/ctl"))

from daemon import BIN, Ctl, CtlTest, Daemon, free_port  # noqa: E402
from receiver import SECRET, Receiver, verify_of_the_page  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402

class Webhook(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-webhook-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.secret_file = f"{self.folder}/secret"
        with open(self.secret_file, "w", encoding="utf-8") as file:
            file.write(SECRET + "\n")
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)
        self.verify = verify_of_the_page()

    def start(self, port):
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http,
                             "--webhook-url", f"http://127.0.0.1:{port}/hooks/assent", "--webhook-secret-file", self.secret_file)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def receiver(self, port=0):
        receiver = Receiver(port)
        self.addCleanup(receiver.close)
        return receiver

    def submit(self, gid, *branches):
        """Accepted; the exit code says how far it has come by then."""
        made = self.ctl("submit", "--gid", gid, "--for", "accepted", stdin=json.dumps({"branches": branches}))
        self.assertIn(made.code, (0, 10, 11, 12), made)

    def make_hazard(self, gid):
        """Its CONFIRM is refused: a promise that is not kept. Asked again in an hour."""
        self.shop.answer("reserve", "CONFIRM", REPLY.REFUSED, reason="not reserved here")
        hour = {"initial_backoff": "1h", "max_backoff": "1h"}
        self.submit(gid, {"protocol": "tcc", "service": "shop", "action": "reserve", "payload": {"card": "secret-payload"}, "retry": hour})

    def told(self, receiver, count):
        """Those that were taken; each is what the signature says, or the test fails."""
        taken = self.until(lambda: (all_of := [e for e in list(receiver.events) if e[3] < 300]) and len(all_of) >= count and all_of)
        for path, headers, body, _ in receiver.events:
            self.assertEqual("/hooks/assent", path)
            self.assertEqual("application/json", headers["Content-Type"])
            self.assertTrue(self.verify(SECRET.encode(), headers["Assent-Signature"], body))
            self.assertFalse(self.verify(b"another secret, as long", headers["Assent-Signature"], body))
            self.assertFalse(self.verify(SECRET.encode(), headers["Assent-Signature"], body + b" "))
            self.assertFalse(self.verify(SECRET.encode(), re.sub(r"t=\d+", "t=1", headers["Assent-Signature"]), body))
            self.assertEqual(json.loads(body)["id"], headers["Assent-Event"])
            self.assertNotIn(b"secret", body)
        return [json.loads(body) for _, _, body, _ in taken]

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30) as page:
            return float(re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.M)[1])

    def test_hazard_and_mixed(self):
        receiver = self.receiver()
        self.start(receiver.port)
        self.make_hazard("order-1")
        event, = self.told(receiver, 1)
        self.assertEqual("hazard", event["kind"])
        self.assertEqual("order-1", event["gid"])
        self.assertEqual([{"id": "1", "service": "shop", "action": "reserve"}], event["branches"])
        self.assertIn("not reserved here", event["why"])
        self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(f"http://{self.http}/#/transactions/order-1", event["console"])
        self.assertTrue(event["coordinator"].isdigit())
        self.assertNotIn("node", event)
        self.expect(0, "resolve", "order-1", "1", "abort", "--yes", "--reason", "counted")
        _, ended = self.told(receiver, 2)
        self.assertEqual(("ended_mixed", "order-1", event["branches"]), (ended["kind"], ended["gid"], ended["branches"]))
        self.assertIn("MIXED", ended["why"])
        self.assertEqual(2, self.metric('assent_webhook_events_total{result="delivered"}'))
        # Nothing else is news: neither what ends well, nor what is refused before its decision.
        self.submit("order-2", {"protocol": "tcc", "service": "shop", "action": "create"})
        self.shop.answer("reserve", "TRY", REPLY.REFUSED, reason="sold out")
        self.submit("order-3", {"protocol": "tcc", "service": "shop", "action": "reserve"})
        self.until(lambda: all(self.expect(0, "show", gid, "-o", "json").json.get("outcome") for gid in ("order-2", "order-3")))
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual(2, len(receiver.events))

    def test_stuck_is_told_once(self):
        """A step that cannot be undone: stuck, no HAZARD. Its further tries are no news."""
        receiver = self.receiver()
        self.start(receiver.port)
        self.shop.answer("book", "COMPENSATE", REPLY.REFUSED, reason="the ledger is closed")
        self.shop.answer("pay", "ACTION", REPLY.REFUSED, reason="no money")
        soon = {"initial_backoff": "10ms", "max_backoff": "10ms"}
        self.submit("trip-1", {"protocol": "saga", "service": "shop", "action": "book", "id": "book", "retry": soon},
                    {"protocol": "saga", "service": "shop", "action": "pay", "after": ["book"]})
        event, = self.told(receiver, 1)
        self.assertEqual(("stuck", "trip-1", "book"), (event["kind"], event["gid"], event["branches"][0]["id"]))
        self.assertIn("the ledger is closed", event["why"])
        tries = self.shop.asked.count(("book", "COMPENSATE"))
        self.until(lambda: self.shop.asked.count(("book", "COMPENSATE")) > tries + 3)
        self.assertEqual(1, len(receiver.events))

    def test_down_and_back(self):
        port = free_port()
        self.start(port)
        self.make_hazard("order-1")
        self.until(lambda: self.metric("assent_webhook_failed_tries_total") >= 2)
        self.assertEqual(1, self.metric("assent_webhook_queued_events"))
        self.assertEqual(1, self.daemon.log().count("event=webhook_away"))
        receiver = self.receiver(port)
        self.assertEqual("hazard", self.told(receiver, 1)[0]["kind"])
        self.until(lambda: "event=webhook_back" in self.daemon.log())

    def test_an_answer_that_is_no_yes(self):
        """Tried again, signed again, and the same event."""
        receiver = self.receiver()
        receiver.answers = [500, 302]
        self.start(receiver.port)
        self.make_hazard("order-1")
        self.told(receiver, 1)
        self.assertEqual([500, 302, 204], [code for _, _, _, code in receiver.events])
        self.assertEqual(1, len({body for _, _, body, _ in receiver.events}))
        self.assertIn("it answers 500", self.daemon.log())

    def test_slow(self):
        """Transactions go on while an answer is out, and it counts when it comes."""
        receiver = self.receiver()
        receiver.held = threading.Event()
        self.start(receiver.port)
        self.make_hazard("order-1")
        self.until(lambda: receiver.events)
        self.expect(0, "submit", "--gid", "order-2", stdin=json.dumps({"branches": [{"protocol": "tcc", "service": "shop", "action": "create"}]}))
        self.assertEqual(0, self.metric('assent_webhook_events_total{result="delivered"}'))
        receiver.held.set()
        self.until(lambda: self.metric('assent_webhook_events_total{result="delivered"}') == 1)

    def test_told_again_after_a_start(self):
        """What still needs a person, as the same event; also if it was killed, and stopped in order while the receiver hangs."""
        receiver = self.receiver()
        self.start(receiver.port)
        self.make_hazard("order-1")
        first, = self.told(receiver, 1)
        self.daemon.kill()
        self.daemon.start()
        _, second = self.told(receiver, 2)
        self.assertEqual((first["id"], first["gid"], first["kind"]), (second["id"], second["gid"], second["kind"]))
        receiver.held = threading.Event()
        self.make_hazard("order-2")
        self.until(lambda: len(receiver.events) == 3)
        self.assertEqual(0, self.daemon.stop())
        with open(os.path.join(os.path.dirname(self.daemon.data), "assentd.log"), encoding="utf-8") as file:
            said = file.read()
        self.assertIn("event=webhook_left events=1 ", said)
        self.assertIn("event=stopped", said)
        self.assertNotIn("phase=stopping", said)
        self.assertNotIn(SECRET, said)

    def test_the_last_words_of_a_stop(self):
        """What waits because the receiver was away is tried once more before the end."""
        port = free_port()
        self.start(port)
        self.make_hazard("order-1")
        self.until(lambda: self.metric("assent_webhook_failed_tries_total") >= 3)  # the next is seconds away
        receiver = self.receiver(port)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual("hazard", self.told(receiver, 1)[0]["kind"])

    def test_held(self):
        """What a restored log has undecided waits for a person, who is told."""
        self.start(self.receiver().port)
        held = self.shop.hold("reserve", "PREPARE")
        self.submit("order-1", {"protocol": "2pc", "service": "shop", "action": "reserve"}, {"protocol": "2pc", "service": "shop", "action": "pay"})
        self.assertTrue(held.arrived.wait(20))
        self.expect(0, "backup", f"{self.folder}/backup")
        self.daemon.kill()
        held.set()
        self.expect(12, "restore", f"{self.folder}/backup", "--data", f"{self.folder}/restored")
        receiver = self.receiver()
        self.start(receiver.port)
        self.daemon.stop()
        self.daemon.data = f"{self.folder}/restored"
        self.daemon.start()
        event, = self.told(receiver, 1)
        self.assertEqual(("held", "order-1"), (event["kind"], event["gid"]))

    def test_the_secret_stays_where_it_is(self):
        receiver = self.receiver()
        self.start(receiver.port)
        shown = self.expect(0, "config", "show").out
        self.assertIn(self.secret_file, shown)
        self.assertNotIn(SECRET, shown)
        self.expect(0, "debug-bundle", f"{self.folder}/bundle.tar")
        with tarfile.open(f"{self.folder}/bundle.tar") as tar:
            for member in tar:
                self.assertNotIn(SECRET.encode(), tar.extractfile(member).read())

    def test_settings_that_make_no_sense(self):
        short = f"{self.folder}/short"
        with open(short, "w", encoding="utf-8") as file:
            file.write("too short\n")
        good = "http://127.0.0.1:1/"
        for flags, said in (
                (["--webhook-url", good], "of use together"),
                (["--webhook-secret-file", self.secret_file], "of use together"),
                (["--webhook-url", good, "--webhook-secret-file", short], "a secret has 16 to 4096 bytes"),
                (["--webhook-url", good, "--webhook-secret-file", short + "er"], "it cannot be read"),
                *((["--webhook-url", url, "--webhook-secret-file", self.secret_file], "it takes http://HOST:PORT/PATH")
                  for url in ("ftp://a:1/", "http://a/", "http://u:hush@a:1/", "http://a:1/?token=hush", "http://a:1/x y"))):
            ended = subprocess.run([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", "none", "--data",
                                    f"{self.folder}/data", *flags], capture_output=True, text=True, timeout=60)
            self.assertEqual(2, ended.returncode, f"{flags}: {ended}")
            self.assertIn(said, ended.stderr)
            self.assertNotIn("hush", ended.stderr)


if __name__ == "__main__":
    unittest.main()
