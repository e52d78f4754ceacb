#!/usr/bin/python3
"""HTTPS of a real assentd, and the certificates that `assentctl certs init` makes."""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import unittest

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl")]

from certificates import DAY, Authority, read, write  # noqa: E402
from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from door_test import TlsTest  # noqa: E402

ORDER = {"gid": "over-https", "branches": [{"protocol": "TCC", "service": "nobody", "action": "reserve"}], "deadlineMs": "600000"}


class Http(TlsTest):
    def serve(self, *arguments):
        self.http = f"127.0.0.1:{free_port()}"
        super().serve("--http-listen", self.http, *arguments)

    def context(self, pair=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca.ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context

    def connection(self, pair=None):
        connection = http.client.HTTPSConnection(self.http, timeout=20, context=self.context(pair))
        self.addCleanup(connection.close)
        return connection

    def ask(self, method, path, body=None, connection=None):
        connection = connection or self.connection(self.operator)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"} if body is not None else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def test_over_one_connection_and_in_large(self):
        self.serve()
        self.assertIn(f"https://{self.http}/", self.daemon.card)
        connection = self.connection(self.operator)
        self.assertEqual(200, self.ask("GET", "/livez", connection=connection)[0])
        self.assertEqual(200, self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", {**ORDER, "labels": {"k": "v"}}, connection)[0])
        payload = "A" * (1 << 20)
        large = {**ORDER, "gid": "large", "branches": [{**ORDER["branches"][0], "payload": payload}]}
        code, said = self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", large, connection)
        self.assertEqual(200, code, said)
        code, said = self.ask("GET", "/v1/transactions/large?payloads=true", connection=connection)
        self.assertEqual((200, payload), (code, json.loads(said)["branches"][0]["spec"]["payload"]))

    def test_events_end_as_they_should(self):
        self.serve()
        self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", ORDER)
        watching = self.connection(self.operator)
        watching.request("GET", "/v1/transactions/over-https:watch")
        stream = watching.getresponse()
        self.assertIn(b"event:", stream.readline() + stream.readline() + stream.readline())
        self.assertEqual(200, self.ask("POST", "/v1/transactions/over-https:abort", {"action": {"who": "ann", "reason": "nobody will come"}})[0])
        self.assertIn(b"event: end", stream.read())  # to the end, which is told before the connection is closed

    def test_who_is_not_served(self):
        self.serve()
        with self.assertRaises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            self.ask("GET", "/livez", connection=self.connection())
        other = Authority("another-ca")
        self.addCleanup(other.close)
        for pair in (other.make("stranger"), self.ca.make("late", begins=-2 * DAY, ends=-DAY)):
            with self.assertRaises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                self.ask("GET", "/livez", connection=self.connection(pair))
        self.assertEqual(200, self.ask("GET", "/livez")[0])

    def test_plain_text_is_told(self):
        self.serve()
        plain = http.client.HTTPConnection(self.http, timeout=20)
        self.addCleanup(plain.close)
        code, said = self.ask("GET", "/livez", connection=plain)
        self.assertEqual(400, code)
        self.assertIn("this port speaks TLS alone", said)

    def test_whoever_begins_and_does_not_go_on_is_closed(self):
        self.serve()
        host, port = self.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")
            self.assertEqual(b"", half.recv(1))  # within kMaxHandshakeMs

    def test_it_can_be_left_plain(self):
        self.serve("--http-tls=false")
        plain = http.client.HTTPConnection(self.http, timeout=20)
        self.addCleanup(plain.close)
        self.assertEqual(200, self.ask("GET", "/livez", connection=plain)[0])

    def test_when_it_expires_is_told(self):
        self.serve()

        def expiry():
            text = self.ask("GET", "/metrics")[1]
            return {which: float(value) for which, value in
                    re.findall(r'^assent_tls_certificate_expiry_timestamp_seconds\{certificate="(\w+)"\} (\S+)$', text, re.M)}

        def of(path):
            return ssl.cert_time_to_seconds(ssl._ssl._test_decode_cert(path)["notAfter"])  # pylint: disable=protected-access

        self.assertEqual({"server": of(self.server.cert), "client_ca": of(self.ca.ca)}, expiry())
        self.server.become(self.ca.make("renewed", ends=9 * DAY))
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: expiry()["server"] == of(self.server.cert))


class Noting(grpc.GenericRpcHandler):
    """Keeps the tokens that it is shown."""

    def __init__(self, seen):
        self.seen = seen

    def service(self, details):
        self.seen.append(dict(details.invocation_metadata).get("authorization"))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


class Certs(CtlTest):
    def test_what_is_made_is_enough(self):
        place = Authority()
        self.addCleanup(place.close)
        folder = place.path("certs")
        self.ctl = Ctl("127.0.0.1:1")
        said = self.expect(0, "certs", "init", folder, "--service", "payment", "--domain", "shop").out
        self.assertIn("spiffe://shop/payment", said)
        self.assertIn("--tls-client-ca", said)
        names = {"ca", "coordinator", "operator", "payment"}
        self.assertEqual({name + end for name in names for end in (".pem", ".key")}, set(os.listdir(folder)))
        for name in names:
            self.assertEqual(0o600, stat.S_IMODE(os.stat(f"{folder}/{name}.key").st_mode))
        before = read(f"{folder}/ca.pem")
        self.assertIn("nothing in it is overwritten", self.expect(5, "certs", "init", folder).err)
        self.assertEqual(before, read(f"{folder}/ca.pem"))

        daemon = Daemon("--tls-cert", f"{folder}/coordinator.pem", "--tls-key", f"{folder}/coordinator.key", "--tls-client-ca", f"{folder}/ca.pem")
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        for who in ("operator", "payment"):
            self.expect(0, "--tls-ca", f"{folder}/ca.pem", "--tls-cert", f"{folder}/{who}.pem", "--tls-key", f"{folder}/{who}.key", "stats")

    def usages(self, path):
        text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", path], check=True, capture_output=True, text=True).stdout
        names = re.search(r"Subject Alternative Name:.*\n\s*(.*)", text)[1].split(", ")
        return "TLS Web Server" in text, "TLS Web Client" in text, {name for name in names if not name.startswith("URI:")}

    def test_a_service_is_no_server_of_the_coordinators_hosts(self):
        """Its key was good for the coordinator's address: who dialled that would have shown it a token."""
        place = Authority()
        self.addCleanup(place.close)
        folder = place.path("certs")
        self.ctl = Ctl("127.0.0.1:1")
        own = {"IP Address:127.0.0.1", "DNS:coordinator.shop"}
        said = self.expect(0, "certs", "init", folder, "--host", "127.0.0.1", "--domain", "shop", "--service", "payment", "--service", "stock",
                           "--unary", "stock=10.0.0.7", "--unary", "bank=bank.shop", "--unary", "bank=127.0.0.1").out
        self.assertIn("stock, which is dialled at 10.0.0.7;", said)
        self.assertIn("127.0.0.1 is the coordinator's as well: whoever has bank.key can pose", said)
        self.assertEqual((True, True, own), self.usages(f"{folder}/coordinator.pem"))
        for name in ("operator", "payment"):
            self.assertEqual((False, True, set()), self.usages(f"{folder}/{name}.pem"))
        self.assertEqual((True, True, {"IP Address:10.0.0.7"}), self.usages(f"{folder}/stock.pem"))
        self.assertEqual((True, True, {"DNS:bank.shop", "IP Address:127.0.0.1"}), self.usages(f"{folder}/bank.pem"))

        # Who poses as the coordinator with such a key, and who falls for it.
        token = place.path("token")
        write(token, "assent_admin_" + "a" * 64)
        flags = ("--timeout", "5s", "--tls-ca", f"{folder}/ca.pem", "--tls-cert", f"{folder}/operator.pem", "--tls-key", f"{folder}/operator.key",
                 "--token-file", token)
        for who, more, fooled in (("payment", (), False), ("stock", (), False), ("bank", (), True), ("bank", ("--tls-server-name", "coordinator.shop"), False)):
            with self.subTest(who=who, more=more):
                seen, server = [], grpc.server(concurrent.futures.ThreadPoolExecutor(4))
                server.add_generic_rpc_handlers((Noting(seen),))
                credentials = grpc.ssl_server_credentials([(read(f"{folder}/{who}.key").encode(), read(f"{folder}/{who}.pem").encode())])
                port = server.add_secure_port("127.0.0.1:0", credentials)
                server.start()
                self.ctl = Ctl(f"127.0.0.1:{port}")
                self.ctl(*flags, *more, "stats")
                server.stop(0).wait()
                self.assertEqual(fooled, any(seen), seen)
        daemon = Daemon("--tls-cert", f"{folder}/coordinator.pem", "--tls-key", f"{folder}/coordinator.key", "--tls-client-ca", f"{folder}/ca.pem")
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        for more in ((), ("--tls-server-name", "coordinator.shop")):
            self.expect(0, *flags, *more, "stats")

    def test_more_of_the_same_ca(self):
        """There was no command for it: whoever had forgotten a service made all of them anew."""
        place = Authority()
        self.addCleanup(place.close)
        folder = place.path("certs")
        self.ctl = Ctl("127.0.0.1:1")
        self.expect(0, "certs", "init", folder, "--domain", "shop")
        said = self.expect(0, "certs", "add", folder, "--service", "stock", "--unary", "bank=bank.shop", "--operator", "ann", "--coordinator", "second",
                           "--host", "10.0.0.2").out
        self.assertIn("the service stock; spiffe://shop/stock", said)
        self.assertNotIn("ca.key", said)
        for name, usages in (("stock", (False, True, set())), ("ann", (False, True, set())), ("bank", (True, True, {"DNS:bank.shop"})),
                             ("second", (True, True, {"IP Address:10.0.0.2", "DNS:coordinator.shop"}))):
            self.assertEqual(usages, self.usages(f"{folder}/{name}.pem"), name)
            self.assertEqual(0o600, stat.S_IMODE(os.stat(f"{folder}/{name}.key").st_mode))

        daemon = Daemon("--tls-cert", f"{folder}/coordinator.pem", "--tls-key", f"{folder}/coordinator.key", "--tls-client-ca", f"{folder}/ca.pem")
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        ann = ("--tls-ca", f"{folder}/ca.pem", "--tls-cert", f"{folder}/ann.pem", "--tls-key", f"{folder}/ann.key", "stats")
        self.expect(0, *ann)

        before = {name: read(f"{folder}/{name}") for name in ("ann.pem", "ann.key", "stock.pem", "ca.pem", "ca.key")}
        said = self.expect(5, "certs", "add", folder, "--service", "new", "--operator", "ann").err
        self.assertIn("--renew puts a new one in its place; nothing was made", said)
        self.assertFalse(os.path.exists(f"{folder}/new.pem"))
        self.expect(0, "certs", "add", folder, "--operator", "ann", "--renew")
        self.expect(0, "certs", "add", folder, "--unary", "bank=bank.shop", "--coordinator", "second", "--host", "10.0.0.2", "--renew")
        changed = {name for name, text in before.items() if read(f"{folder}/{name}") != text}
        self.assertEqual({"ann.pem", "ann.key"}, changed)
        self.expect(0, *ann)

        other = place.path("other")
        os.mkdir(other)
        write(f"{other}/ca.pem", read(f"{folder}/ca.pem"))
        write(f"{other}/ca.key", read(f"{folder}/ann.key"))
        write(place.path("no-ca.pem"), "x")
        for code, says, where, arguments in (
                (2, "second.pem is for DNS:coordinator.shop, IP:10.0.0.2, URI:spiffe://shop/second; ", folder, ("--coordinator", "second", "--renew")),
                (2, "bank.pem is for DNS:bank.shop, URI:spiffe://shop/bank; ", folder, ("--service", "bank", "--operator", "ann", "--renew")),
                (2, "would make one for DNS:h, URI:spiffe://shop/bank: ", folder, ("--unary", "bank=h", "--renew")),
                (2, "would make one for URI:spiffe://else/ann: ", folder, ("--operator", "ann", "--domain", "else", "--renew")),
                (2, "not there to be renewed; nothing was made", folder, ("--service", "ghost", "--renew")),
                (2, "for whom?", folder, ()), (2, "--host is a coordinator's", folder, ("--service", "x", "--host", "h")),
                (2, "there twice, or taken", folder, ("--service", "ca")), (2, "not that of its certificate", other, ("--service", "x")),
                (2, "at most 64 certificates", folder, [word for number in range(65) for word in ("--operator", f"s{number}")]),
                (2, "no such file", place.path("nowhere"), ("--service", "x"))):
            with self.subTest(says):
                self.assertIn(says, self.expect(code, "certs", "add", where, *arguments).err.replace("No such", "no such"))
        write(f"{other}/ca.pem", read(f"{folder}/ann.pem"))
        self.assertIn("its certificate is no CA's", self.expect(2, "certs", "add", other, "--service", "x").err)
        write(f"{other}/ca.pem", "nothing")
        self.assertIn("no certificate in PEM", self.expect(2, "certs", "add", other, "--service", "x").err)

        # One's own CA, whose name says no domain.
        write(f"{other}/ca.pem", read(place.path("ca.pem")))
        write(f"{other}/ca.key", read(place.path("ca.key")))
        self.assertIn("--domain says which", self.expect(2, "certs", "add", other, "--service", "x").err)
        self.assertIn("spiffe://mine/x", self.expect(0, "certs", "add", other, "--service", "x", "--domain", "mine").out)

    def test_no_service_gets_a_certificate_for_the_coordinators_own_name(self):
        """Whoever verifies takes them for it: in capitals, with a last dot, a pattern, and of Java and OpenSSL's default also the common name."""
        place = Authority()
        self.addCleanup(place.close)
        folder = place.path("certs")
        self.ctl = Ctl("127.0.0.1:1")
        self.expect(0, "certs", "init", folder, "--domain", "shop", "--host", "10.0.0.1", "--host", "a.hosts.shop")
        for arguments in (("--unary", "x=Coordinator.SHOP"), ("--unary", "x=coordinator.shop."), ("--unary", "x=*.shop"),
                          ("--unary", "x=coordinator.shop", "--domain", "else"), ("--unary", "coordinator.shop=10.0.0.7")):
            with self.subTest(arguments):
                self.assertIn("is the coordinator's own name", self.expect(2, "certs", "add", folder, *arguments).err)
        for host in ("*", "a*.shop", "x.*", "*.*.shop", "*.", "."):
            self.assertIn("is no host", self.expect(2, "certs", "add", folder, "--unary", f"x={host}").err)
        self.assertNotIn("pose", self.expect(0, "certs", "add", folder, "--unary", "fine=*.services.shop", "--unary", "fine=127.0.0.1").out)
        # A host of the coordinator's is a risk, also when it is said later than at init.
        for name, host in (("bank", "10.0.0.1"), ("hotel", "*.hosts.shop")):
            said = self.expect(0, "certs", "add", folder, "--unary", f"{name}={host}").out
            self.assertIn(f"{host} is the coordinator's as well: whoever has {name}.key can pose", said)

    def test_wrong_words(self):
        self.ctl = Ctl("127.0.0.1:1")
        place = Authority()
        self.addCleanup(place.close)
        folder = place.path("certs")
        for says, arguments in (("is no name for a file", ("--service", "a/b")), ("is no name for a file", ("--service", "x" * 65)),
                                ("there twice, or taken", ("--service", "ca")), ("there twice, or taken", ("--service", "a", "--service", "a")),
                                ("is no host", ("--unary", "a")), ("is no host", ("--unary", "a=")), ("is no name for a file", ("--unary", "a/b=h")),
                                ("taken", ("--unary", "operator=h")), ("the coordinator's own name", ("--domain", "shop", "--unary", "a=coordinator.shop")),
                                ("at most 64 hosts", [word for number in range(65) for word in ("--host", f"h{number}")]),
                                ("is no host", ("--host", "a b")), ("is no host", ("--host", "h" * 254)), ("is no domain", ("--domain", "a/b")),
                                ("at most 64 certificates", [word for number in range(63) for word in ("--service", f"s{number}")]),
                                ("--days", ("--days", "0")), ("--days", ("--days", "3651"))):
            with self.subTest(arguments):
                self.assertIn(says, self.expect(2, "certs", "init", folder, *arguments).err)
                self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
