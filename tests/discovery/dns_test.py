#!/usr/bin/python3
"""Participants that are found by name: a real assentd, a real server of the DNS, and participants that come, go and move."""

import concurrent.futures
import os
import re
import signal
import subprocess
import unittest

from rig import FoundTest

from certificates import Authority
from daemon import BIN
from dns import DnsServer


class Found(FoundTest):
    def setUp(self):
        super().setUp()
        self.dns = DnsServer()
        self.addCleanup(self.dns.close)

    def serve(self, *names, more=("--discover-loopback",)):
        self.start(names, "--dns-servers", self.dns.address, *more)

    def test_all_addresses_of_a_name_as_they_come_and_go(self):
        one, two = self.instance("127.0.0.2"), self.instance("127.0.0.3")
        self.dns.set(pay__internal=["127.0.0.2", "127.0.0.3"])
        self.serve(f"pay=dns:pay.internal:{self.port}")
        self.until(lambda: self.addresses() == self.at("127.0.0.2", "127.0.0.3"))
        self.assertEqual({f"--unary pay=dns:pay.internal:{self.port}"}, self.sources())
        self.served(6)
        self.assertTrue(one.asked and two.asked)
        three = self.instance("127.0.0.4")
        self.dns.set(pay__internal=["127.0.0.3", "127.0.0.4"])
        self.until(lambda: self.addresses() == self.at("127.0.0.3", "127.0.0.4"))
        before = len(one.asked)
        self.served(6)
        self.assertTrue(three.asked)
        self.assertEqual(before, len(one.asked), "who is named no more is asked no more")
        self.assertIn("event=participant_left", self.daemon.log())

    def test_what_is_under_way_where_nobody_is_named_any_more_ends_as_it_does(self):
        one = self.instance("127.0.0.2")
        self.dns.set(pay__internal=["127.0.0.2"])
        self.serve(f"pay=dns:pay.internal:{self.port}")
        one.gate = concurrent.futures.Future()
        gid, _ = self.submit(until="accepted")
        self.until(lambda: one.asked == [gid])
        two = self.instance("127.0.0.3")
        self.dns.set(pay__internal=["127.0.0.3"])
        self.until(lambda: f"127.0.0.3:{self.port}" in self.addresses())
        self.served()
        self.assertEqual([gid], one.asked)
        one.gate.set_result(None)
        self.expect(0, "wait", gid)
        self.assertEqual([gid], one.asked, "it was asked once")
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))
        self.assertTrue(two.asked)

    def test_whoever_waits_for_a_name_that_nobody_has_is_served_when_there_is_one(self):
        self.serve(f"pay=dns:pay.internal:{self.port}")
        gid, _ = self.submit(until="accepted")
        self.until(lambda: "Domain name not found" in self.expect(0, "show", gid).out)
        self.assertIn(f"dns:pay.internal:{self.port}", self.expect(0, "show", gid).out)
        self.instance("127.0.0.2")
        self.dns.set(pay__internal=["127.0.0.2"])
        self.expect(0, "wait", gid)
        # A session cannot have that name meanwhile: it is dialled.
        self.assertEqual(["pay"], [one["service"] for one in self.expect(0, "participants", "-o", "json").json["participants"]])

    def test_a_server_that_is_away_or_knows_nobody_changes_nothing(self):
        one = self.instance("127.0.0.2")
        self.dns.set(pay__internal=["127.0.0.2"])
        self.serve(f"pay=dns:pay.internal:{self.port}")
        self.served()
        self.dns.set()
        self.until(lambda: "what was last found stands" in self.daemon.log())
        self.served()
        self.dns.stop()
        self.until(lambda: re.search("name_not_found.*(refused|contact)", self.daemon.log(), re.IGNORECASE))
        self.served()
        self.assertGreaterEqual(len(one.asked), 3)
        self.instance("127.0.0.3")
        self.dns.start()
        self.dns.set(pay__internal=["127.0.0.3"])
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))

    # By its TTL it would be asked for in an hour.
    def test_who_is_not_where_he_was_is_looked_for_at_once(self):
        self.dns.close()
        self.dns = DnsServer(ttl=3600)
        self.addCleanup(self.dns.close)
        one = self.instance("127.0.0.2")
        self.dns.set(pay__internal=["127.0.0.2"])
        self.serve(f"pay=dns:pay.internal:{self.port}")
        self.served()
        self.instance("127.0.0.3")
        self.dns.set(pay__internal=["127.0.0.3"])
        one.close()
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))
        self.served()

    def test_hosts_and_ports_by_service_records(self):
        self.instance("127.0.0.2")
        spare = self.instance("127.0.0.3")
        self.dns.set(a__internal=["127.0.0.2"], b__internal=["127.0.0.3"])
        self.dns.services(("_assent._tcp.pay.internal", "a.internal", self.port, 10), ("_assent._tcp.pay.internal", "b.internal", self.port, 20))
        self.serve("pay=dns:_assent._tcp.pay.internal")
        self.until(lambda: self.addresses() == self.at("127.0.0.2"))
        self.served(2)
        self.assertEqual([], spare.asked, "the lowest priority comes first")
        self.dns.services(("_assent._tcp.pay.internal", "b.internal", self.port, 20))
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))
        self.served()

    def test_the_certificate_has_the_name(self):
        ca = Authority("ca")
        self.addCleanup(ca.close)
        self.instance("127.0.0.2", pair=ca.make("pay", sans="DNS:pay.internal"))
        self.dns.set(pay__internal=["127.0.0.2"], ship__internal=["127.0.0.2"])
        self.serve(f"pay=dns:tls:pay.internal:{self.port}", f"ship=dns:tls:ship.internal:{self.port}",
                   more=("--discover-loopback", "--tls-participant-ca", ca.ca))
        self.served()
        gid, _ = self.submit(until="accepted", service="ship")
        self.until(lambda: f"cannot connect to tls:127.0.0.2:{self.port}" in self.expect(0, "show", gid).out)
        self.assertEqual([], self.addresses("ship"))

    # Without an https:// address beside it, it ended at its start: nobody had read the CA.
    def test_https_by_a_name_alone(self):
        ca = Authority("ca")
        self.addCleanup(ca.close)
        self.dns.set(pay__internal=["127.0.0.2"])
        self.serve(f"pay=dns:https://pay.internal:{self.port}/", more=("--discover-loopback", "--tls-participant-ca", ca.ca))
        gid, _ = self.submit(until="accepted")
        self.until(lambda: f"cannot connect to https://pay.internal:{self.port}/" in self.expect(0, "show", gid).out)

    def test_an_address_that_nobody_means_is_left_out(self):
        self.instance("127.0.0.2")
        self.dns.set(pay__internal=["127.0.0.2", "169.254.169.254"])
        self.serve(f"pay=dns:pay.internal:{self.port}", more=())
        gid, _ = self.submit(until="accepted")
        self.until(lambda: "is left out: " in self.expect(0, "show", gid).out)
        self.assertEqual([], self.addresses())

    # Ten times a second, as a registry that is out of its mind.
    def test_a_name_that_flaps_loses_nothing(self):
        self.instance("127.0.0.2")
        self.instance("127.0.0.3")
        self.dns.set(pay__internal=["127.0.0.2"])
        self.serve(f"pay=dns:pay.internal:{self.port}")
        gids = []
        for turn in range(12):
            self.dns.set(pay__internal=[f"127.0.0.{2 + turn % 2}"] if turn % 3 else ["127.0.0.2", "127.0.0.3"])
            asked = self.dns.asked("pay.internal")
            gids += [self.submit(until="accepted")[0] for _ in range(5)]
            self.until(lambda before=asked: self.dns.asked("pay.internal") > before)
        for gid in gids:
            self.expect(0, "wait", gid)

    def test_settings_that_are_wrong_are_refused(self):
        def refused(*arguments):
            checked = subprocess.run([os.path.join(BIN, "assentd"), "--check-config", *arguments], capture_output=True, text=True)
            self.assertNotEqual(0, checked.returncode)
            return checked.stderr + checked.stdout
        self.assertIn("it takes dns:HOST:PORT", refused("--unary", "pay=dns:pay.internal"))
        self.assertIn("stands without dns:", refused("--unary", "pay=dns:10.0.0.1:7001"))
        self.assertIn("--tls-participant-ca", refused("--unary", "pay=dns:tls:pay.internal:7001"))
        self.assertIn("dns-servers has", refused("--dns-servers", "ns.internal:53"))

    # Asking goes on beside a stop.
    def test_it_stops_while_the_server_does_not_answer(self):
        self.serve(f"pay=dns:pay.internal:{self.port}")
        os.kill(self.dns._process.pid, signal.SIGSTOP)
        try:
            self.daemon.stop()
        finally:
            os.kill(self.dns._process.pid, signal.SIGCONT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
