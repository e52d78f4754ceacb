#!/usr/bin/python3
"""Who somebody is, asked at both doors of a real assentd: of odd certificates and odd headers both say the same."""

import http.client
import json
import os
import re
import ssl
import sys
import unittest

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(HERE, "..", folder) for folder in ("ctl", "grpc", "support"))]

from certificates import Pair, run, write  # noqa: E402
from daemon import free_port  # noqa: E402
from door_test import TlsTest  # noqa: E402
from edges_test import read  # noqa: E402

URI, DNS, EMAIL = 0x86, 0x82, 0x81  # the tags of a GeneralName
RULES = """allow cn:ann as viewer
allow cn:bob as viewer
allow dns:checkout as viewer
allow spiffe://shop/payment as viewer
allow spiffe://shop/second as viewer
"""
PAYMENT, SECOND = b"spiffe://shop/payment", b"spiffe://shop/second"
MANY = [(DNS, b"h%d.shop" % number) for number in range(63)]
# What it is, its alternative names as bytes (None: it has none), its subject, and who that is.
CERTIFICATES = (
    ("one URI", [(URI, PAYMENT)], "/CN=x", "spiffe://shop/payment"),
    ("a DNS name", [(DNS, b"checkout")], "/CN=x", "dns:checkout"),
    ("a common name", None, "/CN=ann", "cn:ann"),
    ("a common name beside an address of mail", [(EMAIL, b"a@b")], "/CN=ann", "cn:ann"),
    ("a common name beside a URI", [(URI, PAYMENT)], "/CN=ann", "spiffe://shop/payment"),
    ("two common names beside a URI", [(URI, PAYMENT)], "/CN=ann/CN=bob", "spiffe://shop/payment"),
    ("64 names", [*MANY, (URI, PAYMENT)], "/CN=x", "spiffe://shop/payment"),
    ("65 names", [*MANY, (DNS, b"more"), (URI, PAYMENT)], "/CN=x", ""),
    ("a NUL in a URI", [(URI, PAYMENT + b"\0.evil")], "/CN=ann", ""),
    ("a NUL in a URI before a good one", [(URI, PAYMENT + b"\0.evil"), (URI, SECOND)], "/CN=x", ""),
    ("a NUL in a URI behind a good one", [(URI, SECOND), (URI, PAYMENT + b"\0.evil")], "/CN=x", ""),
    ("a newline in a URI", [(URI, b"spiffe://shop/a\nb"), (URI, SECOND)], "/CN=x", ""),
    ("a blank in a URI", [(URI, b"spiffe://shop/a b"), (DNS, b"checkout")], "/CN=x", ""),
    ("UTF-8 in a URI", [(URI, "spiffe://shop/é".encode()), (DNS, b"checkout")], "/CN=x", ""),
    ("a NUL in a DNS name", [(DNS, b"a\0b"), (DNS, b"checkout")], "/CN=ann", ""),
    ("an empty DNS name", [(DNS, b"")], "/CN=ann", ""),
    ("an empty URI", [(URI, b""), (URI, SECOND)], "/CN=ann", ""),
    ("an odd DNS name beside a good URI", [(URI, PAYMENT), (DNS, b"a b")], "/CN=x", ""),
    ("two common names", None, "/CN=ann/CN=bob", ""),
    ("a newline in a common name", None, "/CN=ann\nx", ""),
    ("no common name", None, "/O=ann", ""),
)


