#!/usr/bin/python3
"""One table for all languages: what one has published another one hands over, in its order; and both at once share."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
sys.path[:0] = [os.path.join(ROOT, "tests/support"), os.path.join(ROOT, "tests/sdk_python")]

import mariadb  # noqa: E402
import postgresql  # noqa: E402

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(ROOT, "build/release/bin"))
PATIENCE_S = 120


class Process:
    """What it says comes line by line; it ends with the test."""

    def __init__(self, test, *words, **environment):
        self.lines = []
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, **environment})
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        test.addCleanup(self.process.stdout.close)
        test.addCleanup(reader.join)
        test.addCleanup(self.end)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self):
        self.process.kill()
        self.process.wait()


def until(test, what, condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        test.assertLess(time.monotonic(), end, what)
        time.sleep(0.02)


PUBLISHES = """import sqlite3, sys, assent
path, count, *key = sys.argv[1:]
assent.Outbox(path).create()
with sqlite3.connect(path, timeout=10) as connection:
    connection.execute("BEGIN IMMEDIATE")
    for i in range(int(count)):
        assent.Outbox(path).publish(connection, assent.Transaction().saga("desk", "note", f"python {i}"), key=key[0] if key else None)
"""


class OutboxOfManyLanguagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.go = os.path.join(cls.folder.name, "outbox")
        subprocess.run(["bash", "-c", 'source tools/languages.sh; go_sdk; go=$(newest_go); cd participant-sdk/go; "$go" build -o "$1" ./internal/outboxprogram',
                        "bash", cls.go], cwd=ROOT, check=True)
        cls.python = os.path.join(cls.folder.name, "python")
        subprocess.run(["bash", "-c", 'source tools/languages.sh; python_sdk "$1"', "bash", cls.python], cwd=ROOT, check=True)
        libraries = os.path.join(cls.folder.name, "libraries")
        subprocess.run(["bash", "-c", 'source tools/languages.sh; "${maven[@]}" test-compile "$java_classpath_goal" -Dmdep.includeScope=test '
                        '-Dmdep.outputFile="$1"', "bash", libraries], cwd=ROOT, check=True)
        target = os.path.join(ROOT, "participant-sdk/java/target")
        with open(libraries, encoding="utf-8") as text:
            cls.java = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{target}/test-classes:{target}/classes:{text.read().strip()}",
                        "assent.jdbc.OutboxProgram"]

    def daemon(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        daemon = Process(self, os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", "none", "--data", folder.name + "/data")
        until(self, "assentd listens", lambda: any(line.strip().startswith("see ") for line in daemon.lines))
        return re.search(r"127\.0\.0\.1:\d+", " ".join(daemon.lines)).group()

    def program(self, language, *words):
        if language == "python":
            return []
        if language == "go":
            return [self.go, *self.source["go"], self.endpoint, *words]
        return [*self.java, self.source["java"], self.endpoint, *words]

    def publish(self, language, *words):
        program = self.program(language, "publish", *words)
        if language == "python":
            program = ["/usr/bin/python3", "-B", "-c", PUBLISHES, self.source["python"], *words]
        subprocess.run(program, check=True, timeout=PATIENCE_S, env={**os.environ, "PYTHONPATH": self.python})

    def relay(self, language):
        if language != "python":
            return Process(self, *self.program(language, "relay"))
        return Process(self, "/usr/bin/python3", "-B", os.path.join(ROOT, "tests/sdk_python/outbox_relay.py"), "--database", "sqlite",
                       OUTBOX_DATABASE=self.source["python"], ASSENT_ENDPOINT=self.endpoint, PYTHONPATH=self.python)

    def come(self, count):
        until(self, f"{count} have come: {self.desk.lines}", lambda: len(self.notes()) >= count)
        return self.notes()

    def notes(self):
        return [line for line in self.desk.lines if line.startswith(("go ", "java ", "python "))]

    def check(self, **source):
        self.source = source
        self.endpoint = self.daemon()
        languages = list(source)
        for writer, relayer in zip(languages, languages[1:] + languages[:1]):
            with self.subTest(writer=writer, relayer=relayer):
                self.desk = Process(self, *self.program("go", "serve"))
                self.publish(writer, "20", f"account Ä of {writer}")  # what is left with a lease of a relay that was killed keeps nobody
                self.publish(writer, "10")
                relay = self.relay(relayer)
                notes = self.come(30)
                self.assertEqual(sorted(notes), sorted([f"{writer} {i}" for i in range(20)] + [f"{writer} {i}" for i in range(10)]), relay.lines)
                relay.end()
                self.desk.end()
        self.desk = Process(self, *self.program("go", "serve"))
        for writer in languages * 2:
            self.publish(writer, "15", "one key")
        relays = [self.relay(language) for language in languages]
        want = [f"{writer} {i}" for writer in languages * 2 for i in range(15)]
        self.assertEqual(self.come(len(want)), want)
        self.assertEqual([relay.process.poll() for relay in relays], [None] * len(languages))

    def test_sqlite(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/shop.db"
            self.check(go=["sqlite", path + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"], java="jdbc:sqlite:" + path,
                       python=path)

    def test_postgresql(self):
        if postgresql.bin_folder() is None:
            self.skipTest("no PostgreSQL is installed")
        with postgresql.Server() as server:
            name = server.new_database()
            self.check(go=["pgx", server.url(name)], java=f"jdbc:postgresql://127.0.0.1:{server.port}/{name}?user={postgresql.USER}")

    def test_mariadb(self):
        if mariadb.program("mariadbd") is None:
            self.skipTest("no MariaDB is installed")
        with mariadb.Server() as server:
            name = server.new_database()
            self.check(go=["mysql", f"root@tcp(127.0.0.1:{server.port})/{name}"], java=f"jdbc:mariadb://127.0.0.1:{server.port}/{name}?user=root")


if __name__ == "__main__":
    unittest.main()
