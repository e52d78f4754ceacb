#!/usr/bin/python3
"""assentctl debug-bundle: what is in it, and what is not."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from daemon import Ctl, CtlTest, Daemon, unittest  # noqa: E402
from load import wire  # noqa: E402

SECRETS = ("secret-payload", "secret-result", "secret-header", "secret-label", "secret-password")


class Bundle(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-bundle-")
        self.addCleanup(folder.cleanup)
        self.file = f"{folder.name}/bundle.tar"

    def run_daemon(self, *arguments):
        os.environ["PGPASSWORD"] = "secret-password"
        self.addCleanup(os.environ.pop, "PGPASSWORD")
        daemon = Daemon("--shards", "2", *arguments)
        self.addCleanup(daemon.close)
        self.ctl = Ctl(daemon.endpoint)
        return daemon

    def members(self):
        with tarfile.open(self.file) as tar:
            for member in tar:
                self.assertTrue(member.isreg())
                self.assertEqual(0o600, member.mode)
            return {member.name: tar.extractfile(member).read() for member in tar}

    def test_nothing_of_what_is_not_ours(self):
        daemon = self.run_daemon("--http-listen", "127.0.0.1:0", "--log-level", "debug")
        # It has voted, with a result, and has one that says no, in words of its own.
        session = wire.Session(daemon.endpoint, "shop", lambda command: wire.part.BranchReply(
            gid=command.gid, branch_id=command.branch_id, operation=command.operation, command_id=command.command_id,
            kind=wire.DONE, result=b"secret-result"), (("act", wire.types.TCC),))
        self.assertTrue(session.welcome.wait(30))
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(daemon.endpoint))
        branches = [wire.branch(service, payload=b"secret-payload", headers={"h": "secret-header"}) for service in ("shop", "nobody")]
        spec = wire.spec("order-17", *branches, deadline_ms=86_400_000, labels={"customer": "secret-label"})
        stub.Submit(wire.tx.SubmitRequest(transaction=spec, wait_for=wire.types.WAIT_ACCEPTED), timeout=30)
        shown = self.until(lambda: (said := self.ctl("show", "order-17", "-o", "json", "--payloads").out) and "EXECUTED" in said and said)
        self.assertIn("secret-label", shown)  # it is there to be found

        done = self.expect(0, "debug-bundle", self.file, "--log-file", os.path.join(os.path.dirname(daemon.data), "assentd.log"))
        self.assertEqual(0o600, os.stat(self.file).st_mode & 0o777)
        members = self.members()
        self.assertEqual(["assentctl.txt", "server.json", "settings.json", "causes.json", "participants.json", "cluster.json",
                          "metrics.txt", "assentd.log", "contents.txt"], list(members))
        for name in members:
            if name != "contents.txt":
                self.assertRegex(done.out, rf"(?m)^{name} ")
            for secret in SECRETS:
                self.assertNotIn(secret.encode(), members[name], name)
        with open(self.file, "rb") as file:
            self.assertNotIn(b"secret", file.read().replace(b"webhook-secret-file", b"").replace(b"unary-secrets-file", b""))
        # It says what is going on.
        self.assertEqual(1, json.loads(members["server.json"])["active"])
        self.assertIn(b"nobody: not connected", members["causes.json"])
        self.assertEqual({"shop"}, {one["service"] for one in json.loads(members["participants.json"])["participants"] if one.get("instances")})
        self.assertIn({"name": "shards", "value": "2", "source": "flag", "at_once": False}, json.loads(members["settings.json"])["settings"])
        self.assertIn(b"\nassent_transactions_in_flight", b"\n" + members["metrics.txt"])
        self.assertIn(b"event=recovered", members["assentd.log"])
        self.assertIn(b"asked " + daemon.endpoint.encode(), members["assentctl.txt"])
        listed = subprocess.run(["tar", "tvf", self.file], capture_output=True, text=True)  # another reader of such files
        self.assertEqual((0, "", 9), (listed.returncode, listed.stderr, len(listed.stdout.splitlines())))

    def test_what_cannot_be_had_is_said(self):
        daemon = self.run_daemon()
        log = f"{self.file}.log"
        with open(log, "w", encoding="utf-8") as file:
            file.write("".join(f"line {n:07}\n" for n in range(200_000)))
        done = self.expect(7, "debug-bundle", self.file, "--log-file", log)
        self.assertRegex(done.out, r"(?m)^metrics.txt +is missing: there are no metrics without --http-listen$")
        kept = self.members()["assentd.log"].decode().splitlines()
        self.assertEqual("line 0199999", kept[-1])
        self.assertRegex(kept[0], r"^line \d{7}$")
        self.assertLessEqual(len(kept) * 13, 1 << 20)
        # Over nobody's; and not at all without a coordinator.
        self.assertIn("is left as it is", self.expect(5, "debug-bundle", self.file).err)
        self.expect(7, "debug-bundle", f"{self.file}2", "--log-file", "/nowhere")
        daemon.kill()
        self.expect(3, "debug-bundle", f"{self.file}3")
        self.assertFalse(os.path.exists(f"{self.file}3"))


if __name__ == "__main__":
    unittest.main()
