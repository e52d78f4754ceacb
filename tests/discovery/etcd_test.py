#!/usr/bin/python3
"""Participants that etcd knows: a real assentd, a real etcd, and its bad days."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import unittest

from rig import FoundTest

import etcd
from certificates import Authority
from daemon import BIN


class FoundInEtcd(FoundTest):
    def setUp(self):
        super().setUp()
        self.etcd = None

    def make_etcd(self, **more):
        self.etcd = etcd.Etcd(**more)
        self.addCleanup(self.etcd.close)
        return self.etcd

    def serve(self, *names, endpoints=None, more=("--discover-loopback",)):
        if self.etcd is None:
            self.make_etcd()
        self.start(names or ("pay=etcd:/services/pay",), "--etcd-endpoints", endpoints or self.etcd.endpoints, *more)

    def put(self, name, host, value="{}"):
        self.etcd.put(f"/services/{name}", value.replace("{}", f"{host}:{self.port}"))

    def found(self, *hosts):
        self.until(lambda: self.addresses() == self.at(*hosts))

    def test_what_is_under_a_prefix_as_it_comes_and_goes(self):
        one, two = self.instance("127.0.0.2"), self.instance("127.0.0.3")
        self.serve()
        gid, _ = self.submit(until="accepted")
        self.until(lambda: "nobody was found" in self.expect(0, "show", gid).out)
        self.put("payroll/a", "127.0.0.4")
        self.put("pay/a", "127.0.0.2")
        self.expect(0, "wait", gid)
        # As etcd's own package for Go writes it.
        self.put("pay/b", "127.0.0.3", '{"Op":0,"Addr":"{}","Metadata":{"zone":"a"}}')
        self.found("127.0.0.2", "127.0.0.3")
        self.assertEqual({"--unary pay=etcd:/services/pay"}, self.sources())
        self.served(6)
        self.assertTrue(one.asked and two.asked)
        self.etcd.delete("/services/pay/a")
        self.found("127.0.0.3")
        before = len(one.asked)
        self.served(4)
        self.assertEqual(before, len(one.asked), "who is named no more is asked no more")

    # Leases of all end together when etcd, or the way to it, was away for long.
    def test_whoever_was_there_last_stands_while_nobody_is_named(self):
        one = self.instance("127.0.0.2")
        self.serve()
        self.put("pay/a", "127.0.0.2")
        self.found("127.0.0.2")
        self.etcd.delete("/services/pay/a")
        self.until(lambda: "nobody was found; what was last found stands" in self.daemon.log())
        self.served(2)
        self.assertEqual(2, len(one.asked))
        self.instance("127.0.0.3")
        self.put("pay/b", "127.0.0.3")
        self.found("127.0.0.3")

    def test_an_etcd_that_is_killed_changes_nothing_and_is_heard_again(self):
        self.instance("127.0.0.2")
        self.serve()
        self.put("pay/a", "127.0.0.2")
        self.found("127.0.0.2")
        self.etcd.members[0].kill()
        self.until(lambda: "why=\"etcd at " in self.daemon.log())
        self.served(2)
        self.instance("127.0.0.3")
        self.etcd.members[0].start()
        self.put("pay/a", "127.0.0.3")
        self.found("127.0.0.3")
        self.served()

    def test_the_next_member_is_asked(self):
        self.make_etcd(count=3)
        self.instance("127.0.0.2")
        self.serve()
        self.put("pay/a", "127.0.0.2")
        self.found("127.0.0.2")
        first, *others = self.etcd.members
        first.kill()
        self.etcd.members = [*others, first]
        self.instance("127.0.0.3")
        others[0].until_well()
        self.put("pay/b", "127.0.0.3")
        self.found("127.0.0.2", "127.0.0.3")
        # Without a majority nobody knows, and what was known stands.
        others[0].kill()
        self.until(lambda: "why=\"etcd at " in self.daemon.log())
        self.served(2)
        others[0].start()
        self.etcd.delete("/services/pay/a")
        self.found("127.0.0.3")

    # Its connections stand, and nothing comes: a firewall that forgot them, a machine that hangs.
    def test_a_member_that_goes_silent_is_given_up(self):
        self.make_etcd()
        gate = etcd.Gate(self.etcd.members[0].port)
        self.addCleanup(gate.close)
        self.instance("127.0.0.2")
        self.serve(endpoints=f"{gate.address},{self.etcd.endpoints}")
        self.put("pay/a", "127.0.0.2")
        self.found("127.0.0.2")
        gate.shut()
        self.instance("127.0.0.3")
        self.put("pay/b", "127.0.0.3")
        self.found("127.0.0.2", "127.0.0.3")
        self.assertNotIn("what was last found stands", self.daemon.log())

    def test_what_was_compacted_away_is_listed_anew(self):
        self.make_etcd()
        gate = etcd.Gate(self.etcd.members[0].port)
        self.addCleanup(gate.close)
        self.instance("127.0.0.2")
        self.serve(endpoints=gate.address)
        self.put("pay/a", "127.0.0.2")
        self.found("127.0.0.2")
        gate.shut()
        self.instance("127.0.0.3")
        for turn in range(20):
            self.put("pay/b", "127.0.0.3" if turn == 19 else "127.0.0.4")
        self.etcd.compact()
        self.until(lambda: "why=\"etcd at " in self.daemon.log())
        self.served()
        gate.open()
        self.found("127.0.0.2", "127.0.0.3")

    def test_garbage_is_left_out(self):
        self.instance("127.0.0.2")
        self.serve(more=())
        for number, value in enumerate(["", "{", "x" * 10_000, "127.0.0.2", "localhost:1", "169.254.169.254:80", "\u202e:1"]):
            self.etcd.put(f"/services/pay/{number}", value)
        self.until(lambda: "is left out: " in self.daemon.log())
        self.assertEqual([], self.addresses())
        self.assertNotIn("\u202e", self.daemon.log())

    def test_of_ten_thousand_some_are_dialled(self):
        self.make_etcd()
        put = [{"requestPut": {"key": etcd._bytes(f"/services/pay/{i:05}"), "value": etcd._bytes(f"127.1.{i // 250}.{i % 250 + 1}:{self.port}")}}
               for i in range(10_000)]
        for begin in range(0, len(put), 100):
            self.etcd.ask("kv/txn", success=put[begin:begin + 100])
        self.serve()
        self.until(lambda: "of which 256 are dialled" in self.daemon.log())
        listed = lambda: self.expect(0, "participants", "-o", "json").json["participants"][0]  # noqa: E731
        self.until(lambda: len(listed()["instances"]) + listed()["instances_left_out"] == 256)
        # All go at once, and somebody is there.
        self.instance("127.0.0.2")
        self.put("pay/00000", "127.0.0.2")
        self.etcd.delete("/services/pay/00001", "/services/pay0")
        self.found("127.0.0.2")
        self.served()

    def test_a_prefix_that_flaps_loses_nothing(self):
        self.instance("127.0.0.2")
        self.instance("127.0.0.3")
        self.serve()
        self.put("pay/a", "127.0.0.2")
        gids = []
        for turn in range(30):
            self.put("pay/a", f"127.0.0.{2 + turn % 2}")
            if turn % 3 == 0:
                self.etcd.delete("/services/pay/a")
            gids += [self.submit(until="accepted")[0] for _ in range(2)]
        for gid in gids:
            self.expect(0, "wait", gid)

    def test_over_tls_and_with_a_password(self):
        ca = Authority("ca")
        self.addCleanup(ca.close)
        context = ssl.create_default_context(cafile=ca.ca)
        self.make_etcd(pair=ca.make("etcd", sans="IP:127.0.0.1"), context=context)
        self.etcd.ask("auth/user/add", name="root", password="r")
        self.etcd.ask("auth/user/grant", user="root", role="root")
        self.etcd.ask("auth/role/add", name="reader")
        self.etcd.ask("auth/role/grant", name="reader", perm={"permType": "READ", "key": etcd._bytes("/services/pay/"), "range_end": etcd._bytes("/services/pay0")})
        self.etcd.ask("auth/user/add", name="assent", password="s3cret")
        self.etcd.ask("auth/user/grant", user="assent", role="reader")
        self.instance("127.0.0.2")
        self.put("pay/a", "127.0.0.2")
        self.etcd.ask("auth/enable")
        password = os.path.join(self.etcd.folder, "password")
        with open(password, "w", encoding="utf-8") as file:
            file.write("s3cret\n")
        self.serve("pay=etcd:/services/pay", "ship=etcd:/services/ship",
                   more=("--discover-loopback", "--tls-etcd-ca", ca.ca, "--etcd-user", "assent", "--etcd-password-file", password))
        self.until(lambda: 'name=etcd:/services/ship why="etcdserver: permission denied"' in self.daemon.log())
        self.found("127.0.0.2")
        self.etcd.root = ("root", "r")
        self.instance("127.0.0.3")
        self.put("pay/b", "127.0.0.3")
        self.found("127.0.0.2", "127.0.0.3")
        self.assertNotIn("name=etcd:/services/pay why", self.daemon.log())
        self.served()
        self.assertNotIn("s3cret", self.daemon.log() + self.expect(0, "config", "show").out)

    def test_a_certificate_for_somebody_else_is_none(self):
        ca = Authority("ca")
        self.addCleanup(ca.close)
        context = ssl.create_default_context(cafile=ca.ca)
        self.make_etcd(pair=ca.make("etcd", sans="IP:127.0.0.1"), context=context)
        self.instance("127.0.0.2")
        self.put("pay/a", "127.0.0.2")
        self.serve(endpoints=f"https://localhost:{self.etcd.members[0].port}", more=("--discover-loopback", "--tls-etcd-ca", ca.ca))
        self.until(lambda: "why=\"etcd at " in self.daemon.log())
        self.assertEqual([], self.addresses())

    # By https: the value is the URL, and nobody listens there.
    def test_participants_over_http(self):
        ca = Authority("ca")
        self.addCleanup(ca.close)
        self.serve("pay=etcd:https:/services/pay", "ship=etcd:http:/services/ship", more=("--discover-loopback", "--tls-participant-ca", ca.ca))
        self.put("pay/a", "127.0.0.2", "http://{}/x")
        self.until(lambda: "it does not begin with https://" in self.daemon.log())
        self.put("pay/a", "127.0.0.2", "https://{}/x")
        self.put("ship/a", "127.0.0.2", "http://{}/x")
        for service, url in (("pay", f"https://127.0.0.2:{self.port}/x"), ("ship", f"http://127.0.0.2:{self.port}/x")):
            gid, _ = self.submit(until="accepted", service=service)
            self.until(lambda gid=gid, url=url: url in self.expect(0, "show", gid).out)

    def registered(self):
        return self.etcd.values("/assent/coordinators")

    def test_a_coordinator_says_where_it_is(self):
        self.make_etcd()
        self.start((), "--etcd-endpoints", self.etcd.endpoints, "--etcd-register", "/assent/coordinators")
        at = {f"/assent/coordinators/{self.daemon.endpoint}": self.daemon.endpoint}
        self.until(lambda: self.registered() == at)
        # Its lease, or its key, is lost.
        self.etcd.revoke(self.etcd.leases()[0])
        self.assertEqual({}, self.registered())
        self.until(lambda: self.registered() == at)
        self.etcd.delete(f"/assent/coordinators/{self.daemon.endpoint}")
        self.until(lambda: self.registered() == at)
        # etcd is away, and comes back with what it knew, or with nothing.
        self.etcd.members[0].kill()
        self.until(lambda: "event=not_registered" in self.daemon.log())
        shutil.rmtree(f"{self.etcd.folder}/{self.etcd.members[0].name}")
        self.etcd.members[0].start()
        self.until(lambda: self.registered() == at)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({}, self.registered(), "gone at an ordinary stop")
        self.daemon.start()
        self.until(lambda: self.registered() == at)
        self.daemon.kill()
        self.until(lambda: self.registered() == {})

    def test_it_stops_while_etcd_does_not_answer(self):
        self.serve(more=("--discover-loopback", "--etcd-register", "/assent/coordinators"))
        self.put("pay/a", "127.0.0.2")
        self.until(lambda: "event=name_found" in self.daemon.log() and "event=registered" in self.daemon.log())
        self.etcd.members[0].signal(signal.SIGSTOP)
        try:
            self.assertEqual(0, self.daemon.stop())
        finally:
            self.etcd.members[0].signal(signal.SIGCONT)

    def test_settings_that_are_wrong_are_refused(self):
        def refused(*arguments):
            checked = subprocess.run([os.path.join(BIN, "assentd"), "--check-config", *arguments], capture_output=True, text=True)
            self.assertNotEqual(0, checked.returncode)
            return checked.stderr + checked.stdout
        at = ("--etcd-endpoints", "127.0.0.1:2379")
        self.assertIn("that takes --etcd-endpoints", refused("--unary", "pay=etcd:/pay"))
        self.assertIn("it takes etcd:PREFIX", refused("--unary", "pay=etcd:/", *at))
        self.assertIn("the values have the URLs", refused("--unary", "pay=etcd:http://web/x", *at))
        self.assertIn("--tls-participant-ca", refused("--unary", "pay=etcd:tls:/pay", *at))
        self.assertIn("etcd-endpoints has", refused("--etcd-endpoints", "127.0.0.1"))
        self.assertIn("--tls-etcd-ca", refused("--etcd-endpoints", "https://127.0.0.1:2379"))
        self.assertIn("of use together", refused(*at, "--etcd-user", "me"))
        self.assertIn("that takes --etcd-endpoints", refused("--etcd-register", "/a"))
        self.assertIn("nobody can reach", refused(*at, "--etcd-register", "/a", "--allow-insecure", "--listen", "0.0.0.0:7400"))
        self.assertIn("cannot be read", refused(*at, "--etcd-user", "me", "--etcd-password-file", "/none"))


if __name__ == "__main__":
    if etcd.missing():
        print("etcd is not installed")
        sys.exit(77)
    unittest.main()
