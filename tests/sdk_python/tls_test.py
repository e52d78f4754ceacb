#!/usr/bin/python3
"""TLS and tokens of the Python SDK: options and environment, both transports, renewed files, and what is said when they are wrong."""

import asyncio
import os
import subprocess
import unittest

import support
from support import Daemon, environment, until

import assent
import assent.aio
from certificates import Authority, write
from daemon import BIN


class TlsTest(unittest.TestCase):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.pair = self.ca.make("shop")
        server = self.ca.make("coordinator")
        self.daemon = Daemon("--tls-cert", server.cert, "--tls-key", server.key, "--tls-client-ca", self.ca.ca)
        self.addCleanup(self.daemon.close)
        self.tls = assent.Tls(self.ca.ca, self.pair.cert, self.pair.key)

    def shop(self):
        service = assent.Service("shop")
        service.saga("ship")(lambda call: "shipped")
        return service

    def order(self):
        return assent.Transaction(deadline=20).saga("shop", "ship")

    def test_sessions_and_calls_by_options_and_by_environment(self):
        with assent.Participant(self.shop(), self.daemon.endpoint, tls=self.tls) as participant:
            participant.wait_connected()
            with assent.Client(self.daemon.endpoint, tls=self.tls) as client:
                self.assertTrue(client.submit(self.order()).committed)
        names = {"ASSENT_ENDPOINT": self.daemon.endpoint, "ASSENT_TLS_CA": self.ca.ca, "ASSENT_TLS_CERT": self.pair.cert,
                 "ASSENT_TLS_KEY": self.pair.key}

        async def go():
            async with assent.aio.Participant(self.shop()) as participant, assent.aio.Client() as client:
                await participant.wait_connected()
                self.assertTrue((await client.submit(self.order())).committed)

        with environment(**names):
            with assent.Participant(self.shop()) as participant, assent.Client() as client:
                participant.wait_connected()
                self.assertTrue(client.submit(self.order()).committed)
            asyncio.run(go())

    def test_whoever_is_not_believed_is_not_reached(self):
        other = Authority("other-ca")
        self.addCleanup(other.close)
        wrong = (assent.Tls(other.ca, self.pair.cert, self.pair.key),  # the coordinator's CA is another
                 assent.Tls(self.ca.ca, self.pair.cert, self.pair.key, "elsewhere.example"))  # its certificate is of another name
        for tls in (*wrong, None):
            with assent.Client(self.daemon.endpoint, tls=tls, retry=assent.Retry(give_up_after=0.5)) as client:
                with self.assertRaises((assent.Unavailable, assent.UnknownOutcome), msg=tls):
                    client.submit(self.order())
        self.assertEqual(b"", self.daemon_list())

    def daemon_list(self):
        return subprocess.run([os.path.join(BIN, "assentctl"), "list", "--all", "-o", "id"], capture_output=True, check=True, env={
            "PATH": os.environ["PATH"], "ASSENT_ENDPOINT": self.daemon.endpoint, "ASSENT_TLS_CA": self.ca.ca, "ASSENT_TLS_CERT": self.pair.cert,
            "ASSENT_TLS_KEY": self.pair.key}).stdout

    def test_files_that_change_count_for_connections_from_then_on(self):
        expired = self.ca.make("old", begins=-20 * 24 * 3600, ends=-24 * 3600)
        mine = self.ca.make("mine")
        good = mine.texts()
        mine.become(expired)
        tls = assent.Tls(self.ca.ca, mine.cert, mine.key)
        participant = assent.Participant(self.shop(), self.daemon.endpoint, tls=tls).start()
        self.addCleanup(participant.stop)
        with assent.Client(self.daemon.endpoint, tls=tls, retry=assent.Retry(give_up_after=0.5)) as client:
            with self.assertRaises((assent.Unavailable, assent.UnknownOutcome)):
                client.submit(self.order())
            self.assertEqual(participant.connected, 0)
            write(mine.key, good[1])
            write(mine.cert, good[0])
            until(lambda: participant.connected)
            self.assertTrue(client.submit(self.order()).committed)

    def test_a_dialled_participant_has_a_certificate_too(self):
        server = self.ca.make("payment")
        with assent.UnaryServer(self.shop(), "127.0.0.1:0", tls=assent.ServerTls(server.cert, server.key, self.ca.ca)) as unary:
            own = self.ca.make("dialler")
            daemon = Daemon("--unary", f"shop=tls:127.0.0.1:{unary.port}", "--tls-participant-ca", self.ca.ca, "--tls-cert", own.cert, "--tls-key",
                            own.key, "--tls-client-ca", self.ca.ca)
            self.addCleanup(daemon.close)
            with assent.Client(daemon.endpoint, tls=self.tls) as client:
                self.assertTrue(client.submit(self.order()).committed)

    def test_settings_that_cannot_be_used_say_so(self):
        cases = (({"tls": assent.Tls("/nonexistent")}, "/nonexistent, cannot be read"),
                 ({"tls": assent.Tls(cert_file=self.pair.cert, key_file=self.pair.key)}, "CAs that are believed"),
                 ({"tls": assent.Tls(self.ca.ca, self.pair.cert)}, "needs its key"),
                 ({"tls": assent.Tls(os.devnull)}, "no certificate in PEM"),
                 ({"token": assent.Token(file="/nonexistent")}, "the token, /nonexistent, cannot be read"),
                 ({"token": assent.Token(file=os.devnull)}, "is empty"),
                 ({"token": assent.Token("two words")}, "one word"),
                 ({"endpoints": "http://127.0.0.1:7400"}, "is a URL"),
                 ({"endpoints": "127.0.0.1"}, "no port"))
        for options, said in cases:
            with self.assertRaisesRegex(assent.ConfigError, said):
                assent.Client(**options)
            with self.assertRaisesRegex(assent.ConfigError, said):
                assent.Participant(self.shop(), **options).start()


