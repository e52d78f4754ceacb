#!/usr/bin/python3
"""SIGHUP: settings are read again. What may change does, what may not is named, and what is wrong changes nothing."""

import os
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../ctl"))

import grpc  # noqa: E402
from daemon import Ctl, CtlTest, Daemon  # noqa: E402
from load import Load  # noqa: E402


class Reload(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-reload-")
        self.addCleanup(folder.cleanup)
        self.file = f"{folder.name}/assentd.toml"
        self.write("drain-seconds = 7\nshards = 1\n")
        self.daemon = Daemon("--config", self.file)
        self.addCleanup(self.daemon.close)

    def write(self, text):
        with open(self.file + "-new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file + "-new", self.file)

    def reload(self, event):
        """What it adds to the log up to the line of this event."""
        known = len(self.daemon.log())
        self.daemon.signal(signal.SIGHUP)
        return self.until(lambda: f"event={event} " in self.daemon.log()[known:] and self.daemon.log()[known:])

    def connects(self):
        """A connection, if it is let in."""
        channel = grpc.insecure_channel(self.daemon.endpoint, options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
            return True
        except grpc.FutureTimeoutError:
            return False

    def test_takes_up_what_it_may(self):
        self.write('drain-seconds = 1\nshards = 2\nmax-connections-per-address = 1\n')
        said = self.reload("reloaded")
        self.assertIn('event=reloaded changed="max-connections-per-address,drain-seconds"', said)
        self.assertIn('event=reload_needs_restart setting=shards runs_with="1" is_now="2"', said)
        # It counts from what runs, so what still waits for a restart is said again, and what was taken up is not.
        said = self.reload("reloaded")
        self.assertIn('changed=""', said)
        self.assertIn("setting=shards", said)
        self.daemon.stop()
        self.assertIn("seconds_at_most=1 ", self.daemon_log_after_stop())

    def daemon_log_after_stop(self):
        with open(os.path.join(os.path.dirname(self.daemon.data), "assentd.log"), encoding="utf-8") as file:
            return file.read()

    def test_what_it_runs_with_is_shown(self):
        """assentctl config show: the value of this moment, and where it comes from."""
        self.ctl = Ctl(self.daemon.endpoint)

        def shown(*flags):
            settings = self.expect(0, "config", "show", "-o", "json", *flags).json
            self.assertEqual(self.file, settings["file"])
            return {one["name"]: (one["value"], one["source"], one["at_once"]) for one in settings["settings"]}

        self.assertEqual(("7", "file", True), shown()["drain-seconds"])
        self.assertEqual((f'"{self.daemon.endpoint}"', "flag", False), shown()["listen"])
        self.assertEqual(("1024", "default", False), shown()["max-payload-mib"])
        self.assertEqual({"listen", "http-listen", "data", "drain-seconds", "shards"}, set(shown("--changed")))
        self.write("shards = 2\nmax-connections = 99\n")
        self.reload("reloaded")
        self.assertEqual(("99", "file", True), shown()["max-connections"])
        self.assertEqual(("5", "default", True), shown()["drain-seconds"])
        self.assertEqual(("1", "file", False), shown()["shards"])  # what it runs with, not what the file says now
        table = self.expect(0, "config", "show")
        self.assertRegex(table.out, r"(?m)^max-connections +file +at once +99$")
        self.assertEqual(f"the file is {self.file}\n", table.err)
        self.assertEqual(65, len(self.expect(0, "config", "show", "-o", "id").out.split()))

    def test_the_limit_on_connections(self):
        self.write("max-connections = 2\nmax-connections-per-address = 2\n")
        self.reload("reloaded")
        self.assertEqual([True, True, False], [self.connects() for _ in range(3)])
        self.write("max-connections = 9\nmax-connections-per-address = 9\n")
        self.reload("reloaded")
        self.assertTrue(self.connects())

    def test_the_level_of_the_log(self):
        self.write('drain-seconds = 7\nlog-level = "error"\n')
        self.reload("reloaded")
        known = len(self.daemon.log())
        self.write('drain-seconds = 7\nshards = 3\nlog-level = "error"\n')
        self.daemon.signal(signal.SIGHUP)  # it differs, and neither that nor the end of it is said
        self.write('drain-seconds = 7\nlog-level = "error"\nnonsense = 1\n')
        self.reload("reload_refused")
        self.assertNotIn("needs_restart", self.daemon.log()[known:])
        self.assertNotIn("event=reloaded", self.daemon.log()[known:])
        self.write("drain-seconds = 7\n")
        self.assertIn('changed="log-level"', self.reload("reloaded"))

    def test_what_is_wrong_changes_nothing(self):
        self.write("drain-seconds = 1\nretenton-hours = 3\n")
        self.assertIn("assentd.toml:2: retenton-hours is no setting", self.reload("reload_refused"))
        self.write("drain-seconds = -1\n")
        self.assertIn("it takes 0 to 3600", self.reload("reload_refused"))
        os.remove(self.file)
        self.assertIn("cannot read the file", self.reload("reload_refused"))
        self.daemon.stop()
        self.assertIn("seconds_at_most=7 ", self.daemon_log_after_stop())

    def test_nobody_notices_it_under_load(self):
        load = Load(self.daemon.endpoint)
        for n in range(40):
            self.write(["log-level = \"debug\"\n", "max-connections = 50\n", "nonsense = 1\n", "max-connections = 900\n"][n % 4])
            self.reload("reload_refused" if n % 4 == 2 else "reloaded")
            load.wait_for(len(load.wait_for(0)) + 20)
        load.stop()
        self.assertEqual({"COMMITTED"}, set(load.told.values()))


if __name__ == "__main__":
    unittest.main()
