#!/usr/bin/python3
"""Events and spans over TLS: a real assentd, receivers with real certificates, and what is said where they are not what they should be."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(HERE, "..", folder) for folder in ("ctl", "post", "tls"))]

from certificates import DAY, Authority, read, write  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon, free_port  # noqa: E402
from receiver import SECRET, verify_of_the_page  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402
from secure_receiver import Plain, SecureReceiver, Silent, answer  # noqa: E402

TOKEN = "a-token-of-the-collector"


class Https(CtlTest):
    @classmethod
    def setUpClass(cls):
        cls.ca, cls.other = Authority(), Authority("another-ca")
        cls.addClassCleanup(cls.ca.close)
        cls.addClassCleanup(cls.other.close)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-https-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.trusted = self.file("trusted.pem", read(self.ca.ca))
        self.secret = self.file("secret", SECRET + "\n")
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        write(path, text)
        return path

    def receiver(self, pair=None, kind=SecureReceiver, **how):
        receiver = kind(pair, **how) if pair else kind()
        self.addCleanup(receiver.close)
        return receiver

    def webhook(self, port, host="127.0.0.1", scheme="https"):
        return ["--webhook-url", f"{scheme}://{host}:{port}/hooks/assent", "--webhook-secret-file", self.secret]

    def start(self, *flags):
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http, *flags)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def make_hazard(self, gid):
        self.shop.answer("reserve", "CONFIRM", REPLY.REFUSED, reason="not reserved here")
        hour = {"initial_backoff": "1h", "max_backoff": "1h"}
        self.submit(gid, {"protocol": "tcc", "service": "shop", "action": "reserve", "retry": hour})

    def submit(self, gid, *branches):
        made = self.ctl("submit", "--gid", gid, "--for", "accepted", stdin=json.dumps({"branches": branches}))
        self.assertIn(made.code, (0, 10, 11, 12), made)

    def figure(self, name, page="http"):
        with urllib.request.urlopen(f"{page}://{self.http}/metrics", timeout=30) as answered:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answered.read().decode(), re.M)
        return found and float(found[1])

    def gids(self, receiver):
        """Of what was told, each signed as the page says."""
        verify = verify_of_the_page()
        gids = []
        for request in list(receiver.requests):
            head, body = request.split(b"\r\n\r\n", 1)
            self.assertTrue(verify(SECRET.encode(), re.search(rb"Assent-Signature: (\S+)", head)[1].decode(), body))
            gids.append(json.loads(body)["gid"])
        return gids

    def away(self):
        """What the log says of a receiver that is not told."""
        return self.until(lambda: re.search(r'event=webhook_away error="([^"]*)"', self.daemon.log()))[1]

    def test_told_and_signed_over_tls(self):
        receiver = self.receiver(self.ca.make("receiver"))
        self.start(*self.webhook(receiver.port), "--tls-webhook-ca", self.trusted)
        self.make_hazard("order-1")
        self.until(lambda: self.figure('assent_webhook_events_total{result="delivered"}') == 1)
        self.assertEqual(["order-1"], self.gids(receiver))
        left = self.figure('assent_tls_certificate_expiry_timestamp_seconds{certificate="webhook_ca"}')
        self.assertAlmostEqual(30 * DAY, left - time.time(), delta=DAY)
        self.assertNotIn("exposed", self.daemon.log())

    def test_who_is_not_told_and_why(self):
        """And then he is, by other files, without a restart; transactions go on meanwhile."""
        for what, pair, words in (("another CA", self.other.make("receiver"), f"its certificate is signed by CN=another-ca, which is none of the CAs in {self.trusted} (tls-webhook-ca)"),
                                  ("another name", self.ca.make("elsewhere", "DNS:elsewhere.shop"), "its certificate is not for 127.0.0.1, but for elsewhere.shop"),
                                  ("expired", self.ca.make("late", begins=-2 * DAY, ends=-DAY), "its certificate expired at "),
                                  ("to come", self.ca.make("early", begins=DAY), "is the clock of this machine right?")):
            with self.subTest(what):
                receiver = self.receiver(pair)
                self.start(*self.webhook(receiver.port), "--tls-webhook-ca", self.trusted)
                self.make_hazard("order-1")
                self.assertIn(words, self.away())
                self.until(lambda: self.figure("assent_webhook_failed_tries_total") >= 2)
                self.assertEqual(1, self.daemon.log().count("event=webhook_away"))
                self.expect(0, "submit", "--gid", "order-2", stdin=json.dumps({"branches": [{"protocol": "tcc", "service": "shop", "action": "create"}]}))
                self.assertEqual([], receiver.requests)
                receiver.renew(self.ca.make("renewed"))
                self.until(lambda: "event=webhook_back" in self.daemon.log())
                self.assertEqual(["order-1"], self.gids(receiver))
                self.daemon.close()

    def test_no_tls_there(self):
        for kind, words in ((Plain, "there is no TLS at that address"), (Silent, "the handshake does not come to its end")):
            with self.subTest(kind.__name__):
                self.start(*self.webhook(self.receiver(kind=kind).port), "--tls-webhook-ca", self.trusted)
                self.make_hazard("order-1")
                self.expect(0, "submit", "--gid", "order-2", stdin=json.dumps({"branches": [{"protocol": "tcc", "service": "shop", "action": "create"}]}))
                self.assertIn(words, self.away())
                self.daemon.close()

    def test_other_files_while_it_runs(self):
        """What is wrong changes nothing and is said; a signal is not needed for what is right."""
        receiver = self.receiver(self.ca.make("receiver"))
        self.start(*self.webhook(receiver.port), "--tls-webhook-ca", self.trusted)
        write(self.trusted, "no certificate")
        self.until(lambda: f"event=tls_reload_failed error=\"tls-webhook-ca {self.trusted}: there is no certificate in it" in self.daemon.log())
        self.make_hazard("order-1")
        self.until(lambda: self.gids(receiver) == ["order-1"])
        receiver.renew(self.other.make("renewed"))
        self.make_hazard("order-2")
        self.assertIn("CN=another-ca", self.away())
        write(self.trusted, read(self.ca.ca) + read(self.other.ca))
        self.until(lambda: "event=tls_reloaded setting=tls-webhook-ca expires_in_hours=" in self.daemon.log())
        self.until(lambda: self.gids(receiver) == ["order-1", "order-2"])
        # On SIGHUP it is said again what is wrong, also if it has not changed.
        write(self.trusted, "no certificate")
        failures = self.until(lambda: (count := self.daemon.log().count("event=tls_reload_failed")) > 1 and count)
        self.daemon.signal(1)
        self.until(lambda: self.daemon.log().count("event=tls_reload_failed") > failures)
        records = [json.loads(line) for line in self.expect(0, "audit", "export").out.splitlines()]
        self.assertTrue(any("certificates" in json.dumps(one) for one in records), records)

    def test_a_receiver_that_asks_who_comes(self):
        own, server = self.ca.make("coordinator"), self.ca.make("receiver")
        receiver = self.receiver(server, client_ca=self.ca.ca)
        tls = ["--tls-cert", own.cert, "--tls-key", own.key, "--http-tls=false"]
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http, *tls, *self.webhook(receiver.port), "--tls-webhook-ca", self.trusted)
        self.addCleanup(self.daemon.close)
        plain = Ctl(self.daemon.endpoint)
        self.ctl = lambda *words, **more: plain("--tls-ca", self.ca.ca, *words, **more)
        self.make_hazard("order-1")
        self.until(lambda: self.gids(receiver) == ["order-1"])
        self.assertIn((("commonName", "coordinator"),), receiver.shown[0]["subject"])
        self.daemon.close()
        # Without one the log says what is missing.
        receiver = self.receiver(server, client_ca=self.ca.ca)
        self.start(*self.webhook(receiver.port), "--tls-webhook-ca", self.trusted)
        self.make_hazard("order-2")
        self.assertRegex(self.away(), "a certificate of this coordinator.*--tls-cert is shown if --tls-webhook-ca is given")

    def test_spans(self):
        collector = self.receiver(self.ca.make("collector"), answers=[answer(200, "Content-Type: application/x-protobuf\r\n")] * 9)
        headers = self.file("headers", f"Authorization: Bearer {TOKEN}\n")
        self.start("--trace-endpoint", f"https://localhost:{collector.port}", "--tls-trace-ca", self.trusted, "--trace-headers-file", headers)
        self.submit("order-1", {"protocol": "tcc", "service": "shop", "action": "create"})
        self.until(lambda: self.figure("assent_trace_spans_exported_total") >= 3)
        self.assertTrue(collector.requests[0].startswith(b"POST /v1/traces HTTP/1.1\r\n"))
        self.assertIn(f"Authorization: Bearer {TOKEN}\r\n".encode(), collector.requests[0])
        self.assertEqual("localhost", collector.names[0])
        # Of another CA it is shown neither spans nor the token.
        self.assertIsNotNone(self.figure('assent_tls_certificate_expiry_timestamp_seconds{certificate="trace_ca"}'))
        stranger = self.receiver(self.other.make("collector"))
        self.start("--trace-endpoint", f"https://localhost:{stranger.port}", "--tls-trace-ca", self.trusted, "--trace-headers-file", headers)
        self.submit("order-1", {"protocol": "tcc", "service": "shop", "action": "create"})
        said = self.until(lambda: re.search(r'event=tracing_away error="([^"]*)"', self.daemon.log()))[1]
        self.assertIn(f"none of the CAs in {self.trusted} (tls-trace-ca)", said)
        self.assertEqual([], stranger.requests)

    def test_a_network_in_the_clear_is_said(self):
        headers = self.file("headers", f"Authorization: Bearer {TOKEN}\n")
        for host, exposed in (("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("192.0.2.1", True), ("127.shop.example", True)):
            with self.subTest(host):
                self.start(*self.webhook(9, host, "http"), "--trace-endpoint", f"http://{host}:9", "--trace-headers-file", headers)
                log = self.daemon.log()
                self.assertEqual(exposed, f"event=webhook_exposed url=http://{host}:9/hooks/assent hint=" in log, log)
                self.assertEqual(exposed, f"event=tracing_exposed url=http://{host}:9 hint=\"whoever is on the way can read the spans, and the headers of" in log, log)
                self.daemon.close()
        self.start(*self.webhook(9, "192.0.2.1"), "--tls-webhook-ca", self.trusted)
        self.assertNotIn("exposed", self.daemon.log())

    def test_settings(self):
        def check(*flags, env=None):
            return subprocess.run([os.path.join(BIN, "assentd"), "--check-config", *flags], capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})

        secure = self.webhook(443, "hooks.shop")
        self.assertEqual(0, check(*secure, "--tls-webhook-ca", self.trusted).returncode)
        self.assertEqual(0, check("--webhook-url", "https://hooks.shop/x", "--webhook-secret-file", self.secret, "--tls-webhook-ca", self.trusted).returncode)
        late = self.ca.make("late", begins=-2 * DAY, ends=-DAY)
        for flags, words in (([*secure, "--tls-webhook-ca", "/nope"], "tls-webhook-ca /nope: cannot be read"),
                             ([*secure, "--tls-webhook-ca", late.cert], "the certificate expired at"),
                             ([*self.webhook(9, scheme="http"), "--tls-webhook-ca", self.trusted], "tls-webhook-ca is of use with an https:// address in webhook-url alone"),
                             (["--tls-trace-ca", self.trusted], "tls-trace-ca is of use with an https:// address in trace-endpoint alone"),
                             (["--trace-endpoint", "https://a:4318", "--tls-trace-ca", self.secret], "there is no certificate in it")):
            with self.subTest(words):
                ended = check(*flags)
                self.assertEqual((2, ""), (ended.returncode, ended.stdout))
                self.assertIn(words, ended.stderr)
        nobody = check(*secure, env={"SSL_CERT_FILE": "/nonexistent/a", "SSL_CERT_DIR": "/nonexistent/b"})
        self.assertEqual(2, nobody.returncode)
        self.assertIn("tls-webhook-ca is not given, and this system trusts nobody", nobody.stderr)


if __name__ == "__main__":
    unittest.main()
