#!/usr/bin/python3
"""What is posted over TLS, to receivers that are well, not who they should be, or no receivers at all; with real certificates."""

import json
import os
import socket
import ssl
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tls")]

from certificates import DAY, Authority, read, write  # noqa: E402
from secure_receiver import Alarmed, Cutting, Dripping, Leaving, Plain, SecureReceiver, Silent, answer  # noqa: E402

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(HERE, "../../build/release/bin"))
OURS = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"}
HANDSHAKE_MS = 5000


class Sender:
    """post_lines, told line by line."""

    def __init__(self, url, *flags, env=None):
        self._process = subprocess.Popen([os.path.join(BIN, "post_lines"), url, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         env={**os.environ, **(env or {})})

    def _ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def post(self):
        return json.loads(self._ask("post"))

    def reload(self):
        return self._ask("reload")

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class PostOverTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ca = Authority()
        cls.addClassCleanup(cls.ca.close)
        cls.other = Authority("another-ca")
        cls.addClassCleanup(cls.other.close)
        cls.good = cls.ca.make("receiver")

    def start(self, receiver):
        self.addCleanup(receiver.close)
        return receiver

    def sender(self, receiver, *flags, ca=None, host="127.0.0.1", scheme="https", env=None):
        trusted = ("--ca", ca or self.ca.ca) if scheme == "https" and env is None else ()
        sender = Sender(f"{scheme}://{host}:{receiver.port}/hook", *trusted, *flags, env=env)
        self.addCleanup(sender.close)
        return sender

    def failure(self, receiver, *flags, **where):
        """In words; nothing was told, not even a part of it."""
        said = self.sender(receiver, *flags, **where).post()
        self.assertEqual(0, said["code"], said)
        self.assertEqual([], receiver.requests)
        return said["failed"]

    def refused(self, *flags, env=None):
        """Why nothing is begun with these files."""
        ended = subprocess.run([os.path.join(BIN, "post_lines"), "https://127.0.0.1:1/", *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                               env={**os.environ, **(env or {})}, timeout=60)
        self.assertEqual(2, ended.returncode, ended)
        return ended.stderr

    def test_good(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for host, name in (("127.0.0.1", None), ("localhost", "localhost")):
                with self.subTest(version=version, host=host):
                    receiver = self.start(SecureReceiver(self.good, version=version, answers=[answer(200, body="fine")]))
                    said = self.sender(receiver, host=host).post()
                    self.assertEqual(("", 200, "fine"), (said["failed"], said["code"], said["body"]))
                    self.assertEqual([name], receiver.names or [None])
                    self.assertIn(receiver.ciphers[0], OURS)
                    request, = receiver.requests
                    self.assertTrue(request.startswith(f"POST /hook HTTP/1.1\r\nHost: {host}:{receiver.port}\r\n".encode()), request)
                    self.assertTrue(request.endswith(b"\r\n\r\na body"), request)

    def test_those_whom_the_system_trusts(self):
        receiver = self.start(SecureReceiver(self.good))
        self.assertEqual("", self.sender(receiver, env={"SSL_CERT_FILE": self.ca.ca}).post()["failed"])
        self.assertIn("CN=test-ca, which is none of those whom this system trusts: the file of a CA of your own is given by --tls-test-ca",
                      self.failure(self.start(SecureReceiver(self.good)), env={"SSL_CERT_FILE": self.other.ca}))
        nobody = {"SSL_CERT_FILE": "/nonexistent/file", "SSL_CERT_DIR": "/nonexistent/folder"}
        self.assertIn("tls-test-ca is not given, and this system trusts nobody", self.refused(env=nobody))
        self.assertIn("package ca-certificates", self.refused(env=nobody))

    def test_another_ca(self):
        said = self.failure(self.start(SecureReceiver(self.other.make("stranger"))))
        self.assertIn(f"its certificate is signed by CN=another-ca, which is none of the CAs in {self.ca.ca} (tls-test-ca)", said)
        namesake = Authority()  # of the same name, with another key
        self.addCleanup(namesake.close)
        self.assertIn("is none of the CAs in", self.failure(self.start(SecureReceiver(namesake.make("stranger")))))
        self.assertIn("is none of the CAs in", self.failure(self.start(SecureReceiver(self.other.own))))  # it signs itself

    def test_another_name(self):
        elsewhere = self.ca.make("elsewhere", "DNS:elsewhere.shop,IP:10.1.2.3,IP:::1")
        self.assertIn("its certificate is not for 127.0.0.1, but for elsewhere.shop, 10.1.2.3, 0000:0000:0000:0000:0000:0000:0000:0001: dial one of these",
                      self.failure(self.start(SecureReceiver(elsewhere))))
        self.assertIn("is not for localhost", self.failure(self.start(SecureReceiver(elsewhere)), host="localhost"))
        # A name that is in it as a text of another kind is not in it.
        self.assertIn("is not for 127.0.0.1", self.failure(self.start(SecureReceiver(self.ca.make("text", "DNS:127.0.0.1")))))
        self.assertIn("is not for localhost", self.failure(self.start(SecureReceiver(self.ca.make("part", "DNS:local*"))), host="localhost"))
        common = self.start(SecureReceiver(self.ca.make("localhost", sans=None)))
        self.assertIn("but for nothing that can be dialled", self.failure(common, host="localhost"))

    def test_not_valid_now(self):
        late = self.ca.make("late", begins=-2 * DAY, ends=-DAY)
        self.assertRegex(self.failure(self.start(SecureReceiver(late))), r"its certificate expired at \d{4}-\d\d-\d\dT\S+Z: have it renewed")
        early = self.ca.make("early", begins=DAY)
        self.assertRegex(self.failure(self.start(SecureReceiver(early))), r"its certificate is valid from \S+ alone: is the clock of this machine right")

    def test_old_versions(self):
        old = self.start(SecureReceiver(self.good, version=ssl.TLSVersion.TLSv1_1))
        # That it takes who speaks as it does, or it would be refused for whatever else is wrong.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca.ca)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", old.port)) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as line:
            self.assertEqual("TLSv1.1", line.version())
        self.assertIn("it speaks neither TLS 1.2 nor 1.3", self.failure(old))

    def test_no_tls_there(self):
        self.assertIn("there is no TLS at that address", self.failure(self.start(Plain())))

    def test_tls_where_none_was_expected(self):
        self.assertIn("it speaks TLS: its address begins with https://", self.failure(self.start(Alarmed()), scheme="http"))

    def test_a_handshake_that_does_not_end(self):
        for receiver in (Silent, Dripping):
            with self.subTest(receiver.__name__):
                said = self.sender(self.start(receiver())).post()
                self.assertIn("the handshake does not come to its end", said["failed"])
                self.assertGreaterEqual(said["ms"], HANDSHAKE_MS)
                self.assertLess(said["ms"], 2 * HANDSHAKE_MS)
        said = self.sender(self.start(Silent()), "--patience", "100").post()
        self.assertIn("the handshake does not come to its end", said["failed"])
        self.assertLess(said["ms"], HANDSHAKE_MS)

    def test_closed_in_the_middle(self):
        self.assertIn("it closes the connection in the middle of the handshake", self.failure(self.start(Leaving())))
        cutting = self.start(Cutting(self.good))
        said = self.sender(cutting).post()
        self.assertEqual((0, "there is no answer: it has closed the connection"), (said["code"], said["failed"]))
        # An answer whose end is that of the connection has none if nobody says that it is the end.
        said = self.sender(self.start(Cutting(self.good, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ncut"))).post()
        self.assertEqual((200, "", ""), (said["code"], said["failed"], said["body"]))

    def test_a_certificate_is_shown_to_who_asks(self):
        client = self.ca.make("coordinator")
        stranger = self.other.make("coordinator")
        show = ("--cert", client.cert, "--key", client.key)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                asking = self.start(SecureReceiver(self.good, client_ca=self.ca.ca, version=version))
                self.assertEqual("", self.sender(asking, *show).post()["failed"])
                self.assertIn((("commonName", "coordinator"),), asking.shown[0]["subject"])
                asking = self.start(SecureReceiver(self.good, client_ca=self.ca.ca, version=version))
                self.assertRegex(self.failure(asking), "--tls-cert is shown if --tls-test-ca is given|wants a certificate of this coordinator")
                asking = self.start(SecureReceiver(self.good, client_ca=self.ca.ca, version=version))
                self.assertRegex(self.failure(asking, "--cert", stranger.cert, "--key", stranger.key), "does not take the certificate of (this coordinator, )?--tls-cert")
        not_asking = self.start(SecureReceiver(self.good))
        self.assertEqual("", self.sender(not_asking, *show).post()["failed"])
        self.assertEqual([{}], [shown or {} for shown in not_asking.shown])

    def test_elsewhere_is_not_followed(self):
        plain = self.start(Plain())
        for code in (301, 302, 307, 308):
            moved = self.start(SecureReceiver(self.good, answers=[answer(code, f"Location: http://127.0.0.1:{plain.port}/hook\r\n")]))
            said = self.sender(moved).post()
            self.assertEqual((code, f"it answers {code}"), (said["code"], said["failed"]))
        self.assertEqual(0, plain.connections)

    def test_a_connection_is_kept_until_there_are_other_files(self):
        receiver = self.start(SecureReceiver(self.good))
        trusted = self.ca.path("kept.pem")
        write(trusted, read(self.ca.ca))
        sender = self.sender(receiver, "--kept", ca=trusted)
        for _ in range(3):
            self.assertEqual("", sender.post()["failed"])
        self.assertEqual(1, receiver.connections)
        self.assertEqual("they are the same", sender.reload())
        write(trusted, read(self.other.ca))
        self.assertEqual("", sender.reload())
        self.assertIn("which is none of the CAs in", sender.post()["failed"])
        self.assertEqual((2, 3), (receiver.connections, len(receiver.requests)))

    def test_one_each(self):
        receiver = self.start(SecureReceiver(self.good, answers=[answer(204, "Connection: close\r\n")] * 3))
        sender = self.sender(receiver)
        self.assertEqual(["", ""], [sender.post()["failed"] for _ in range(2)])
        self.assertEqual(2, receiver.connections)

    def test_renewed_while_it_runs(self):
        """Of the receiver: by the same CA nobody notices, by another one the file has to have it; what is wrong in the file changes nothing."""
        receiver = self.start(SecureReceiver(self.good))
        trusted = self.ca.path("renewed.pem")
        write(trusted, read(self.ca.ca))
        sender = self.sender(receiver, ca=trusted)
        self.assertEqual("", sender.post()["failed"])
        receiver.renew(self.ca.make("renewed"))
        self.assertEqual("", sender.post()["failed"])
        write(trusted, "no certificate")
        self.assertIn("there is no certificate in it", sender.reload())
        self.assertEqual("", sender.post()["failed"])
        receiver.renew(self.other.make("renewed"))
        self.assertIn("is signed by CN=another-ca", sender.post()["failed"])
        write(trusted, read(self.ca.ca) + read(self.other.ca))
        self.assertEqual("", sender.reload())
        self.assertEqual("", sender.post()["failed"])

    def test_files_that_are_wrong(self):
        late = Authority("late-ca")
        self.addCleanup(late.close)
        expired = self.ca.make("expired", begins=-2 * DAY, ends=-DAY)
        client, other = self.ca.make("client"), self.ca.make("other")
        self.assertIn("tls-test-ca /nope: cannot be read", self.refused("--ca", "/nope"))
        self.assertIn("the certificate expired at", self.refused("--ca", expired.cert))
        self.assertIn("this is not the key of the certificate", self.refused("--ca", self.ca.ca, "--cert", client.cert, "--key", other.key))
        os.chmod(other.key, 0o644)
        self.assertIn("others than its owner may read", self.refused("--ca", self.ca.ca, "--cert", other.cert, "--key", other.key))
        # One that has expired among them is no reason: whoever changes from one CA to another has both.
        both = self.ca.path("both.pem")
        write(both, read(expired.cert) + read(self.ca.ca))
        self.assertEqual("", self.sender(self.start(SecureReceiver(self.good)), ca=both).post()["failed"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # of versions that nobody should speak
