#!/usr/bin/python3
"""JWTs at both doors of a real daemon: what is taken and what is not, other keys, and who tries too often."""

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from issuer import Issuer, jwks  # noqa: E402
from rig import BIN, PATIENCE_SECONDS, Daemon  # noqa: E402

MAX_FAILURES = 20
WINDOW_SECONDS = 60
SKEW_SECONDS = 30
OK, UNAUTHENTICATED = (grpc.StatusCode.OK, 200), (grpc.StatusCode.UNAUTHENTICATED, 401)
DENIED, BARRED = (grpc.StatusCode.PERMISSION_DENIED, 403), (grpc.StatusCode.RESOURCE_EXHAUSTED, 429)


class Bench(unittest.TestCase):
    more = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-jwt-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.rsa, self.ec = Issuer(self.folder, "rsa", "RS256"), Issuer(self.folder, "ec")
        self.tokens = os.path.join(self.folder, "tokens")
        self.token = {name: subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", name, "--append", self.tokens], check=True,
                                           capture_output=True, text=True).stdout.strip() for name in ("known", "fresh")}
        self.rules, self.keys = os.path.join(self.folder, "rules"), os.path.join(self.folder, "keys")
        self.write(self.rules, "allow jwt:ann as viewer\nallow token:* as viewer\n")
        self.write(self.keys, jwks(self.rsa, self.ec))
        self.daemon = Daemon("--auth-rules", self.rules, "--auth-tokens", self.tokens, "--auth-jwks", self.keys,
                             "--auth-jwt-issuer", "https://issuer", "--auth-jwt-audience", "assent", *self.more)
        self.addCleanup(self.daemon.close)
        channel = grpc.insecure_channel(self.daemon.endpoint)
        self.addCleanup(channel.close)
        self.list = channel.unary_unary("/assent.v1.TransactionService/List")

    @staticmethod
    def write(path, text):
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def by_grpc(self, credential):
        """(code, words, trailers)"""
        try:
            _, call = self.list.with_call(b"", metadata=(("authorization", "Bearer " + credential),), timeout=PATIENCE_SECONDS)
            return grpc.StatusCode.OK, "", dict(call.trailing_metadata())
        except grpc.RpcError as failed:
            return failed.code(), failed.details(), dict(failed.trailing_metadata())

    def by_http(self, credential, source="127.0.0.1", target="/v1/transactions"):
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=PATIENCE_SECONDS, source_address=(source, 0))
        try:
            connection.request("GET", target, headers={"Authorization": "Bearer " + credential} if credential else {})
            response = connection.getresponse()
            return response.status, response.read().decode(), dict(response.getheaders())
        finally:
            connection.close()

    def both(self, credential, expected, words=""):
        code, said, _ = self.by_grpc(credential)
        self.assertEqual(expected[0], code, said)
        self.assertIn(words, said)
        code, said, _ = self.by_http(credential)
        self.assertEqual(expected[1], code, said)
        self.assertIn(words, said)

    def reload(self, event):
        with open(self.daemon.log, encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            self.daemon.process.send_signal(signal.SIGHUP)
            text = ""
            while event not in text:
                self.assertIsNone(self.daemon.process.poll())
                text += log.readline()
        return text

    def figures(self):
        _, page, _ = self.by_http(self.token["known"], target="/metrics")
        found = dict(re.findall(r'^assent_auth_failures_total\{reason="(\w+)"\} (\d+)$', page, re.M))
        found["addresses"] = re.search(r"^assent_auth_barred_addresses (\d+)$", page, re.M)[1]
        return {name: int(value) for name, value in found.items()}


class Jwts(Bench):
    more = ("--max-auth-failures-per-address", "0")

    def test_who_is_taken(self):
        for issuer in (self.rsa, self.ec):
            self.both(issuer.jwt("ann"), OK)
            self.both(issuer.jwt("ann", aud=["other", "assent"]), OK)
            self.both(issuer.jwt("bob"), DENIED, "jwt:bob may not see transactions")
        self.both(self.token["known"], OK)

    def test_who_is_not(self):
        now = int(time.time())
        stranger = Issuer(self.folder, "stranger")
        stranger.kid = "ec"
        other_algorithm = Issuer(self.folder, "other", "RS256")
        other_algorithm.kid, other_algorithm.algorithm = "rsa", "PS256"
        for jwt, words in (
                (self.ec.jwt("ann", header={"alg": "none"}), "its alg"),
                (self.ec.jwt("ann", header={"alg": "None"}), "its alg"),
                (self.rsa.jwt("ann", secret=self.rsa.pem(), header={"alg": "HS256"}), "its alg"),
                (self.rsa.jwt("ann", secret=self.rsa.pem()), "its signature"),
                (self.rsa.jwt("ann", header={"alg": "RS512"}), "its alg"),
                (other_algorithm.jwt("ann"), "its alg"),
                (stranger.jwt("ann"), "its signature"),
                (self.ec.jwt("ann", header={"kid": "unknown"}), "its kid"),
                (self.ec.jwt("ann", header={"kid": "rsa"}), "its kid"),
                (self.ec.jwt("ann", header={"crit": ["exp"]}), "crit"),
                (self.ec.jwt("ann", aud="other"), "its aud"),
                (self.ec.jwt("ann", aud=["others"]), "its aud"),
                (self.ec.jwt("ann", iss="https://other"), "its iss"),
                (self.ec.jwt("ann", exp=None), "its exp, iss, aud or sub"),
                (self.ec.jwt(None), "its exp, iss, aud or sub"),
                (self.ec.jwt("ann", exp=now - SKEW_SECONDS), "it has expired"),
                (self.ec.jwt("ann", nbf=now + SKEW_SECONDS + 120), "it is not valid yet"),
                (self.ec.jwt("ann", iat=now + SKEW_SECONDS + 120), "it is not valid yet"),
                (self.ec.jwt("ann", more="a" * 8000), "it is none"),
                (self.ec.jwt("ann")[:-1], "it is none"),
                (self.ec.jwt("ann").rpartition(".")[0], "it is none"),
                (self.ec.jwt("ann") + "=", "it is none"),
                (self.ec.jwt("ann").replace(".", ".*", 1), "its signature"),
                ("a.b.c", "it is none")):
            self.both(jwt, UNAUTHENTICATED, words)

    def test_clocks_may_be_a_little_apart(self):
        now = int(time.time())
        self.both(self.ec.jwt("ann", exp=now - 1), OK)
        self.both(self.ec.jwt("ann", nbf=now + SKEW_SECONDS - 5, iat=now + SKEW_SECONDS - 5), OK)

    def test_one_that_is_known_ends_all_the_same(self):
        jwt = self.ec.jwt("ann", exp=int(time.time()) - SKEW_SECONDS + 10)
        self.both(jwt, OK)
        until = time.monotonic() + PATIENCE_SECONDS
        while self.by_grpc(jwt)[0] is not UNAUTHENTICATED[0]:  # the places of lists are free a moment after their answers
            self.assertLess(time.monotonic(), until)
        self.both(jwt, UNAUTHENTICATED, "it has expired")

    def test_keys_are_replaced(self):
        old, new = self.ec.jwt("ann"), Issuer(self.folder, "new")
        self.both(old, OK)
        self.both(new.jwt("ann"), UNAUTHENTICATED, "its kid")
        self.write(self.keys, jwks(self.ec, new))
        self.reload("event=auth_reloaded")
        self.both(old, OK)
        self.both(new.jwt("ann"), OK)
        # What cannot be read changes nothing.
        self.write(self.keys, jwks(new)[:-1])
        self.assertIn("auth-jwks is", self.reload("event=auth_reload_failed"))
        self.both(old, OK)
        self.write(self.keys, jwks(new))
        self.reload("event=auth_reloaded")
        self.both(old, UNAUTHENTICATED, "its kid")
        self.both(new.jwt("ann"), OK)

    def test_what_is_wrong_keeps_it_from_starting(self):
        good = {"--auth-rules": self.rules, "--auth-jwks": self.keys, "--auth-jwt-issuer": "i", "--auth-jwt-audience": "a"}
        secret = os.path.join(self.folder, "secret")
        self.write(secret, '{"keys": [{"kty": "oct", "k": "AAAA"}]}')
        for changed, words in (({"--auth-jwks": "/nowhere"}, "auth-jwks is /nowhere: it cannot be read"), ({"--auth-jwks": secret}, "key 1: it is secret"),
                               ({"--auth-jwks": self.rules}, "it is no JWKS"), ({"--auth-jwt-issuer": ""}, "are of use together"),
                               ({"--auth-jwt-audience": ""}, "are of use together"), ({"--auth-jwks": ""}, "it takes the name of a file"),
                               ({"--auth-rules": ""}, "it takes the name of a file"),
                               ({"--auth-rules": None}, "auth-jwks without auth-rules"), ({"--auth-jwt-algorithms": "RS256,none"}, "is no algorithm that is taken"),
                               ({"--auth-jwt-algorithms": "HS256"}, "is no algorithm that is taken")):
            flags = [word for flag in {**good, **changed}.items() if flag[1] is not None for word in flag]
            for more in ([], ["--check-config"]):
                done = subprocess.run([os.path.join(BIN, "assentd"), "--data", os.path.join(self.folder, "data"), *flags, *more],
                                      capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
                self.assertNotEqual(0, done.returncode, changed)
                self.assertIn(words, done.stdout + done.stderr)


class Strangers(Bench):
    def test_who_tries_too_often_is_not_looked_at(self):
        self.assertEqual(200, self.by_http(self.token["known"])[0])
        tried, begin = [], time.monotonic()
        for number in range(100):
            for code, _, _ in (self.by_grpc(f"assent_fresh_{number:064x}"), self.by_http(self.rsa.jwt("ann")[:-8] + "AAAAAAAA")):
                tried.append(code)
        self.assertLess(time.monotonic() - begin, WINDOW_SECONDS, "a machine that is too slow for what this is about")
        # Both doors count together, and all behind the last that is looked at are refused at once.
        self.assertEqual({grpc.StatusCode.UNAUTHENTICATED, 401}, set(tried[:MAX_FAILURES]))
        self.assertEqual({grpc.StatusCode.RESOURCE_EXHAUSTED, 429}, set(tried[MAX_FAILURES:]))
        code, words, trailers = self.by_grpc(self.token["fresh"])
        self.assertEqual(BARRED[0], code, "a right one that is not known waits too")
        self.assertLessEqual(int(trailers["assent-retry-after-ms"]), WINDOW_SECONDS * 1000)
        self.assertGreater(int(trailers["assent-retry-after-ms"]), 0)
        self.assertIn("come back in", words)
        code, _, headers = self.by_http(self.token["fresh"])
        self.assertEqual(BARRED[1], code)
        self.assertTrue(0 < int(headers["Retry-After"]) <= WINDOW_SECONDS, headers)
        # Many may come from an address: who is known from before goes on, and so does who shows nothing.
        self.both(self.token["known"], OK)
        self.assertEqual(401, self.by_http("")[0])
        self.assertEqual(200, self.by_http(self.token["fresh"], source="127.0.0.9")[0])
        figures = self.figures()
        self.assertEqual((MAX_FAILURES // 2, MAX_FAILURES // 2, 0, 1),
                         (figures["bad_token"], figures["bad_jwt"], figures["expired"], figures["addresses"]))
        self.assertEqual(200 - MAX_FAILURES + 2, figures["barred"])
        self.says_so_without_the_secret()

    def says_so_without_the_secret(self):
        with open(self.daemon.log, encoding="utf-8") as log:
            text, until = log.read(), time.monotonic() + PATIENCE_SECONDS
            while "event=auth_failed" not in text:
                self.assertLess(time.monotonic(), until)
                text += log.readline()
        lines = [line for line in text.splitlines() if "event=auth_failed" in line]
        self.assertRegex(lines[0], r'count=\d+ address=ipv4:127\.0\.0\.1 why=\S+')
        self.assertLess(len(lines), 10)
        for secret in ("AAAAAAAA", "0" * 32, *(token[-32:] for token in self.token.values())):
            self.assertNotIn(secret, text)

    def test_from_many_addresses_it_costs_no_memory(self):
        """More addresses than are remembered, which are 4,096."""
        def try_from(numbers):
            for number in numbers:
                self.assertEqual(401, self.by_http("assent_fresh_0", source=f"127.{1 + number // 16384}.{number // 128 % 128}.{1 + number % 128}")[0])
        try_from(range(1000))
        before = self.daemon.resident_kib()
        try_from(range(1000, 6000))
        self.assertLess(self.daemon.resident_kib() - before, 8 * 1024)
        self.assertEqual(0, self.figures()["addresses"])


if __name__ == "__main__":
    unittest.main()
