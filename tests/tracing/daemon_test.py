#!/usr/bin/python3
"""The settings of tracing: what makes no sense, what stays secret, and nothing at all where it is off."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(ROOT, "tests/ctl"))

from daemon import BIN, Ctl, CtlTest, Daemon, free_port  # noqa: E402
from scripted_participant import ScriptedParticipant  # noqa: E402

TOKEN = "a token that nobody else sees"


class Settings(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-tracing-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        return f"{self.folder}/{name}"

    def assentd(self, *flags):
        return subprocess.run([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", "none", "--data", f"{self.folder}/data", *flags],
                              capture_output=True, text=True, timeout=60, check=False)

    def test_settings_that_make_no_sense(self):
        good = ["--trace-endpoint", "http://127.0.0.1:4318"]
        for flags, said in (
                (["--trace-headers-file", self.file("good", "A: b\n")], "of use with trace-endpoint alone"),
                ([*good, "--trace-headers-file", self.file("bad", "A: b\nhush\n")], "line 2 is no \"Name: value\""),
                ([*good, "--trace-headers-file", f"{self.folder}/none"], "it cannot be read"),
                ([*good, "--trace-service-name", ""], "trace-service-name is \"\": it takes 1 to 128"),
                ([*good, "--trace-service-name", "a b"], "trace-service-name is \"a b\""),
                ([*good, "--trace-service-name", "a" * 129], "it takes 1 to 128"),
                *(([*good, "--trace-sample-ratio", ratio], "it takes 0 to 1") for ratio in ("-0.1", "1.1", "nan", "half", "inf", "")),
                *((["--trace-endpoint", url], "it takes http://HOST:PORT/PATH")
                  for url in ("ftp://a:1/", "http://a/", "http://u:hush@a:1/", "http://a:1/?token=hush", "4318")),
                *((["--trace-url", url], "with {trace_id} in it once")
                  for url in ("http://a/", "ftp://a/{trace_id}", "http://{trace_id}", "http://u@a/{trace_id}", "http://a/{trace_id}{trace_id}", "http://a/{gid}/{trace_id}",
                              "http://a/\"{trace_id}", "http://a/<{trace_id}", "http://a/ {trace_id}", "/{trace_id}", "https:///{trace_id}",
                              "http://a/" + "x" * 1006 + "{trace_id}"))):
            ended = self.assentd(*flags)
            self.assertEqual(2, ended.returncode, f"{flags}: {ended}")
            self.assertIn(said, ended.stderr, flags)
            self.assertNotIn("hush", ended.stderr)

    def test_settings_that_do(self):
        for flags in (["--trace-endpoint", "http://127.0.0.1:4318"], ["--trace-url", "https://a.b/trace/{trace_id}?orgId=1"],
                      ["--trace-url", "http://a:16686/" + "x" * 999 + "{trace_id}"], ["--trace-service-name", "a" * 128], ["--trace-sample-ratio", "0"],
                      ["--config", self.file("whole.toml", "trace-sample-ratio = 1\n")]):
            self.assertEqual((0, "settings are sound\n"), ((ended := self.assentd(*flags, "--check-config")).returncode, ended.stdout), flags)
        # What it names is looked at as a start would.
        url = ["--webhook-url", "http://127.0.0.1:1/", "--webhook-secret-file"]
        for flags, words in ((["--trace-endpoint", "http://127.0.0.1:4318", "--trace-headers-file", "/nope"], "trace-headers-file is /nope: "),
                             ([*url, "/nope"], "webhook-secret-file is /nope: "), ([*url, self.file("short", "secret")], "16 to 4096 bytes")):
            ended = self.assentd(*flags, "--check-config")
            self.assertEqual((2, ""), (ended.returncode, ended.stdout), flags)
            self.assertIn(words, ended.stderr)
        file = self.file("assentd.toml", "trace-sample-ratio = 0.25\n")
        self.assertIn("trace-sample-ratio = \"0.25\"  # file", self.assentd("--config", file, "--show-config").stdout)
        printed = self.assentd("--config", file, "--print-config").stdout
        self.assertIn("\ntrace-sample-ratio = 0.25\n", printed)
        again = self.file("again.toml", printed)
        self.assertIn("trace-sample-ratio = \"0.25\"  # file", self.assentd("--config", again, "--show-config").stdout)

    def test_the_token_stays_where_it_is(self):
        headers = self.file("headers", f"Authorization: Bearer {TOKEN}\n")
        daemon = Daemon("--http-listen", f"127.0.0.1:{free_port()}", "--trace-endpoint", f"http://127.0.0.1:{free_port()}", "--trace-headers-file", headers)
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        shown = self.expect(0, "config", "show").out
        self.assertIn(headers, shown)
        self.assertNotIn(TOKEN, shown)
        self.expect(0, "debug-bundle", f"{self.folder}/bundle.tar")
        with tarfile.open(f"{self.folder}/bundle.tar") as tar:
            for member in tar:
                self.assertNotIn(TOKEN.encode(), tar.extractfile(member).read())
        self.assertNotIn(TOKEN, daemon.log())

    def test_off(self):
        """Without a collector there is no thread for one, and no figure moves."""
        shop = ScriptedParticipant()
        self.addCleanup(shop.down)
        http = f"127.0.0.1:{free_port()}"
        daemon = Daemon("--unary", f"shop={shop.address}", "--http-listen", http)
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        self.expect(0, "submit", "--gid", "g", stdin=json.dumps({"branches": [{"protocol": "tcc", "service": "shop", "action": "reserve"}]}))
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=30) as page:
            figures = re.findall(r"^(assent_trace_\S+) (\S+)$", page.read().decode(), re.M)
        self.assertEqual(6, len(figures), figures)
        self.assertEqual({"0"}, {value for _, value in figures})
        self.until(lambda: "assent-unary" in daemon.threads())
        self.assertNotIn("tracing", daemon.threads())

    def test_on(self):
        """And where to look at a trace is told to who asks about the server."""
        http, url = f"127.0.0.1:{free_port()}", "https://traces/{trace_id}"
        daemon = Daemon("--http-listen", http, "--trace-endpoint", f"http://127.0.0.1:{free_port()}", "--trace-url", url)
        self.addCleanup(daemon.close)
        self.until(lambda: "tracing" in daemon.threads())  # it names itself
        self.assertNotIn("assent-unary", daemon.threads(), "nobody is dialled")
        with urllib.request.urlopen(f"http://{http}/v1/server", timeout=30) as answer:
            self.assertEqual(url, json.load(answer)["traceUrl"])


if __name__ == "__main__":
    unittest.main()