class TokenTest(unittest.TestCase):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.rules, self.tokens = self.ca.path("rules"), self.ca.path("tokens")
        write(self.rules, "allow token:shop as participant for shop\nallow token:web as initiator for *\n")
        write(self.tokens, "")
        self.secrets = {name: self.make(name) for name in ("shop", "web")}
        self.daemon = Daemon("--auth-rules", self.rules, "--auth-tokens", self.tokens)
        self.addCleanup(self.daemon.close)

    def make(self, name):
        made = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", name, "--append", self.tokens], capture_output=True, text=True,
                              check=True, env={"PATH": os.environ["PATH"]})
        return made.stdout.split()[-1]

    def shop(self):
        service = assent.Service("shop")
        service.saga("ship")(lambda call: "shipped")
        return service

    def order(self):
        return assent.Transaction(deadline=20).saga("shop", "ship")

    def test_a_token_by_option_by_file_and_by_environment(self):
        path = self.ca.path("web-token")
        write(path, self.secrets["shop"])  # not yet the right one: a participant begins no transactions
        participant = assent.Participant(self.shop(), self.daemon.endpoint, token=assent.Token(self.secrets["shop"])).start()
        self.addCleanup(participant.stop)
        participant.wait_connected()
        with assent.Client(self.daemon.endpoint, token=assent.Token(file=path)) as client:
            with self.assertRaisesRegex(assent.UnknownOutcome, "PERMISSION_DENIED"):
                client.submit(self.order())
            write(path, self.secrets["web"])  # renewed
            self.assertTrue(client.submit(self.order()).committed)
        for names in ({"ASSENT_TOKEN": self.secrets["web"]}, {"ASSENT_TOKEN_FILE": path}):
            with environment(**names), assent.Client(self.daemon.endpoint) as client:
                self.assertTrue(client.submit(self.order()).committed)
        with assent.Client(self.daemon.endpoint) as client:
            with self.assertRaisesRegex(assent.NotAllowed, "UNAUTHENTICATED"):
                client.get("g")

    def test_a_token_is_not_sent_over_a_network_without_tls(self):
        with assent.Client("192.0.2.1:7400", token=assent.Token("secret")) as client:
            with self.assertRaisesRegex(assent.ConfigError, "without TLS") as said:
                client.get("g")
            self.assertNotIn("secret", str(said.exception))
        self.assertNotIn("secret", repr(assent.Token("secret")))
        for endpoint, near in (("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("unix:/tmp/x", True), ("127.0.0.1.example:1", False),
                               ("10.0.0.1:1", False), ("dns:///localhost.example:1", False)):
            self.assertEqual(assent.dial.is_near(endpoint), near, endpoint)


if __name__ == "__main__":
    unittest.main()