class Odd(TlsTest):
    def setUp(self):
        super().setUp()
        self.http = f"127.0.0.1:{free_port()}"
        write(self.ca.path("rules"), RULES)
        self.serve("--http-listen", self.http, "--auth-rules", self.ca.path("rules"))

    def make(self, name, names, subject):
        pair = Pair(self.ca.path(name))
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key, "-out", pair.cert + ".csr", "-subj", subject)
        extensions = "extendedKeyUsage=clientAuth\n"
        if names is not None:
            body = b"".join(bytes([kind, len(text)]) + text for kind, text in names)
            size = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
            extensions += "2.5.29.17=DER:" + (b"\x30" + size + body).hex(":") + "\n"
        write(pair.cert + ".ext", extensions)
        run("x509", "-req", "-in", pair.cert + ".csr", "-CA", self.ca.own.cert, "-CAkey", self.ca.own.key, "-CAcreateserial", "-days", "5",
            "-out", pair.cert, "-extfile", pair.cert + ".ext")
        return pair

    def ask_http(self, pair, method="GET", path="/v1/login", headers=()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca.ca)
        context.load_cert_chain(pair.cert, pair.key)
        connection = http.client.HTTPSConnection(self.http, timeout=20, context=context)
        self.addCleanup(connection.close)
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def ask_grpc(self, pair, metadata=()):
        credentials = grpc.ssl_channel_credentials(read(self.ca.ca), read(pair.key), read(pair.cert))
        channel = grpc.secure_channel(self.daemon.endpoint, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        # Of whom nobody may: whoever is known is told his own name.
        try:
            channel.unary_unary("/assent.v1.ClusterService/Drain")(b"", timeout=20, metadata=metadata)
        except grpc.RpcError as failed:
            return failed.code(), failed.details()
        return grpc.StatusCode.OK, ""

    def test_both_doors_know_a_certificate_by_one_name_or_by_none(self):
        for number, (what, names, subject, who) in enumerate(CERTIFICATES):
            with self.subTest(what):
                pair = self.make(f"odd-{number}", names, subject)
                code, said = self.ask_http(pair)
                self.assertEqual((200, who), (code, json.loads(said).get("identity")))
                code, said = self.ask_grpc(pair)
                if who:
                    self.assertEqual((grpc.StatusCode.PERMISSION_DENIED, True), (code, said.startswith(who + " may not ")), said)
                else:
                    self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, code, said)

    def failures(self, pair):
        return sum(int(count) for count in re.findall(r'^assent_auth_failures_total\{reason="bad_token"\} (\d+)', self.ask_http(pair, path="/metrics")[1], re.M))

    def test_several_credentials_or_an_empty_one_are_wrong_ones(self):
        """A proxy and a door could each read another one; they counted as none, so that the certificate did."""
        pair = self.make("good", [(URI, PAYMENT)], "/CN=x")
        self.assertEqual(200, self.ask_http(pair, path="/v1/transactions")[0])
        before = self.failures(pair)
        wrong = ("Bearer assent_a_" + "0" * 64, "Bearer assent_b_" + "0" * 64)
        for headers in (wrong, (wrong[0],), ("",), ("", wrong[0]), (wrong[0], "")):
            with self.subTest(headers):
                code, said = self.ask_http(pair, path="/v1/transactions", headers=[("Authorization", value) for value in headers])
                self.assertEqual(401, code, said)
                code, said = self.ask_grpc(pair, [("authorization", value) for value in headers])
                self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, code, said)
        self.assertEqual(before + 10, self.failures(pair))
        self.assertEqual(200, self.ask_http(pair, path="/v1/transactions")[0])


class Exposed(TlsTest):
    def test_participants_that_are_dialled_in_the_clear_are_told_of(self):
        for address, told in (("192.0.2.7:9", True), ("127.evil.example:9", True), ("127.0.0.1:9", False), ("localhost:9", False)):
            with self.subTest(address):
                self.serve("--unary", f"bank={address}")
                self.assertEqual(told, f"event=unary_exposed participants=bank={address} " in self.daemon.log(), self.daemon.log())
                self.daemon.close()
        self.serve("--unary", "bank=tls:192.0.2.7:9", "--tls-participant-ca", self.ca.ca)
        self.assertNotIn("event=unary_exposed", self.daemon.log())


if __name__ == "__main__":
    unittest.main()
