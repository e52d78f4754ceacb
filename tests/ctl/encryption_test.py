#!/usr/bin/python3
"""A sealed log, in SQLite and in PostgreSQL: where secrets are not, keys that change under load and kills, keys that are missing."""

import base64
import glob
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../support"), os.path.join(HERE, "../webhook")]

import postgresql  # noqa: E402
from collected import Collector  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon, free_port, unittest  # noqa: E402
from load import Load, wire  # noqa: E402
from receiver import SECRET as WEBHOOK_SECRET, Receiver  # noqa: E402

SECRETS = ("secret-payload", "secret-result", "secret-header", "secret-label")
GIDS = ("ends", "waits", "breaks")
WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


def written(secret):
    """As it may stand in a file: as it is, in hexadecimal as PostgreSQL shows bytes, in base64 at any place."""
    yield secret.encode()
    yield secret.encode().hex().encode()
    for skip in range(3):
        whole = base64.b64encode(b"\0" * skip + secret.encode())
        yield whole[-(-skip * 8 // 6) + (skip > 0):len(whole) // 4 * 4 - 4]


class Sealed(CtlTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="assent-sealed-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.keys = f"{self.folder}/keys"
        self.ctl = Ctl("127.0.0.1:1")
        self.expect(0, "keys", "init", self.keys, "k1")

    def run_daemon(self, *arguments):
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--log-level", "debug", "--http-listen", self.http, *arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        return self.daemon

    def try_start(self, *arguments):
        """Of a start that is refused: code and last words."""
        done = subprocess.run([os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", f"127.0.0.1:{free_port()}", "--data", self.daemon.data,
                               *arguments], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    def walked(self):
        """What the walks of this daemon's last start have counted."""
        starts = self.daemon.log().split("event=encryption keys=")
        return re.findall(r'event=encryption_walk rows="([^"]*)"', starts[-1])

    def keys_text(self, text=None):
        """What the file of keys says; or it says that from now on."""
        if text is None:
            with open(self.keys, encoding="utf-8") as file:
                return file.read()
        with open(self.keys, "w", encoding="utf-8") as file:
            return file.write(text)

    def reload(self, event):
        """SIGHUP, and until the log has one event more of this name."""
        before = self.daemon.log().count(f"event={event} ")
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: self.daemon.log().count(f"event={event} ") > before)

    def answer(self, command):
        refused = command.gid == "breaks" and command.operation == wire.types.CONFIRM
        return wire.part.BranchReply(kind=wire.part.BranchReply.REFUSED if refused else wire.DONE, reason="not reserved here" if refused else "",
                                     result=b"" if refused else b"secret-result")

    def make_transactions(self):
        """One that ends, with a result, one that cannot, and one that needs a person, all with secrets wherever somebody may put one."""
        self.session = wire.Session(self.daemon.endpoint, "shop", self.answer, (("act", wire.types.TCC),))
        self.assertTrue(self.session.welcome.wait(30))
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint))
        hour = wire.types.RetryPolicy(initial_backoff_ms=3_600_000, max_backoff_ms=3_600_000)
        for gid, services in (("ends", ("shop",)), ("waits", ("shop", "nobody")), ("breaks", ("shop",))):
            branches = [wire.branch(service, payload=b"secret-payload", headers={"h": "secret-header"}, retry=hour) for service in services]
            spec = wire.spec(gid, *branches, deadline_ms=86_400_000, labels={"customer": "secret-label"})
            stub.Submit(wire.tx.SubmitRequest(transaction=spec, wait_for=wire.types.WAIT_ACCEPTED), timeout=30)
        self.ctl.until_kept("ends")
        for gid in GIDS:
            said = self.until(lambda: (out := self.ctl("show", gid, "-o", "json", "--payloads").out) and "secret-label" in out and out)
            self.assertIn("secret-payload", said)
        self.until(lambda: "breaks" in self.ctl("list", "--needs-operator", "-o", "id").out)
        self.expect(0, "suspend", "waits", "--reason", "to be looked at", "--yes")
        # Not what it should be, with a payload in it.
        for body in (b'{"transaction": {"gid": "bad", "labels": {"customer": "secret-label"}, "branches": [{"payload": "secret-payload", "x"',
                     b'{"transaction": {"branches": [{"service": {}, "headers": {"h": "secret-header"}, "payload": "secret-payload"}]}}'):
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(f"http://{self.http}/v1/transactions", data=body, method="POST",
                                                              headers={"Content-Type": "application/json"}), timeout=30)

    def found(self, places):
        """{(place, secret)} of all that are in these bytes."""
        return {(name, secret) for name, data in places.items() for secret in SECRETS for form in written(secret) if form in data}

    def receivers(self):
        """Of traces and of what needs a person: flags, and what they were told."""
        collector, hook = Collector(), Receiver()
        self.addCleanup(collector.close)
        self.addCleanup(hook.close)
        secret = f"{self.folder}/webhook-secret"
        with open(secret, "w", encoding="utf-8") as file:
            file.write(WEBHOOK_SECRET)
        os.chmod(secret, 0o600)
        flags = ("--trace-endpoint", collector.url, "--webhook-url", f"http://127.0.0.1:{hook.port}/", "--webhook-secret-file", secret)
        return flags, collector, hook

    def seen_outside(self, collector, hook):
        """What leaves a coordinator, and is nobody's log."""
        bundle = f"{self.folder}/bundle-{len(os.listdir(self.folder))}.tar"
        self.expect(0, "debug-bundle", bundle, "--log-file", os.path.join(os.path.dirname(self.daemon.data), "assentd.log"))
        self.until(lambda: len(collector.told) > 0 and any(b"breaks" in body for _, _, body, _ in hook.events))
        with open(bundle, "rb") as file, urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30) as metrics:
            seen = {"log": self.daemon.log().encode(), "bundle": file.read(), "traces": b"".join(collector.told), "metrics": metrics.read(),
                    "webhooks": b"".join(body for _, _, body, _ in hook.events), "audit": self.expect(0, "audit", "-o", "json").out.encode()}
        self.assertIn(b"service=shop", seen["log"])  # which names no transaction that goes its way
        for what in ("bundle", "traces", "webhooks", "audit"):
            self.assertTrue(any(gid.encode() in seen[what] for gid in GIDS), what)  # it is about them
        # No key is shown by anybody either.
        for key in re.findall(r"(?m)^[a-z0-9-]+ (\S{44})", self.keys_text()):
            for what, data in {**seen, **self.files(self.daemon.data)}.items():
                self.assertNotIn(key.encode(), data, what)
                self.assertNotIn(base64.b64decode(key), data, what)
        return seen

    def files(self, folder):
        every = {}
        for path in filter(os.path.isfile, glob.glob(f"{folder}/**", recursive=True)):
            with open(path, "rb") as file:
                every[path] = file.read()
        return every

    def test_secrets_are_nowhere_in_sqlite(self):
        flags, collector, hook = self.receivers()
        for sealed in (True, False):
            with self.subTest(sealed=sealed):
                hook.events.clear()
                self.run_daemon(*flags, *(("--encryption-keys", self.keys) if sealed else ()))
                self.make_transactions()
                backup = f"{self.folder}/backup-{sealed}"
                self.expect(0, "backup", backup)
                kept = {**self.files(self.daemon.data), **self.files(backup)}
                self.assertEqual(set(), self.found(self.seen_outside(collector, hook)))
                in_files = {secret for _, secret in self.found(kept)}
                self.assertEqual(set() if sealed else set(SECRETS), in_files)  # without a key they are there to be found
                self.assertEqual(0, self.daemon.stop())
                self.assertEqual(in_files, {secret for _, secret in self.found(self.files(self.daemon.data))})

    def test_secrets_are_nowhere_in_postgresql(self):
        server = postgresql.Server()
        server.start()
        self.addCleanup(server.close)
        flags, collector, hook = self.receivers()
        for sealed in (True, False):
            with self.subTest(sealed=sealed):
                hook.events.clear()
                url = server.url(server.new_database())
                self.run_daemon("--log", url, *flags, *(("--encryption-keys", self.keys) if sealed else ()))
                self.make_transactions()
                dump = subprocess.run([os.path.join(postgresql.bin_folder(), "pg_dump"), "-d", url], capture_output=True, check=True).stdout
                self.assertIn(b"ends", dump)
                self.assertEqual(set() if sealed else set(SECRETS), {secret for _, secret in self.found({"dump": dump})})
                self.assertEqual(set(), self.found(self.seen_outside(collector, hook)))
                self.assertEqual(0, self.daemon.stop())
                if not sealed:
                    continue
                # Nor in the server's own files: tables, write-ahead log, its log.
                every = self.files(server.data)
                self.assertTrue(any(b"waits" in data for data in every.values()))
                self.assertEqual(set(), self.found(every))
                code, said = self.try_start("--log", url)
                self.assertEqual(73, code, said)
                self.assertIn("sealed under key k1", said)
                self.assertIn("start with a file of --encryption-keys that has the key", said)
                other = f"{self.folder}/other"
                self.expect(0, "keys", "init", other, "k1")
                code, said = self.try_start("--log", url, "--encryption-keys", other)
                self.assertEqual(73, code, said)
                self.assertIn("another than the one it was sealed with", said)
                self.daemon.start()
                self.assertIn("SUSPENDED", self.expect(0, "show", "waits").out.upper())
                self.assertEqual(0, self.daemon.stop())

    def test_a_log_that_was_in_the_clear(self):
        """Its rows are sealed while it works; what SQLite keeps of them in free pages goes with a VACUUM, as the page says."""
        self.run_daemon()
        self.make_transactions()
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual(set(SECRETS), {secret for _, secret in self.found(self.files(self.daemon.data))})
        code, said = self.try_start("--encryption-keys", self.keys)
        self.assertEqual(73, code, said)
        self.assertIn("in the clear, which keys let through only with a line plaintext in their file", said)
        looked = self.expect(12, "doctor", "--data", self.daemon.data, "--encryption-keys", self.keys).out
        self.assertIn("3 rows are not for these keys (there are: k1)", looked)
        self.assertIn("starts with the keys of these rows, and with no others (73)", looked)
        self.assertIn("k1, plaintext", self.expect(0, "keys", "add", self.keys, "plaintext").out)
        self.run_daemon_again("--encryption-keys", self.keys)
        self.until(lambda: "k1:3" in self.walked())
        backup = f"{self.folder}/backup"
        self.expect(0, "backup", backup)
        self.assertEqual(set(), self.found(self.files(backup)), "nothing of what rows once were")
        self.keys_text(self.keys_text().replace("plaintext\n", ""))
        self.reload("encryption_reloaded")
        self.assertEqual(0, self.daemon.stop())
        self.assertIn("rows: 3 under key k1\n", self.expect(0, "doctor", "--data", self.daemon.data).out)
        with sqlite3.connect(f"{self.daemon.data}/assent.db") as database:
            database.execute("VACUUM")
        database.close()
        self.assertEqual(set(), self.found(self.files(self.daemon.data)))
        self.daemon.start()
        for gid in GIDS:
            self.assertIn("secret-label", self.expect(0, "show", gid, "-o", "json").out)
        # And back.
        self.expect(0, "keys", "use", self.keys, "plaintext")
        self.reload("encryption_reloaded")
        self.until(lambda: "plaintext:3" in self.walked())
        self.assertEqual(0, self.daemon.stop())
        self.run_daemon_again()
        self.assertIn("secret-label", self.expect(0, "show", "waits", "-o", "json").out)

    def run_daemon_again(self, *arguments):
        """Over the same folder, with other settings."""
        data = self.daemon.data
        before = self.daemon
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--log-level", "debug", "--http-listen", self.http, *arguments, "--data", data)
        self.daemon.data = data
        self.daemon.before = before  # whose folder it is
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def test_keys_change_under_load_and_kills(self):
        self.run_daemon("--encryption-keys", self.keys)
        told = {}
        load = Load(self.daemon.endpoint)
        load.wait_for(300)
        self.expect(0, "keys", "add", self.keys, "k2")
        self.expect(0, "keys", "use", self.keys, "k2")
        load.wait_for(1000)
        # A walk over so many takes a second, whatever the machine: it is in the middle of one.
        self.reload("encryption_reloaded")
        self.daemon.kill()
        self.assertFalse([one for one in self.walked() if "k2" in one])
        for deaths in range(3):
            load.stop()
            told |= load.told
            self.daemon.start()
            load = Load(self.daemon.endpoint, prefix=f"load{deaths}")
            load.wait_for(100)
            if deaths < 2:
                self.daemon.kill()
        self.until(lambda: any(re.fullmatch(r"k2:\d+", one) for one in self.walked()))
        load.stop()
        told |= load.told
        self.assertEqual(0, self.daemon.stop())
        looked = self.expect(0, "doctor", "--data", self.daemon.data).out
        self.assertRegex(looked, r"rows: \d+ under key k2\n")
        # The first key goes; with it nothing.
        self.keys_text("".join(line for line in self.keys_text().splitlines(True) if not line.startswith("k1 ")))
        self.daemon.start()
        listed = set(self.expect(0, "list", "--state", "finished", "-o", "id", "--all-pages").out.split())
        self.assertEqual(set(), set(told) - listed)
        self.assertTrue(self.expect(0, "show", *list(told)[:1], "-o", "json").json)
        self.assertNotIn("set_aside", self.daemon.log())
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30) as page:
            metrics = page.read().decode()
        self.assertIn("assent_log_rows_unopened_total 0\n", metrics)

    def test_a_key_goes_when_no_row_needs_it(self):
        """Not before each row has been counted since it does not write any more, however idle the log is."""
        self.run_daemon("--encryption-keys", self.keys)
        self.until(lambda: self.walked())  # of an empty log: no row was under k1 then
        self.expect(0, "submit", "--gid", "one", "--for", "accepted", stdin=WAITS)
        first = self.keys_text()
        self.expect(0, "keys", "add", self.keys, "k2")
        self.expect(0, "keys", "use", self.keys, "k2")
        both = self.keys_text()
        alone = "".join(re.findall(r"(?m)^k2 .*\n", both))
        # Both at once, and one behind the other without a pause.
        self.keys_text(alone)
        self.reload("encryption_reload_failed")
        self.keys_text(both)
        self.reload("encryption_reloaded")
        self.keys_text(alone)
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: "k2:1" in self.walked())
        self.reload("encryption_reloaded")
        self.assertEqual("k2:1", self.walked()[-1])
        # The same file again moves nothing.
        walks = self.until(lambda: (found := self.walked()) and found[-1] == "k2:1" and len(found))
        self.reload("encryption_reloaded")
        self.expect(0, "submit", "--gid", "two", "--for", "accepted", stdin=WAITS)
        self.assertLessEqual(len(self.walked()), walks + 1)
        self.keys_text(first)
        self.reload("encryption_reload_failed")
        self.assertIn("it lacks key k2", self.daemon.log())
        self.assertIn("encryption keys", self.expect(0, "audit", "-o", "json").out)
        self.assertEqual({"one", "two"}, set(self.expect(0, "list", "-o", "id").out.split()))

    def test_the_page(self):
        """docs/security.md on another key, line by line, and what it asks PostgreSQL."""
        with open(os.path.join(HERE, "../../docs/security.md"), encoding="utf-8") as file:
            page = file.read().split("### Another key")[1]
        server = postgresql.Server()
        server.start()
        self.addCleanup(server.close)
        database = server.new_database()
        os.unlink(self.keys)
        self.expect(0, "keys", "init", self.keys, "k2026-11")
        self.run_daemon("--log", server.url(database), "--encryption-keys", self.keys)
        for gid in ("one", "two"):
            self.expect(0, "submit", "--gid", gid, "--for", "accepted", stdin=WAITS)
        asked = re.search(r"```sql\n(.*?)```", page, re.S)[1]
        self.assertEqual("k2026-11|2", server.sql(database, asked))
        steps = re.search(r"```text\n(.*?)```", page, re.S)[1]
        done = []
        for step in re.split(r"^\$ ", steps, flags=re.M)[1:]:
            command, _, expected = step.partition("\n")
            words = shlex.split(command.replace("/etc/assent/keys", self.keys))
            done.append(words[0])
            if words[0] == "assentctl":
                self.assertEqual(expected, self.expect(0, *words[1:]).out)
            elif words[0] == "systemctl":
                self.reload("encryption_reloaded")
            elif words[0] == "journalctl":
                self.assertRegex(expected, r'^\.\.\. event=encryption_walk rows="k2027-05:\d+" sealed_anew=\d+\n$')
                self.until(lambda: "k2027-05:2" in self.walked())
                self.assertEqual("k2027-05|2", server.sql(database, asked))
            else:
                subprocess.run(words, check=True)
        self.assertEqual(["assentctl", "systemctl", "assentctl", "systemctl", "journalctl", "sed", "systemctl"], done)
        self.assertNotIn("k2026-11", self.keys_text())
        self.assertEqual(0, self.daemon.stop())
        self.daemon.start()
        self.assertEqual({"one", "two"}, set(self.expect(0, "list", "-o", "id").out.split()))

    def test_keys_that_are_missing(self):
        self.run_daemon("--encryption-keys", self.keys)
        self.expect(0, "submit", "--gid", "one", "--for", "accepted", stdin=WAITS)
        self.expect(0, "keys", "add", self.keys, "k2")
        # A file that lacks a key that rows may need, or that is cut, changes nothing.
        good = self.keys_text()
        for bad in ("".join(re.findall(r"(?m)^k2 .*\n", good)), "k1 x\n", "", good[:-1], good[:-20], good.replace(" active", " act")):
            self.keys_text(bad)
            self.reload("encryption_reload_failed")
        self.expect(0, "submit", "--gid", "two", "--for", "accepted", stdin=WAITS)
        self.assertEqual(0, self.daemon.stop())
        code, said = self.try_start("--encryption-keys", self.keys)
        self.assertEqual(2, code, said)
        self.keys_text(good)
        code, said = self.try_start()
        self.assertIn("sealed under key k1", said)
        self.assertIn("Nothing is lost: start with a file of --encryption-keys that has the key", said)
        self.assertEqual(73, code, said)
        os.chmod(self.keys, 0o644)
        code, said = self.try_start("--encryption-keys", self.keys)
        self.assertEqual(2, code, said)
        self.assertIn("chmod 600", said)
        os.chmod(self.keys, 0o600)
        # Without keys doctor counts, with them it looks.
        looked = self.expect(0, "doctor", "--data", self.daemon.data).out
        self.assertIn("2 under key k1", looked)
        self.assertIn("were not looked into: no keys were given", looked)
        looked = self.expect(0, "doctor", "--data", self.daemon.data, "--encryption-keys", self.keys, "-o", "json").json
        self.assertEqual({"ACTIVE"}, {row["state"] for row in looked["rows"]})
        self.daemon.start()
        self.assertEqual({"one", "two"}, set(self.expect(0, "list", "-o", "id").out.split()))

    def test_the_file_of_keys_changes_under_a_lock(self):
        """Each that says OK has added its key; a link leads where it led."""
        link = f"{self.folder}/link"
        os.symlink(self.keys, link)
        for n in range(10):
            adds = [subprocess.Popen([os.path.join(BIN, "assentctl"), "keys", "add", link, f"n{n}-{k}"], stdout=subprocess.DEVNULL) for k in range(3)]
            self.assertEqual([0, 0, 0], [add.wait(60) for add in adds])
        self.assertTrue(os.path.islink(link))
        self.assertEqual({"k1"} | {f"n{n}-{k}" for n in range(10) for k in range(3)}, set(re.findall(r"(?m)^([a-z0-9-]+) \S{44}", self.keys_text())))
        self.assertEqual({"keys", "link"}, set(os.listdir(self.folder)))

    def test_members_with_and_without_a_key(self):
        """One that has no key starts while nothing is sealed; what it takes over sealed it sets aside, and it is back with the key."""
        server = postgresql.Server()
        server.start()
        self.addCleanup(server.close)
        url = server.url(server.new_database())
        flags = ("--log", url, "--lease-seconds", "1")
        self.expect(0, "keys", "add", self.keys, "plaintext")  # for what the other one writes
        self.run_daemon(*flags, "--node", "without")
        without = self.daemon
        self.run_daemon(*flags, "--node", "with", "--encryption-keys", self.keys)
        sealing = self.daemon
        for n in range(16):
            for daemon in (without, sealing):
                Ctl(daemon.endpoint)("submit", "--gid", f"{n}-{daemon is sealing}", "--for", "accepted", stdin=WAITS)
        gids = {f"{n}-{sealed}" for n in range(16) for sealed in (True, False)}
        counted = self.until(lambda: [int(n) for n in re.findall(r"k1:(\d+)", " ".join(self.walked()))] or [0])
        self.assertTrue(counted)
        sealing.kill()
        # What the dead one had: there, and not readable; what was its own: as ever.
        ctl = Ctl(without.endpoint)
        self.until(lambda: "event=set_aside" in without.log())
        self.assertIn("sealed under key k1, which is not among the keys", without.log())
        told = self.until(lambda: (said := {gid: ctl("show", gid) for gid in gids})
                          and all(one.code == 0 or "sealed under key k1" in one.err for one in said.values()) and said)
        aside = {gid for gid, one in told.items() if one.code != 0}
        self.assertTrue(aside)
        self.assertLess(len(aside), len(gids))
        again = ctl("submit", "--gid", min(aside), "--for", "accepted", stdin=WAITS.replace("nobody", "somebody"))
        self.assertNotEqual(0, again.code, again)  # it is not taken for absent
        # It does not start again without the key; with it all is there.
        without.kill()
        code, said = self.try_start(*flags, "--node", "without")
        self.assertEqual(73, code, said)
        self.assertIn("sealed under key k1", said)
        sealing.start()
        ctl = Ctl(sealing.endpoint)
        self.until(lambda: gids == set(ctl("list", "-o", "id").out.split()))
        for gid in gids:
            self.until(lambda: ctl("show", gid).code == 0)

    def test_a_backup_wants_its_keys(self):
        self.run_daemon("--encryption-keys", self.keys)
        self.expect(0, "submit", "--gid", "one", "--for", "accepted", stdin=WAITS)
        backup, data = f"{self.folder}/backup", f"{self.folder}/restored"
        self.expect(0, "backup", backup)
        self.assertEqual(0, self.daemon.stop())
        refused = self.expect(5, "restore", backup, "--data", data, "--yes")
        self.assertIn("of no use without its keys", refused.err)
        shutil.rmtree(data, ignore_errors=True)
        self.expect(0, "restore", backup, "--data", data, "--encryption-keys", self.keys, "--yes")
        self.assertNotIn(b"nobody", b"".join(self.files(data).values()))
        self.daemon.data = data
        self.daemon.start()
        self.assertIn("nobody", self.expect(0, "show", "one").out)

    def test_what_is_put_out_of_service_comes_back(self):
        self.run_daemon("--encryption-keys", self.keys)
        self.expect(0, "submit", "--gid", "one", "--for", "accepted", stdin=WAITS)
        self.assertEqual(0, self.daemon.stop())
        self.expect(0, "doctor", "--data", self.daemon.data, "--out-of-service", "one", "--reason", "a test", "--yes")
        self.daemon.start()
        self.assertIn("a test", self.ctl("show", "one").err)
        self.until(lambda: self.walked())
        self.assertEqual(0, self.daemon.stop())
        self.expect(0, "doctor", "--data", self.daemon.data, "--put-back", "one", "--reason", "a test", "--yes")
        self.daemon.start()
        self.assertIn("nobody", self.expect(0, "show", "one").out)

    def test_a_log_that_moves_stays_sealed(self):
        server = postgresql.Server()
        server.start()
        self.addCleanup(server.close)
        url = server.url(server.new_database())
        self.run_daemon("--encryption-keys", self.keys)
        self.make_transactions()
        self.assertEqual(0, self.daemon.stop())
        self.expect(0, "migrate", "--from", f"sqlite:{self.daemon.data}", "--to", url)
        dump = subprocess.run([os.path.join(postgresql.bin_folder(), "pg_dump"), "-d", url], capture_output=True, check=True).stdout
        self.assertEqual(set(), self.found({"dump": dump}))
        self.run_daemon("--log", url, "--encryption-keys", self.keys)
        for gid in GIDS:
            self.assertIn("secret-label", self.expect(0, "show", gid, "-o", "json").out)


if __name__ == "__main__":
    unittest.main()
