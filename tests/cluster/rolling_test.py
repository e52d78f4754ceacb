#!/usr/bin/python3
"""Three coordinators are restarted one after the other under load, as docs/cluster.md says: no call fails."""

import os
import re
import subprocess
import unittest

import members
import postgresql

WITHIN_S = 60
ADDRESS_IN_USE = 69


class Rolling(unittest.TestCase):
    def setUp(self):
        self.server = postgresql.Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.database = self.server.new_database()
        self.nodes = [members.Member(f"node{i}", self.server.url(self.database), "--new-log-slots", "64") for i in range(3)]
        for node in self.nodes:
            self.addCleanup(node.close)
            node.start()
        self.endpoints = ",".join(node.endpoint for node in self.nodes)
        self.ctl = members.Ctl(self.endpoints)
        self.until(lambda: min(self.shares().values()) >= 16, "shared")

    def until(self, condition, what):
        postgresql.until(condition, WITHIN_S, lambda: f"{what}: {self.shares()}")

    def shares(self):
        owned = {node.name: 0 for node in self.nodes}
        for line in self.server.sql(self.database, "SELECT node, count(*) FROM assent.slot s JOIN assent.member m "
                                    "ON m.epoch = s.owner AND NOT m.ended GROUP BY 1").split():
            name, count = line.split("|")
            owned[name] = int(count)
        return owned

    def restart_each(self, leave):
        caller = subprocess.Popen([os.path.join(members.BIN, "cluster-caller"), self.endpoints, "3"],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(caller.kill)
        self.assertEqual("calling\n", caller.stdout.readline())
        for node in self.nodes:
            leave(node)
            self.assertEqual(0, node.terminate(), node.words())
            node.start()
            self.until(lambda: min(self.shares().values()) >= 16, f"shared after the restart of {node.name}")
        caller.terminate()
        words, _ = caller.communicate(timeout=WITHIN_S)
        self.assertEqual(0, caller.returncode, words)
        print(words.strip())
        return int(re.search(r"calls=(\d+) failed=0", words).group(1))

    def test_drained_first(self):
        def drain(node):
            drained = self.ctl("cluster", "drain", node.name, "--wait")
            self.assertEqual(0, drained.code, drained)
            self.assertEqual(0, self.shares()[node.name])
        self.assertGreater(self.restart_each(drain), 100)

    def test_sigterm_alone(self):
        self.assertGreater(self.restart_each(lambda node: None), 100)

    def test_a_start_where_one_runs_ends_nobody(self):
        def members_ever():
            return self.server.sql(self.database, "SELECT epoch, ended FROM assent.member ORDER BY 1")
        before = members_ever()
        for name in (self.nodes[0].name, "another"):
            second = subprocess.run([name if word == self.nodes[0].name else word for word in self.nodes[0].argv],
                                    capture_output=True, text=True, timeout=WITHIN_S, check=False)
            self.assertEqual(ADDRESS_IN_USE, second.returncode, second)
            self.assertIn(f"process {self.nodes[0].process.pid} (assentd) listens there", second.stderr)
            self.assertEqual(before, members_ever())
        self.assertIsNone(self.nodes[0].process.poll(), self.nodes[0].words())


if __name__ == "__main__":
    unittest.main(verbosity=2)
