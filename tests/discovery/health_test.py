#!/usr/bin/python3
"""Participants that say whether they serve, by grpc.health.v1: a real assentd, and participants that change their minds."""

import unittest

from rig import FoundTest

import grpc

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class Health(grpc.GenericRpcHandler):
    """grpc.health.v1.Health/Check; `says` is the answer's bytes, or a code."""

    def __init__(self, says):
        self.says = says
        self.asked = 0

    def service(self, call):
        if call.method != "/grpc.health.v1.Health/Check":
            return None

        def check(_, context):
            self.asked += 1
            if isinstance(self.says, grpc.StatusCode):
                context.abort(self.says, "as it was told")
            return self.says
        return grpc.unary_unary_rpc_method_handler(check)


class Healthy(FoundTest):
    def served_by(self, one, other):
        """Twice, by one alone."""
        before, others = len(one.asked), len(other.asked)
        self.served(2)
        self.assertEqual((before + 2, others), (len(one.asked), len(other.asked)))

    def serve(self, *hosts, seconds=1):
        self.start([f"pay={host}:{self.port}" for host in hosts], "--unary-health-seconds", str(seconds))

    def test_who_says_that_it_does_not_serve_gets_nothing_new(self):
        health = Health(NOT_SERVING)
        one, two = self.instance("127.0.0.2", handlers=[health]), self.instance("127.0.0.3")
        self.serve("127.0.0.2", "127.0.0.3")
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))
        self.until(lambda: health.asked)
        self.served_by(two, one)
        health.says = SERVING
        self.until(lambda: self.addresses() == self.at("127.0.0.2", "127.0.0.3"))
        self.served(4)
        self.assertTrue(one.asked)
        health.says = NOT_SERVING
        self.until(lambda: self.addresses() == self.at("127.0.0.3"))
        self.served_by(two, one)
        self.assertIn("says that it does not serve", self.daemon.log())

    def test_when_nobody_serves_what_waits_says_why(self):
        health = Health(NOT_SERVING)
        one = self.instance("127.0.0.2", handlers=[health])
        self.serve("127.0.0.2")
        gid, _ = self.submit(until="accepted")
        self.until(lambda: "says that it does not serve" in self.expect(0, "show", gid).out)
        self.assertEqual([], one.asked)
        health.says = SERVING
        self.expect(0, "wait", gid)

    # Nobody is turned away for what he does not know.
    def test_whoever_says_anything_else_serves(self):
        for says in (SERVICE_UNKNOWN, b"", b"\xff\xff", grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
            with self.subTest(says=says):
                health = Health(says)
                one = self.instance("127.0.0.2", handlers=[health])
                self.serve("127.0.0.2")
                self.served()
                self.assertTrue(health.asked)
                one.close()
                self.daemon.close()

    def test_it_is_asked_for(self):
        health = Health(NOT_SERVING)
        self.instance("127.0.0.2", handlers=[health])
        self.serve("127.0.0.2", seconds=0)
        self.served(2)
        self.assertEqual(0, health.asked)

    # It is a new program, which may not have what it needs yet.
    def test_a_new_connection_is_asked_first(self):
        health = Health(SERVING)
        one = self.instance("127.0.0.2", handlers=[health])
        self.serve("127.0.0.2", seconds=3600)
        self.served()
        one.close()
        self.until(lambda: self.addresses() == [])
        again = Health(NOT_SERVING)
        other = self.instance("127.0.0.2", handlers=[again])
        self.until(lambda: again.asked)
        # What was submitted before says what was known then.
        self.until(lambda: "says that it does not serve" in self.expect(0, "show", self.submit(until="accepted")[0]).out)
        self.assertEqual([], other.asked)


if __name__ == "__main__":
    unittest.main()
