#!/usr/bin/python3
"""The HTTP port where others reach it: without TLS and rules, what a name that somebody points at it may (DNS rebinding); and the console's
login, which is taken over TLS or from this machine alone."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", folder) for folder in ("ctl", "tls")]

from certificates import Authority  # noqa: E402
from daemon import BIN, Ctl, Daemon  # noqa: E402

PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
EVIL = "evil.example"
ORDER = {"gid": "order-1", "branches": [{"protocol": "TCC", "service": "nobody", "action": "reserve"}]}


def own_address():
    """Of this machine, as others know it: that of its way to elsewhere. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


def port_of_every_address():
    """Where 127.0.0.1 is free, another address of this machine may have the port yet, of a connection that has just ended."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


class Network(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-network-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.port = port_of_every_address()
        self.context = None

    def start(self, listen, *flags):
        daemon = Daemon("--http-listen", f"{listen}:{self.port}", *flags)
        self.addCleanup(daemon.close)
        return daemon

    def with_rules(self):
        rules, tokens = os.path.join(self.folder, "rules"), os.path.join(self.folder, "tokens")
        with open(rules, "w", encoding="utf-8") as file:
            file.write("allow token:ann as operator\n")
        made = Ctl("127.0.0.1:1")("auth", "token", "ann", "--append", tokens)
        self.assertEqual(0, made.code, made)
        self.token = made.out.strip()
        return "--auth-rules", rules, "--auth-tokens", tokens

    def ask(self, method, path, address="127.0.0.1", body=None, **headers):
        """(code, headers, JSON); `headers` with _ for -."""
        if self.context is None:
            connection = http.client.HTTPConnection(address, self.port, timeout=30)
        else:
            connection = http.client.HTTPSConnection(address, self.port, timeout=30, context=self.context)
        try:
            wanted = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is not None:
                wanted["Content-Type"] = "application/json"
            connection.request(method, path, None if body is None else json.dumps(body), wanted)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def log_in(self, address="127.0.0.1", **headers):
        return self.ask("POST", "/v1/login", address, {"token": self.token}, **{name.replace("-", "_"): value for name, value in PAGE.items()}, **headers)


class Rebinding(Network):
    """A page of evil.example whose name now leads here: to a browser this port is evil.example's."""

    def rebound(self, address="127.0.0.1"):
        """What it reads, and what it does."""
        host = f"{EVIL}:{self.port}"
        return (self.ask("GET", "/v1/server", address, Host=host)[0],
                self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", address, ORDER, Host=host, Origin=f"http://{host}")[0])

    def test_on_loopback_a_name_is_nobodys(self):
        self.start("127.0.0.1")
        self.assertEqual((421, 421), self.rebound())

    def test_where_others_reach_it_it_does_not_start(self):
        for flags in ([], ["--http-tls=false"]):
            ended = subprocess.run([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", f"0.0.0.0:{self.port}", "--data", os.path.join(self.folder, "data"),
                                    *flags], capture_output=True, text=True, timeout=60)
            self.assertEqual(2, ended.returncode, ended)
            self.assertIn("http-listen is 0.0.0.0", ended.stderr)
            self.assertIn("there is no TLS", ended.stderr)

    def test_with_allow_insecure_and_no_rules_any_name_is_served(self):
        """As the page says: such a network is trusted, and what is open in its browsers with it. Pages of others that are not rebound stay out."""
        self.start("0.0.0.0", "--allow-insecure")
        self.assertEqual((200, 200), self.rebound())
        own = f"127.0.0.1:{self.port}"
        self.assertEqual(403, self.ask("POST", "/v1/transactions", body=ORDER, Host=own, Origin=f"http://{EVIL}")[0])
        self.assertEqual(403, self.ask("GET", "/v1/server", Host=own, Sec_Fetch_Site="cross-site")[0])

    def test_with_rules_a_rebound_page_is_nobody(self):
        """It has no token; and the cookie of somebody's session is of the name that he logged in at, which no page can change."""
        self.start("0.0.0.0", "--allow-insecure", *self.with_rules())
        self.assertEqual((401, 401), self.rebound())
        cookie = self.log_in()[1]["Set-Cookie"]
        self.assertNotIn("domain", cookie.lower())
        self.assertEqual(200, self.ask("GET", "/v1/server", Cookie=cookie.split(";")[0])[0])


class LoginOnPlain(Network):
    @unittest.skipUnless(own_address(), "this machine has no address but loopback")
    def test_elsewhere_it_is_refused(self):
        """And nothing that a proxy or a caller says of the way makes it another."""
        self.start("0.0.0.0", "--allow-insecure", *self.with_rules())
        address = own_address()
        for headers in ({}, {"X_Forwarded_Proto": "https"}, {"Forwarded": "for=127.0.0.1;proto=https"}, {"X_Forwarded_For": "127.0.0.1"}, {"Host": f"localhost:{self.port}"}):
            code, answered, said = self.log_in(address, **headers)
            self.assertEqual(403, code, said)
            self.assertIn("a login is taken over TLS, or from this machine", said["message"])
            self.assertNotIn("Set-Cookie", answered)
        # From the machine itself it is taken, and a program shows its token where it likes.
        code, answered, _ = self.log_in()
        self.assertEqual(200, code)
        self.assertNotIn("Secure", answered["Set-Cookie"])
        self.assertEqual(200, self.ask("GET", "/v1/server", address, Authorization=f"Bearer {self.token}")[0])


class LoginOverTls(Network):
    def setUp(self):
        super().setUp()
        ca = Authority()
        self.addCleanup(ca.close)
        own = ca.make("coordinator", "IP:127.0.0.1,DNS:localhost" + (f",IP:{own_address()}" if own_address() else ""))
        self.context = ssl.create_default_context(cafile=ca.ca)
        self.start("0.0.0.0", "--tls-cert", own.cert, "--tls-key", own.key, *self.with_rules())

    def test_the_cookie_is_of_this_host_over_tls_alone(self):
        for address in filter(None, ("127.0.0.1", own_address())):
            code, headers, said = self.log_in(address)
            self.assertEqual(200, code, said)
            name, value = headers["Set-Cookie"].split(";")[0].split("=")
            self.assertEqual(f"__Host-assent-{self.port}", name)
            # What a browser takes for a cookie of this prefix: Secure, Path=/, and no Domain.
            attributes = {one.strip() for one in headers["Set-Cookie"].split(";")[1:]}
            self.assertEqual({"Path=/", "HttpOnly", "SameSite=Strict", "Secure", "Max-Age=28800"}, attributes)
            self.assertEqual("token:ann", self.ask("GET", "/v1/login", address, Cookie=f"{name}={value}")[2]["identity"])
            # Without the prefix, as a page without TLS could have set it, it is none.
            self.assertEqual("", self.ask("GET", "/v1/login", address, Cookie=f"assent-{self.port}={value}")[2]["identity"])
            code, headers, _ = self.ask("POST", "/v1/logout", address, {}, Cookie=f"{name}={value}", x_assent_csrf=said["csrf"], Sec_Fetch_Site="same-origin")
            self.assertEqual(200, code)
            cleared = headers["Set-Cookie"]
            self.assertTrue(cleared.startswith(name + "=;"), cleared)
            self.assertIn("Max-Age=0", cleared)
            self.assertIn("Secure", cleared)
            self.assertEqual("", self.ask("GET", "/v1/login", address, Cookie=f"{name}={value}")[2]["identity"])

    def test_without_tls_nothing_is_taken_there(self):
        self.context = None
        code, headers, said = self.log_in()
        self.assertEqual(400, code)
        self.assertIn("TLS", said["message"])
        self.assertNotIn("Set-Cookie", headers)


if __name__ == "__main__":
    unittest.main()
