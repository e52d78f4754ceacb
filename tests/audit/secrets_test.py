#!/usr/bin/python3
"""What is secret, each with a mark of its own, goes through a real assentd in every way that there is; and is looked for in the record, its
export, a bundle, the log, the settings and the metrics, where it must not be."""

import json
import os
import sys
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", folder) for folder in ("ctl", "post", "tls")]

from certificates import Authority, write  # noqa: E402
from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402
from secure_receiver import SecureReceiver, answer  # noqa: E402

PAYLOAD, HEADER, LABEL = "xyzzy-payload", "xyzzy-header", "xyzzy-label"
WEBHOOK_SECRET, COLLECTOR_TOKEN = "xyzzy-of-the-webhook", "xyzzy-of-the-collector"
NO_TOKEN, NO_JWT = "assent_ann_" + "7e" * 32, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4eXp6eSJ9.xyzzy"


class Secrets(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-marked-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        write(path, text)
        return path

    def start(self):
        """With rules, a receiver and a collector that say no and repeat what they were told."""
        own = self.ca.make("coordinator")
        with open(own.key, encoding="utf-8") as key:
            self.key = key.read().split("\n")[1]
        rules = self.file("rules", "allow token:ann as admin with payloads\nallow token:ann as initiator for *\nallow token:ben as viewer\n")
        tokens = os.path.join(self.folder, "tokens")
        self.secrets = {}
        for name in ("ann", "ben"):
            made = Ctl("127.0.0.1:1")("auth", "token", name, "--append", tokens)
            self.assertEqual(0, made.code, made)
            self.secrets[name] = made.out.strip()
            self.file(name, self.secrets[name])
        self.receiver = SecureReceiver(own, answers=[answer(500, body=f"no {WEBHOOK_SECRET}")] * 99)
        self.addCleanup(self.receiver.close)
        said = f"no Authorization: Bearer {COLLECTOR_TOKEN}"
        self.collector = SecureReceiver(own, answers=[answer(400, "Content-Type: text/plain\r\n", said)] * 99)
        self.addCleanup(self.collector.close)
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http, "--log-level", "debug", "--auth-rules", rules, "--auth-tokens", tokens,
                             "--tls-cert", own.cert, "--tls-key", own.key, "--http-tls=false",
                             "--webhook-url", f"https://127.0.0.1:{self.receiver.port}/x", "--webhook-secret-file", self.file("secret", WEBHOOK_SECRET),
                             "--tls-webhook-ca", self.ca.ca, "--trace-endpoint", f"https://127.0.0.1:{self.collector.port}", "--tls-trace-ca", self.ca.ca,
                             "--trace-headers-file", self.file("headers", f"Authorization: Bearer {COLLECTOR_TOKEN}\n"))
        self.addCleanup(self.daemon.close)
        plain = Ctl(self.daemon.endpoint)
        self.as_whom = lambda who: lambda *words, **more: plain("--tls-ca", self.ca.ca, "--token-file", os.path.join(self.folder, who), *words, **more)
        self.ctl = self.as_whom("ann")

    def ask(self, method, path, token="", body=None, headers=()):
        request = urllib.request.Request(f"http://{self.http}{path}", None if body is None else json.dumps(body).encode(), method=method)
        for name, value in (("Authorization", token and f"Bearer {token}"), ("Content-Type", "application/json"), *headers):
            if value:
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answered:
                return answered.status, dict(answered.headers), answered.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode()

    def use_all(self):
        """What each secret is for, and each wrong use."""
        self.shop.answer("reserve", "CONFIRM", REPLY.REFUSED, reason="not reserved here")
        branch = {"protocol": "tcc", "service": "shop", "action": "reserve", "payload": {"card": PAYLOAD}, "headers": {"x-card": HEADER},
                  "retry": {"initial_backoff": "1h", "max_backoff": "1h"}}
        made = self.ctl("submit", "--gid", "order-1", "--for", "accepted", stdin=json.dumps({"labels": {"card": LABEL}, "branches": [branch]}))
        self.assertIn(made.code, (0, 12), made)
        self.until(lambda: "event=webhook_away" in self.daemon.log() and "event=tracing_rejected" in self.daemon.log())
        self.expect(0, "resolve", "order-1", "1", "abort", "--yes", "--reason", "counted")
        self.assertNotEqual(0, self.as_whom("ben")("abort", "order-1", "--yes", "--reason", "may not").code)
        for wrong in (NO_TOKEN, NO_JWT):
            self.file("wrong", wrong)
            self.assertNotEqual(0, self.as_whom("wrong")("stats").code)
            self.assertEqual(401, self.ask("GET", "/v1/server", wrong)[0])
            self.assertEqual(401, self.ask("POST", "/v1/login", "", {"token": wrong})[0])
        code, headers, said = self.ask("POST", "/v1/login", "", {"token": self.secrets["ann"]}, [("Sec-Fetch-Site", "same-origin")])
        self.assertEqual(200, code, said)
        self.cookie = headers["Set-Cookie"].split(";")[0]
        self.csrf = json.loads(said)["csrf"]
        self.assertEqual(200, self.ask("GET", "/v1/server", "", None, [("Cookie", self.cookie)])[0])
        self.assertEqual(403, self.ask("POST", "/v1/transactions/order-1:retry", "", {"action": {"who": "x", "reason": "y"}}, [("Cookie", self.cookie)])[0])
        self.daemon.signal(1)
        self.until(lambda: "event=auth_reloaded" in self.daemon.log())

    def test_marked_secrets_are_nowhere(self):
        self.start()
        self.use_all()
        bundle = os.path.join(self.folder, "bundle.tar")
        self.expect(0, "debug-bundle", bundle)
        with tarfile.open(bundle) as tar:
            places = {f"bundle: {member.name}": tar.extractfile(member).read().decode(errors="replace") for member in tar}
        places["record"] = self.expect(0, "audit", "--all-pages", "-o", "jsonl").out
        places["export"] = self.expect(0, "audit", "export").out
        places["settings"] = self.expect(0, "config", "show").out
        places["metrics"] = self.ask("GET", "/metrics", self.secrets["ann"])[2]
        self.assertIn("assent_webhook_failed_tries_total", places["metrics"])
        self.daemon.stop()
        with open(os.path.join(os.path.dirname(self.daemon.data), "assentd.log"), encoding="utf-8") as file:
            places["log"] = file.read()
        files = {}
        for name in os.listdir(self.daemon.data):
            with open(os.path.join(self.daemon.data, name), "rb") as file:
                files[name] = file.read()
        places["audit.db"] = "".join(files[name].decode("latin-1") for name in files if name.startswith("audit.db"))
        # It is looked for with eyes that see: each place has what belongs there, and the payload is where it has to be.
        for place, words in (("record", "counted"), ("export", "token:ben"), ("audit.db", "counted"), ("log", "event=tracing_rejected"), ("settings", "webhook-secret-file")):
            self.assertIn(words, places[place], place)
        self.assertTrue(any(PAYLOAD.encode() in text for text in files.values()))
        secrets = {"payload": PAYLOAD, "header": HEADER, "webhook": WEBHOOK_SECRET, "collector": COLLECTOR_TOKEN, "ann": self.secrets["ann"], "ben": self.secrets["ben"],
                   "no token": NO_TOKEN, "no jwt": NO_JWT, "part of one": NO_JWT.split(".")[1], "cookie": self.cookie.split("=")[1], "csrf": self.csrf, "key": self.key}
        found = [(what, place) for place, text in places.items() for what, secret in secrets.items() if secret in text]
        self.assertEqual([], found)


if __name__ == "__main__":
    unittest.main()
