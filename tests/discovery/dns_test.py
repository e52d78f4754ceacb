#!/usr/bin/python3
"""Participants that are found by name: a real assentd, a real server of the DNS, and participants that come, go and move."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../support"), os.path.join(HERE, "../ctl"), os.path.join(HERE, "../tls"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from certificates import Authority  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon  # noqa: E402
from dns import DnsServer  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc  # noqa: E402

SOON = {"initial_backoff": "10ms", "max_backoff": "50ms"}


class Instance(participant_pb2_grpc.ParticipantServicer):
    """One that says yes, at an address of the loopback network; `gate` holds it up."""

    def __init__(self, host, port=0, pair=None):
        self.host, self.port = host, port
        self.asked = []
        self.gate = None
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        participant_pb2_grpc.add_ParticipantServicer_to_server(self, self._server)
        at = f"{host}:{port}"
        if pair:
            with open(pair.key, "rb") as key, open(pair.cert, "rb") as cert:
                self.port = self._server.add_secure_port(at, grpc.ssl_server_credentials([(key.read(), cert.read())]))
        else:
            self.port = self._server.add_insecure_port(at)
        if not self.port:
            raise OSError(f"{at} is taken")
        self._server.start()

    def Execute(self, request, context):  # noqa: N802
        self.asked.append(request.gid)
        if self.gate:
            self.gate.result(30)
        return participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation,
                                           kind=participant_pb2.BranchReply.DONE)

    def close(self):
        self._server.stop(0).wait()


def common_port(*hosts):
    """One that is free at all of them."""
    while True:
        with socket.socket() as first:
            first.bind((hosts[0], 0))
            port = first.getsockname()[1]
            try:
                for host in hosts[1:]:
                    with socket.socket() as other:
                        other.bind((host, port))
            except OSError:
                continue
            return port


class Found(CtlTest):
    PATIENCE_SECONDS = 60

    def setUp(self):
        self.dns = DnsServer()
        self.addCleanup(self.dns.close)
        self.port = common_port("127.0.0.2", "127.0.0.3", "127.0.0.4")
        self.gids = 0

    def instance(self, host, **more):
        made = Instance(host, self.port, **more)
        self.addCleanup(made.close)
        return made

    def serve(self, *names, more=("--discover-loopback",)):
        unary = [word for name in names for word in ("--unary", name)]
        self.daemon = Daemon("--dns-servers", self.dns.address, *unary, *more)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, until="completed", service="pay"):
        self.gids += 1
        gid = f"g{self.gids}"
        body = {"branches": [{"protocol": "saga", "service": service, "action": "act", "retry": SOON}]}
        return gid, self.ctl("submit", "--gid", gid, "--for", until, stdin=json.dumps(body))

    def served(self, count=1, service="pay"):
        for _ in range(count):
            gid, done = self.submit(service=service)
            self.assertEqual(0, done.code, (done, self.daemon.log()))

    def addresses(self, service="pay"):
        """Where it is dialled, and reached."""
        listed = self.expect(0, "participants", "-o", "json").json
        services = [one for one in listed["participants"] if one["service"] == service]
        return sorted(i["address"] for one in services for i in one.get("instances", []) if i.get("connected_unix_ms"))

    def sources(self):
        listed = self.expect(0, "participants", "-o", "json").json["participants"]
        return {i["source"] for one in listed for i in one["instances"]}

    def at(self, *hosts):
        return sorted(f"{host}:{self.port}" for host in hosts)

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
