#!/usr/bin/python3
"""TLS at the gRPC listener of a real assentd, with real certificates: who is served, and what the others are told."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl")]

from certificates import DAY, Authority, read, write  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon  # noqa: E402


class TlsTest(CtlTest):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.server = self.ca.make("coordinator")
        self.operator = self.ca.make("operator", "URI:spiffe://shop/operator,DNS:operator.shop")

    def serve(self, *arguments):
        self.daemon = Daemon("--tls-cert", self.server.cert, "--tls-key", self.server.key, "--tls-client-ca", self.ca.ca, *arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def flags(self, ca=None, pair=None):
        pair = pair or self.operator
        return ("--tls-ca", ca or self.ca.ca, "--tls-cert", pair.cert, "--tls-key", pair.key)

    def check(self, *arguments):
        return subprocess.run([os.path.join(BIN, "assentd"), "--check-config", *arguments], capture_output=True, text=True, timeout=60)

    def refused(self, *flags):
        """That there is no connection, and why."""
        return self.expect(3, "--timeout", "5s", *flags, "stats").err

    def connect(self, pair=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca.ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        host, port = self.daemon.endpoint.rsplit(":", 1)
        raw = socket.create_connection((host, int(port)), timeout=10)
        self.addCleanup(raw.close)
        return context.wrap_socket(raw, server_hostname=host)


class Door(TlsTest):
    def test_mutual_tls_by_flag_environment_and_profile(self):
        self.serve()
        self.expect(0, *self.flags(), "stats")
        env = {"ASSENT_TLS_CA": self.ca.ca, "ASSENT_TLS_CERT": self.operator.cert, "ASSENT_TLS_KEY": self.operator.key}
        self.expect(0, "stats", env=env)
        profile = self.ca.path("assentctl.toml")
        write(profile, f'tls-ca = "{self.ca.ca}"\ntls-cert = "{self.operator.cert}"\ntls-key = "{self.operator.key}"\n')
        self.expect(0, "--profile-file", profile, "stats")

    def test_who_is_not_served_and_what_he_is_told(self):
        self.serve()
        other = Authority("another-ca")
        self.addCleanup(other.close)
        self.assertIn("not signed by the CA", self.refused(*self.flags(ca=other.ca)))
        self.assertIn("no CA was given", self.refused())
        for what, flags in (("no certificate", ("--tls-ca", self.ca.ca)), ("of another CA", self.flags(pair=other.make("stranger"))),
                            ("expired", self.flags(pair=self.ca.make("late", begins=-2 * DAY, ends=-DAY))),
                            ("not yet valid", self.flags(pair=self.ca.make("early", begins=DAY)))):
            with self.subTest(what):
                self.assertRegex(self.refused(*flags), "as soon as it is dialled; does it want a certificate")
        self.expect(0, *self.flags(), "stats")

    def test_the_name_that_was_dialled_has_to_be_in_the_certificate(self):
        self.server = self.ca.make("elsewhere", "DNS:coordinator.shop")
        self.serve()
        self.assertIn("not one for the name", self.refused(*self.flags()))
        self.expect(0, *self.flags(), "--tls-server-name", "coordinator.shop", "stats")

    def test_a_certificate_of_the_client_may_be_optional(self):
        self.serve("--tls-client-cert", "optional")
        self.expect(0, "--tls-ca", self.ca.ca, "stats")
        self.expect(0, *self.flags(), "stats")
        other = Authority("another-ca")
        self.addCleanup(other.close)
        self.refused(*self.flags(pair=other.make("stranger")))

    def test_without_a_ca_of_clients_nobody_is_asked_for_a_certificate(self):
        """gRPC ended the process at the first start."""
        self.daemon = Daemon("--tls-cert", self.server.cert, "--tls-key", self.server.key)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        self.expect(0, "--tls-ca", self.ca.ca, "stats")
        other = Authority("other")
        self.addCleanup(other.close)
        self.refused("--tls-ca", other.ca)

    def test_old_versions_are_refused(self):
        self.serve()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect(self.operator, version) as connection:
                self.assertEqual("h2", connection.selected_alpn_protocol())
        for version in ("-tls1", "-tls1_1"):
            old = subprocess.run(["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", self.daemon.endpoint], stdin=subprocess.DEVNULL, capture_output=True,
                                 text=True, timeout=20)
            self.assertIn("Cipher is (NONE)", old.stdout)

    def test_plain_text_to_a_tls_port_is_told(self):
        self.serve()
        host, port = self.daemon.endpoint.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            said = plain.makefile("rb").read()
        self.assertTrue(said.startswith(b"HTTP/1.1 400 "), said)
        head, body = said.split(b"\r\n\r\n", 1)
        self.assertIn(b"speaks TLS", body)
        self.assertIn(f"Content-Length: {len(body)}".encode(), head)
        self.until(lambda: "event=connections_turned_away" in self.daemon.log())
        self.assertRegex(self.daemon.log(), r"event=connections_turned_away .* without_tls=\d")

    def test_tls_to_a_plain_port_is_told(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        self.assertIn("there is no TLS at that address", self.refused(*self.flags()))

    def test_a_unix_socket_needs_none(self):
        path = self.ca.path("socket")
        self.serve("--listen", f"unix:{path}")
        self.ctl = Ctl(f"unix:{path}")
        self.expect(0, "stats")
        self.expect(0, *self.flags(), "stats")


class Names(TlsTest):
    """Who somebody is, by his certificate alone."""

    def serve_with(self, rule):
        rules = self.ca.path("rules")
        write(rules, rule + "\n")
        self.serve("--auth-rules", rules)

    def test_the_uri_of_a_certificate_is_a_name(self):
        self.serve_with("allow spiffe://shop/operator as viewer")
        self.expect(0, *self.flags(), "stats")
        self.expect(6, *self.flags(pair=self.ca.make("another", "URI:spiffe://shop/operators")), "stats")

    def test_a_name_of_one_kind_does_not_pass_for_another(self):
        """A CA that signs any URI would else make tokens, and DNS names."""
        for name in ("token:support", "dns:operator.shop", "cn:ann"):
            with self.subTest(name):
                self.serve_with(f"allow {name} as viewer")
                self.expect(6, *self.flags(pair=self.ca.make("disguised", f"URI:{name}")), "stats")
                self.daemon.close()


class Files(TlsTest):
    def test_what_is_wrong_with_files_is_said_before_the_start(self):
        good = ("--tls-cert", self.server.cert, "--tls-key", self.server.key)
        self.assertEqual(0, self.check(*good, "--tls-client-ca", self.ca.ca).returncode)
        late = self.ca.make("late", begins=-2 * DAY, ends=-DAY)
        early = self.ca.make("early", begins=DAY)
        junk = self.ca.path("junk")
        write(junk, "nothing of use\n")
        large = self.ca.path("large")
        write(large, "#" * (1024 * 1024 + 1))
        for says, arguments in (
                ("tls-cert and tls-key are of use together", good[:2]), ("tls-cert and tls-key are of use together", good[2:]),
                ("tls-client-ca is of use with tls-cert", ("--tls-client-ca", self.ca.ca)),
                ("cannot be read: No such file", ("--tls-cert", junk + "-not", "--tls-key", self.server.key)),
                ("there is no certificate in it", ("--tls-cert", junk, "--tls-key", self.server.key)),
                ("there is no key in it", ("--tls-cert", self.server.cert, "--tls-key", junk)),
                ("this is not the key of the certificate", ("--tls-cert", self.server.cert, "--tls-key", self.operator.key)),
                ("expired at", ("--tls-cert", late.cert, "--tls-key", late.key)),
                ("is valid from", ("--tls-cert", early.cert, "--tls-key", early.key)),
                ("has more than 1048576 bytes", ("--tls-cert", large, "--tls-key", self.server.key)),
                ("there is no certificate in it", (*good, "--tls-client-ca", junk)),
                ("tls-client-cert is \"maybe\"", (*good, "--tls-client-cert", "maybe")),
                ("takes --tls-participant-ca", (*good, "--unary", "shop=tls:127.0.0.1:9000")),
                ("tls-participant-ca: the CA's file", (*good, "--unary", "shop=tls:127.0.0.1:9000", "--tls-participant-ca", junk)),
                ("tls-peer-ca is", (*good, "--tls-peer-ca", self.ca.ca))):
            with self.subTest(says):
                checked = self.check(*arguments)
                self.assertEqual(2, checked.returncode, checked)
                self.assertIn(says, checked.stderr)
        os.chmod(self.server.key, 0o644)
        self.assertIn("chmod 600", self.check(*good).stderr)

    def test_others_may_reach_it_if_they_are_known(self):
        reach = ("--listen", "0.0.0.0:7400", "--tls-cert", self.server.cert, "--tls-key", self.server.key)
        self.assertIn("nobody knows who they are", self.check(*reach).stderr)
        self.assertIn("nobody knows who they are", self.check(*reach, "--tls-client-ca", self.ca.ca, "--tls-client-cert", "optional").stderr)
        self.assertEqual(0, self.check(*reach, "--allow-insecure").returncode)
        self.assertEqual(0, self.check(*reach, "--tls-client-ca", self.ca.ca).returncode)
        self.assertIn("there is no TLS", self.check("--listen", "0.0.0.0:7400").stderr)

    def test_what_assentctl_cannot_use_is_said(self):
        self.ctl = Ctl("127.0.0.1:1")
        junk = self.ca.path("junk")
        write(junk, "nothing of use\n")
        for says, flags in (("wants the file of the CA", ("--tls-cert", self.operator.cert, "--tls-key", self.operator.key)),
                            ("one is missing", ("--tls-ca", self.ca.ca, "--tls-cert", self.operator.cert)),
                            ("cannot be read", ("--tls-ca", junk + "-not")), ("it takes PEM", ("--tls-ca", junk))):
            with self.subTest(says):
                self.assertIn(says, self.expect(2, *flags, "stats").err)


class Reload(TlsTest):
    def seen(self):
        """The serial number that is shown to whoever comes now."""
        with self.connect(self.operator) as connection:
            return connection.getpeercert()["serialNumber"]

    def test_new_files_are_taken_up(self):
        self.serve()
        first = self.seen()
        self.server.become(self.ca.make("renewed", "IP:127.0.0.1,URI:spiffe://shop/coordinator,DNS:localhost"))
        self.until(lambda: self.seen() != first)
        self.assertIn("event=tls_reloaded names=spiffe://shop/coordinator,dns:localhost expires", self.daemon.log())

    def test_sighup_takes_them_up_and_a_bad_one_keeps_the_old(self):
        self.serve()
        first = self.seen()
        for number, (says, cert) in enumerate((("is not the key", self.operator.texts()[0]), ("no certificate in it", "junk\n"),
                                               ("expired at", self.ca.make("late", begins=-2 * DAY, ends=-DAY).texts()[0]))):
            write(self.server.cert, cert)
            self.daemon.signal(signal.SIGHUP)
            self.until(lambda: self.daemon.log().count("event=tls_reload_failed") > number and says in self.daemon.log())
            self.until(lambda: self.daemon.log().count('event=reloaded_in_part changed="" not_read="certificates"') > number)
            self.assertEqual(first, self.seen(), says)
        os.remove(self.server.cert)
        os.mkfifo(self.server.cert)  # into which nobody ever writes
        self.until(lambda: "cannot be read: it is no file" in self.daemon.log())
        self.assertEqual(first, self.seen())
        self.server.become(self.ca.make("renewed"))
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: self.seen() != first)

    def test_a_client_ca_is_taken_up_too(self):
        self.serve()
        other = Authority("another-ca")
        self.addCleanup(other.close)
        stranger = other.make("stranger")
        self.refused(*self.flags(pair=stranger))
        both = read(self.ca.ca) + read(other.ca)
        write(self.ca.ca, both, 0o644)
        self.until(lambda: self.ctl(*self.flags(pair=stranger), "stats").code == 0)
        write(self.ca.ca, read(other.ca), 0o644)
        self.daemon.signal(signal.SIGHUP)
        kept = ("--tls-ca", self.ca.path("server-ca.pem"), "--tls-cert", stranger.cert, "--tls-key", stranger.key)
        write(kept[1], both)
        self.until(lambda: self.ctl("--timeout", "5s", *self.flags(ca=kept[1]), "stats").code == 3)
        self.expect(0, *kept, "stats")


if __name__ == "__main__":
    unittest.main()
