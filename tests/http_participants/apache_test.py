#!/usr/bin/python3
"""A participant behind Apache, which speaks HTTP/2 over TLS: as it runs in most houses."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../ctl"), os.path.join(HERE, "../tls")]

from certificates import Authority, read, write  # noqa: E402
from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from participant import HttpParticipant, reply  # noqa: E402

APACHE = "/usr/sbin/apache2"
MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "http2", "proxy", "proxy_http")
CONFIG = """ServerRoot {folder}
ServerName 127.0.0.1
User nobody
Group nogroup
PidFile {folder}/pid
Listen 127.0.0.1:{port}
ErrorLog {folder}/errors
LogFormat "%H %{{remote}}p %{{SSL_CLIENT_S_DN_CN}}x %>s" plain
CustomLog {folder}/access plain
SSLSessionCache shmcb:{folder}/sessions(65536)
KeepAliveTimeout 60
Protocols {protocols}
H2MaxSessionStreams {streams}
SSLEngine on
SSLCertificateFile {pair.cert}
SSLCertificateKeyFile {pair.key}
SSLCACertificateFile {ca}
SSLVerifyClient require
ProxyPass / http://127.0.0.1:{inside}/
"""
BRANCH = {"protocol": "tcc", "service": "bank", "action": "debit", "retry": {"initial_backoff": "10ms", "max_backoff": "100ms"}}


class BehindApache(CtlTest):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="assent-apache-"))
        os.chmod(self.folder, 0o755)
        self.ours = Authority()
        self.addCleanup(self.ours.close)
        self.port = free_port()
        self.pair = self.ours.make("bank")
        self.bank = HttpParticipant()
        self.addCleanup(self.bank.down)
        self.apache = None
        self.addCleanup(lambda: self.apache and self.end_apache())

    def begin_apache(self, protocols="h2", streams=100):
        modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in MODULES)
        write(f"{self.folder}/conf", modules + CONFIG.format(folder=self.folder, port=self.port, pair=self.pair, ca=self.ours.ca, protocols=protocols,
                                                             streams=streams, inside=self.bank.port))
        self.apache = subprocess.Popen([APACHE, "-f", f"{self.folder}/conf", "-DFOREGROUND"], stderr=subprocess.PIPE, text=True,
                                       start_new_session=True)
        self.until(lambda: self.apache.poll() is not None or os.path.exists(f"{self.folder}/pid"))
        if self.apache.poll() is not None:
            self.fail(self.apache.stderr.read())

    def end_apache(self):
        """At once, with all of its processes."""
        os.killpg(self.apache.pid, signal.SIGKILL)
        self.apache.wait()
        self.apache.stderr.close()
        self.apache = None
        os.remove(f"{self.folder}/pid")

    def start(self):
        own = self.ours.make("coordinator")
        self.daemon = Daemon("--tls-cert", own.cert, "--tls-key", own.key, "--tls-participant-ca", self.ours.ca, "--allow-insecure",
                             "--unary", f"bank=https://127.0.0.1:{self.port}{self.bank.path}")
        self.addCleanup(self.daemon.close)
        plain = Ctl(self.daemon.endpoint)
        self.ctl = lambda *words, **more: plain("--tls-ca", self.ours.ca, *words, **more)

    def accept(self, gid):
        self.assertIn(self.ctl("submit", "--gid", gid, "--for", "accepted", stdin=json.dumps({"branches": [BRANCH]})).code, (0, 11))

    def requests(self):
        """Protocol, port of the connection, who has shown a certificate, and code of each."""
        return [re.fullmatch(r"(\S+) (\d+) (.*) (\d+)", line).groups() for line in read(f"{self.folder}/access").splitlines()]

    def connections(self):
        return {port for _, port, *_ in self.requests()}

    def hold(self, count):
        """TRYs of so many transactions stand in the participant until the event that is returned."""
        go = threading.Event()
        self.addCleanup(go.set)
        self.bank.answer("debit", "TRY", lambda command: go.wait(60) and reply(command))
        for number in range(count):
            self.accept(f"held-{number}")
        return go

    def test_many_at_once_are_streams_of_few_connections(self):
        self.begin_apache()
        self.start()
        go = self.hold(40)
        self.until(lambda: self.bank.asked.count(("debit", "TRY")) >= 4)  # Apache hands on some of them at a time
        go.set()
        for number in range(40):
            self.expect(0, "wait", f"held-{number}", "--timeout", "60s")
        self.until(lambda: len(self.requests()) == 80)
        self.assertEqual({("HTTP/2.0", "coordinator", "200")}, {(protocol, who, code) for protocol, _, who, code in self.requests()})
        self.assertLessEqual(len(self.connections()), 2)

    def test_more_than_the_server_takes_at_once_wait_and_are_not_lost(self):
        self.begin_apache(streams=4)
        self.start()
        go = self.hold(20)
        self.until(lambda: self.bank.asked.count(("debit", "TRY")) >= 4)
        go.set()
        for number in range(20):
            self.expect(0, "wait", f"held-{number}", "--timeout", "60s")
        self.until(lambda: len(self.requests()) >= 40)
        self.assertEqual({("HTTP/2.0", "200")}, {(protocol, code) for protocol, _, _, code in self.requests()})

    def test_a_server_that_says_goaway_loses_nothing(self):
        """It reads its settings again, as at a renewal of its certificate: each connection ends when what is on it has been answered."""
        self.begin_apache()
        self.start()
        for turn in range(3):
            for number in range(10):
                self.accept(f"order-{turn}-{number}")
                if number == 5:
                    self.apache.send_signal(signal.SIGUSR1)
            for number in range(10):
                self.expect(0, "wait", f"order-{turn}-{number}", "--timeout", "60s")
        self.until(lambda: len(self.requests()) >= 60)
        self.assertEqual({"HTTP/2.0"}, {protocol for protocol, *_ in self.requests()})
        self.assertGreaterEqual(len(self.connections()), 4)

    def test_it_is_killed_and_comes_back_without_http_2(self):
        self.begin_apache()
        self.start()
        go = self.hold(10)
        self.until(lambda: self.bank.asked.count(("debit", "TRY")) >= 4)
        self.end_apache()
        go.set()
        self.accept("between")
        self.until(lambda: "connection refused" in self.expect(0, "show", "between", "-o", "json").json["why_not_finished"])
        self.begin_apache(protocols="http/1.1")
        for gid in ("between", *(f"held-{number}" for number in range(10))):
            self.expect(0, "wait", gid, "--timeout", "60s")
        self.assertIn("HTTP/1.1", {protocol for protocol, *_ in self.requests()})


if __name__ == "__main__":
    unittest.main()
