#!/usr/bin/python3
"""What a service of the Python SDK says of its connection: that it has one, why it has none, once for each change; and what a call says."""

import asyncio
import os
import subprocess
import sys
import tempfile
import unittest

import support
from support import Daemon, free_port, until

import assent
import assent.aio
from assent.why import why_failed
from certificates import Authority, write
from daemon import BIN

NOT_SIGNED = "the certificate there is not signed by the CA that was given, or not valid now"
ANOTHER_NAME = "the certificate there is not one for the name that was dialled"
NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?"
CLOSED = "the connection is closed as soon as it is made; does it want a certificate, and not the one, if any, that this side shows?"
PROGRAM = """
import assent, logging, sys
service = assent.Service("shop")
service.saga("ship")(lambda call: None)
if len(sys.argv) > 1:
    logging.basicConfig(level=getattr(logging, sys.argv[1]))
assent.Participant(service).run()
"""


def shop():
    service = assent.Service("shop")
    service.saga("ship")(lambda call: "shipped")
    return service


class WordsTest(unittest.TestCase):
    def test_what_grpc_says(self):
        failed = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
        for details, secure, said in (
                (failed + "Failed to connect to remote host: Connection refused", False, "connection refused; is assentd running there?"),
                (failed + "connection attempt timed out", False, "connection attempt timed out; is assentd running there?"),
                (failed + "Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::wrong version number", True, "there is no TLS at that address"),
                (failed + "Ssl handshake failed: SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED", True, NOT_SIGNED),
                (failed + "Peer name a.example is not in peer certificate", True, ANOTHER_NAME),
                (failed + "Hostname Verification Check failed.", True, ANOTHER_NAME),
                (failed + "Trying to connect an http1.x server", False, NO_GRPC),
                (failed + "Socket closed", False, NO_GRPC), (failed + "recvmsg:Connection reset by peer", True, CLOSED),
                ("DNS resolution failed for a.example:1: C-ares status is not ARES_SUCCESS: Domain name not found", False, "there is no host of that name"),
                # A coordinator's own words, whatever they are.
                ("the coordinator is stopping: Socket closed", False, "the coordinator is stopping: Socket closed"),
                ("two\nlines", False, "two?lines")):
            self.assertEqual(why_failed("UNAVAILABLE", details, secure), f"UNAVAILABLE: {said}")
        self.assertEqual(why_failed("PERMISSION_DENIED", failed, True), f"PERMISSION_DENIED: {failed}")

    def test_states_have_names(self):
        report = assent.Report("g", assent.State.COMMITTING, assent.Outcome.COMMITTED)
        self.assertEqual(f"{report.state} {report.outcome}", "COMMITTING COMMITTED")


class WhyTest(unittest.TestCase):
    def reasons(self, endpoint, reason, call_says=None, **options):
        """Of both kinds of participant one line, however often they dial; of both kinds of client the same in the exception."""
        lines = []
        participant = assent.Participant(shop(), endpoint, log=lines.append, initial_backoff=0.001, max_backoff=0.001, **options)
        attempts = []
        make = participant.start()._shared.hello
        participant._shared.hello = lambda endpoint: attempts.append(endpoint) or make(endpoint)
        until(lambda: len(attempts) >= 3)
        participant.stop()
        line = f'not connected endpoint={endpoint} reason="{reason}"'
        self.assertEqual(lines, [line])

        async def go():
            heard = []
            async with assent.aio.Participant(shop(), endpoint, log=heard.append, **options):
                while not heard:
                    await asyncio.sleep(0.01)
            async with assent.aio.Client(endpoint, retry=assent.Retry(give_up_after=0.1), **options) as client:
                with self.assertRaises(assent.Error) as failed:
                    await client.get("g")
            return heard[0], str(failed.exception)

        with assent.Client(endpoint, retry=assent.Retry(give_up_after=0.1), **options) as client:
            with self.assertRaises(assent.Error) as failed:
                client.get("g")
        heard, said = asyncio.run(go())
        self.assertEqual(heard, line)
        for text in (said, str(failed.exception)):
            self.assertIn(call_says or reason.partition(": ")[2], text)

    def test_nobody_listens(self):
        self.reasons(f"127.0.0.1:{free_port()}", "UNAVAILABLE: connection refused; is assentd running there?")

    def test_tls(self):
        ca, other = Authority(), Authority("other-ca")
        self.addCleanup(ca.close)
        self.addCleanup(other.close)
        own, mine = ca.make("coordinator"), ca.make("shop")
        daemon = Daemon("--tls-cert", own.cert, "--tls-key", own.key, "--tls-client-ca", ca.ca)
        self.addCleanup(daemon.close)
        for reason, tls in ((NOT_SIGNED, assent.Tls(other.ca, mine.cert, mine.key)),
                            (ANOTHER_NAME, assent.Tls(ca.ca, mine.cert, mine.key, "elsewhere.example")),
                            (CLOSED, assent.Tls(ca.ca)), (NO_GRPC, None)):
            with self.subTest(reason):
                self.reasons(daemon.endpoint, "UNAVAILABLE: " + reason, tls=tls)
        plain = Daemon()
        self.addCleanup(plain.close)
        self.reasons(plain.endpoint, "UNAVAILABLE: there is no TLS at that address", tls=assent.Tls(ca.ca))

    def test_tokens_and_roles(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-python-test-")
        self.addCleanup(folder.cleanup)
        rules, tokens = (os.path.join(folder.name, name) for name in ("rules", "tokens"))
        write(rules, "allow token:shop as participant for other\n")
        write(tokens, "")
        made = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", "shop", "--append", tokens], capture_output=True, text=True, check=True)
        secret = made.stdout.split()[-1]
        # Dials as often as it likes: beyond 20 wrong tokens of an address in a minute it would be told something else.
        daemon = Daemon("--auth-rules", rules, "--auth-tokens", tokens, "--max-auth-failures-per-address", "0")
        self.addCleanup(daemon.close)
        for token, code in ((None, "UNAUTHENTICATED"), (assent.Token("nobodys"), "UNAUTHENTICATED"), (assent.Token(secret), "PERMISSION_DENIED")):
            lines = []
            participant = assent.Participant(shop(), daemon.endpoint, log=lines.append, token=token, max_backoff=0.05).start()
            self.addCleanup(participant.stop)
            until(lambda lines=lines: lines)
            self.assertRegex(lines[0], f'^not connected endpoint={daemon.endpoint} reason="{code}: [^\n]+"$')
            with self.assertRaisesRegex(assent.DeadlineExceeded, code):
                participant.wait_connected(0.5)
            self.assertEqual(len(lines), 1, lines)
            self.assertNotIn(secret, lines[0])

    def test_it_is_told_by_default_and_again_when_it_changes(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        for words, heard in (((), "not connected"), (("INFO",), "INFO:assent:connected session="), (("CRITICAL",), "")):
            with tempfile.TemporaryFile("w+") as output:
                service = subprocess.Popen([sys.executable, "-B", "-c", PROGRAM, *words], stderr=output, env={
                    "PATH": os.environ["PATH"], "PYTHONPATH": support.PACKAGE, "ASSENT_ENDPOINT": daemon.endpoint})
                try:
                    with assent.Client(daemon.endpoint) as client:
                        self.assertTrue(client.submit(assent.Transaction(deadline=20).saga("shop", "ship")).committed)  # it is connected
                        daemon.kill()

                        def text(output=output):
                            output.seek(0)
                            return output.read()

                        until(lambda heard=heard: heard in text() and ("connection refused" in text()) == (words != ("CRITICAL",)), text)
                        daemon.start()
                        self.assertTrue(client.submit(assent.Transaction(deadline=20).saga("shop", "ship")).committed)
                finally:
                    service.terminate()
                    service.wait()
                said = [line.partition("connected ")[0] + "connected" for line in text().splitlines()]
                prefix = "WARNING:assent:" if words else ""
                trouble = [prefix + "disconnected", prefix + "not connected"]
                connected = "INFO:assent:connected"
                self.assertEqual(said, {(): trouble, ("INFO",): [connected, *trouble, connected], ("CRITICAL",): []}[words], text())


if __name__ == "__main__":
    unittest.main()
