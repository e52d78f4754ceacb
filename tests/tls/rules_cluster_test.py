#!/usr/bin/python3
"""Two coordinators on one real PostgreSQL, with mutual TLS and rules: whoever asks is told the same by both, whichever has the transaction."""

import concurrent.futures
import os
import signal
import sys
import unittest

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(HERE, "..", folder) for folder in ("ctl", "grpc", "support"))]

from certificates import write  # noqa: E402
from door_test import TlsTest  # noqa: E402
from edges_test import read  # noqa: E402
from load import wire  # noqa: E402
from scripted_participant import ScriptedParticipant  # noqa: E402
import postgresql  # noqa: E402

Code = grpc.StatusCode
COUNT = 24  # so that both of the two have some, but for one time in eight millions
OPEN_MS = 3_600_000
DECIDED = 8
RULES = ("allow spiffe://shop/assent/* as coordinator", "allow spiffe://shop/checkout as initiator for shop",
         "allow spiffe://shop/rival as initiator for shop", "allow spiffe://shop/dashboard as viewer", "allow spiffe://shop/operator as admin")
WHO = ("checkout", "rival", "dashboard", "nobody")


class Impostor(grpc.GenericRpcHandler):
    """Somebody of the same CA at a coordinator's address: notes all that it is sent, and says yes."""

    def __init__(self, pair, ca, endpoint):
        self.seen = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        self.server.add_generic_rpc_handlers((self,))
        credentials = grpc.ssl_server_credentials([(read(pair.key), read(pair.cert))], read(ca), require_client_auth=True)
        assert self.server.add_secure_port(endpoint, credentials), f"{endpoint} is taken"
        self.server.start()

    def service(self, details):
        self.seen.append((details.method, dict(details.invocation_metadata).get("assent-on-behalf-of")))
        answer = wire.tx.SubmitReply(gid="forged", outcome=wire.types.COMMITTED).SerializeToString()
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)

    def close(self):
        self.server.stop(0).wait()


class RulesOfTwo(TlsTest):
    def setUp(self):
        super().setUp()
        self.base = postgresql.Server()
        self.addCleanup(self.base.close)
        self.base.start()
        self.url = self.base.url(self.base.new_database())
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)
        self.pairs = {who: self.ca.make(who, f"URI:spiffe://shop/{who}") for who in WHO}
        self.members, self.stubs = {}, {}
        for node in ("a", "b"):
            self.rule(node)
            self.server = self.ca.make("member-" + node, f"IP:127.0.0.1,URI:spiffe://shop/assent/{node}")
            self.serve("--log", self.url, "--node", node, "--unary", f"shop={self.shop.address}", "--auth-rules", self.ca.path("rules-" + node))
            self.members[node] = self.daemon
        self.until(lambda: "event=slots_taken from=a" in self.members["b"].log())

    def rule(self, node, *lines):
        write(self.ca.path("rules-" + node), "\n".join(lines or RULES) + "\n")

    def new_rules(self, node, *lines):
        seen = self.members[node].log().count("event=auth_reloaded")
        self.rule(node, *lines)
        self.members[node].signal(signal.SIGHUP)
        self.until(lambda: self.members[node].log().count("event=auth_reloaded") > seen)

    def stub(self, who, node):
        if (who, node) not in self.stubs:
            pair = self.pairs[who]
            credentials = grpc.ssl_channel_credentials(read(self.ca.ca), read(pair.key), read(pair.cert))
            channel = grpc.secure_channel(self.members[node].endpoint, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
            self.addCleanup(channel.close)
            self.stubs[who, node] = wire.tx_grpc.TransactionServiceStub(channel)
        return self.stubs[who, node]

    def ask(self, who, node, call, request, metadata=()):
        """(code, words or the answer)."""
        try:
            return Code.OK, getattr(self.stub(who, node), call)(request, timeout=60, metadata=metadata)
        except grpc.RpcError as failed:
            return failed.code(), failed.details()

    def submit(self, who, node, gid, service="shop"):
        return self.ask(who, node, "Submit", wire.tx.SubmitRequest(transaction=wire.spec(gid, wire.branch(service, "reserve")),
                                                                  wait_for=wire.types.WAIT_COMPLETED))

    def get(self, who, node, gid, metadata=()):
        return self.ask(who, node, "Get", wire.tx.GetRequest(gid=gid), metadata)

    def begin(self, node, gid):
        spec = wire.types.TransactionSpec(gid=gid, deadline_ms=OPEN_MS)
        return self.ask("checkout", node, "Begin", wire.tx.BeginRequest(transaction=spec))

    def test_both_say_the_same_of_what_either_has(self):
        for number in range(COUNT):
            self.assertEqual(Code.OK, self.begin("ab"[number % 2], f"open-{number}")[0])
        said = {}
        for number in range(COUNT):
            for node in "ab":
                gid = f"open-{number}"
                self.assertEqual(Code.OK, self.get("checkout", node, gid)[0])
                self.assertEqual(Code.OK, self.get("dashboard", node, gid)[0])
                code, words = self.get("rival", node, gid)
                self.assertEqual((Code.NOT_FOUND, self.get("rival", node, "never-was")[1].replace("never-was", gid)), (code, words))
                for call, request in (("Commit", wire.tx.CommitRequest(gid=gid)), ("Rollback", wire.tx.RollbackRequest(gid=gid)),
                                      ("ExecuteBranch", wire.tx.ExecuteBranchRequest(gid=gid, branch=wire.branch("shop", "reserve")))):
                    said.setdefault((call, self.ask("rival", node, call, request)[0]), 0)
                self.assertEqual(Code.PERMISSION_DENIED, self.get("nobody", node, gid)[0])
                self.assertEqual(Code.PERMISSION_DENIED, self.ask("dashboard", node, "Commit", wire.tx.CommitRequest(gid=gid))[0])
        self.assertEqual({("Commit", Code.NOT_FOUND), ("Rollback", Code.NOT_FOUND), ("ExecuteBranch", Code.NOT_FOUND)}, set(said))
        for number in range(COUNT):  # by the one that it was not begun at
            code, answer = self.ask("checkout", "ba"[number % 2], "Rollback", wire.tx.RollbackRequest(gid=f"open-{number}"))
            self.assertEqual(Code.OK, code, answer)

    def test_who_is_no_coordinator_speaks_for_nobody(self):
        for number in range(COUNT):
            self.assertEqual(Code.OK, self.begin("ab"[number % 2], f"kept-{number}")[0])
        forged = (("assent-forwarded", "1"), ("assent-on-behalf-of", "spiffe://shop/checkout"))
        for number in range(COUNT):
            for node in "ab":
                for who in ("rival", "dashboard", "nobody", "checkout"):
                    code, words = self.get(who, node, f"kept-{number}", forged)
                    self.assertEqual(Code.PERMISSION_DENIED, code, (who, node, words))
                # Without the word that it is handed on, the name counts for nothing.
                self.assertEqual(Code.NOT_FOUND, self.get("rival", node, f"kept-{number}", forged[1:])[0])
        # Nor does a gid hide the attempt to do something in another's name.
        code, _ = self.ask("rival", "a", "Rollback", wire.tx.RollbackRequest(gid="kept-0"), forged)
        self.assertEqual(Code.PERMISSION_DENIED, code)
        self.assertEqual(Code.OK, self.get("checkout", "b", "kept-0")[0])

    def test_rules_that_differ(self):
        """A call is for whom both allow it: the one that is asked, and the one that has the transaction."""
        self.new_rules("b", *(line for line in RULES if "rival" not in line))
        codes = {node: [self.submit("rival", node, f"differ-{node}-{number}")[0] for number in range(COUNT)] for node in "ab"}
        self.assertEqual({Code.PERMISSION_DENIED}, set(codes["b"]))
        self.assertEqual({Code.OK, Code.PERMISSION_DENIED}, set(codes["a"]), "those that b has are denied, those of a are not")
        # A coordinator that the other's rules do not know hands on nothing.
        self.new_rules("b", *(line for line in RULES if "coordinator" not in line), "allow spiffe://shop/assent/b as coordinator")
        codes = [self.submit("checkout", "a", f"unknown-{number}")[0] for number in range(COUNT)]
        self.assertIn(Code.OK, codes)
        self.assertTrue(set(codes) <= {Code.OK, Code.PERMISSION_DENIED}, codes)
        self.assertIn(Code.PERMISSION_DENIED, codes)
        self.new_rules("b")
        self.assertEqual(Code.OK, self.submit("rival", "b", "again")[0])

    def test_who_is_not_known_is_nobody_there_too(self):
        """He is not the coordinator that hands his call on, which may everything."""
        self.pairs["no one"] = self.ca.make("no one", "IP:127.0.0.1")  # a name with a blank is nobody's
        for node in "ab":
            self.new_rules(node, *RULES, "allow anyone as initiator for shop")
        for number in range(COUNT):
            self.assertEqual(Code.OK, self.begin("a", f"known-{number}")[0])
            gid = f"unknown-{number}"
            self.assertEqual(Code.PERMISSION_DENIED, self.submit("no one", "a", gid, "elsewhere")[0])
            self.assertEqual(Code.OK, self.submit("no one", "a", gid)[0])
            for node in "ab":
                self.assertEqual(Code.NOT_FOUND, self.get("no one", node, f"known-{number}")[0])
                self.assertEqual(Code.OK, self.get("no one", node, gid)[0])
                self.assertEqual(Code.NOT_FOUND, self.get("rival", node, gid)[0])

    def test_what_is_handed_on_counts_once(self):
        """Calls where they come in, transactions where they are, both for whom it is."""
        self.pairs["operator"] = self.operator
        for node in "ab":
            self.new_rules(node, *RULES, "limit spiffe://shop/checkout to 3 transactions, 4 calls")
        begun, words = [], []
        for number in range(COUNT):
            code, said = self.begin("a", f"few-{number}")
            self.assertIn(code, (Code.OK, Code.RESOURCE_EXHAUSTED))
            begun.append(f"few-{number}") if code == Code.OK else words.append(said)
        self.assertEqual(6, len(begun), "three at each of them")
        self.assertIn("spiffe://shop/checkout has 3 transactions under way, the limit is 3", words[0])
        for number in range(COUNT):
            self.assertEqual(Code.OK, self.submit("rival", "a", f"beside-{number}")[0])
        waits = []
        for node in "ab":  # of which each has some with the other
            stub = self.stub("checkout", node)
            five = [stub.Wait.future(wire.tx.WaitRequest(gid=gid, wait_for=wire.types.WAIT_COMPLETED), timeout=60) for gid in begun[:5]]
            self.until(lambda five=five: any(one.done() for one in five))
            waits += five
        for gid in begun:
            action = wire.tx.OperatorAction(gid=gid, who="ann", reason="enough")
            self.assertEqual(Code.OK, self.ask("operator", "a", "Abort", wire.tx.AbortRequest(action=action))[0])
        self.until(lambda: all(one.done() for one in waits))
        codes = [one.code() for one in waits]
        self.assertEqual([1, 1], [codes[at:at + 5].count(Code.RESOURCE_EXHAUSTED) for at in (0, 5)], codes)
        self.assertEqual(8, codes.count(Code.OK), codes)
        self.assertEqual(Code.OK, self.begin("a", begun[0] + "-again")[0], "there is room again")

    def test_who_answers_for_a_coordinator_has_to_be_one(self):
        """A service of the same CA and host took the address of one that had died, was handed submits, and was believed."""
        where = self.members["a"].endpoint
        service = self.ca.make("payment", "IP:127.0.0.1,URI:spiffe://shop/payment")
        self.members["a"].kill()
        impostor = Impostor(service, self.ca.ca, where)
        self.addCleanup(impostor.close)
        # As long as b takes a for alive it hands on what is a's.
        for number in range(COUNT):
            code, answer = self.ask("checkout", "b", "Submit", wire.tx.SubmitRequest(
                transaction=wire.spec(f"asked-{number}", wire.branch("shop", "reserve")), wait_for=wire.types.WAIT_COMPLETED))
            self.assertIn(code, (Code.OK, Code.UNAVAILABLE), answer)
            if code == Code.OK:
                self.assertEqual(f"asked-{number}", answer.gid)
        self.until(lambda: "event=not_a_coordinator host=127.0.0.1 identity=spiffe://shop/payment " in self.members["b"].log())
        self.assertEqual([], impostor.seen)
        impostor.close()
        # With the role in its certificate the next one is a coordinator.
        self.server = self.ca.make("member-a-again", "IP:127.0.0.1,URI:spiffe://shop/assent/a")
        self.serve("--log", self.url, "--node", "a", "--unary", f"shop={self.shop.address}", "--auth-rules", self.ca.path("rules-a"))
        self.members["a"], self.stubs = self.daemon, {}
        self.assertEqual({Code.OK}, {self.submit("checkout", node, f"after-{node}-{number}")[0] for number in range(COUNT) for node in "ab"})

    def test_what_one_leaves_behind_stays_whose_it_was(self):
        held = self.shop.hold("reserve", "CONFIRM")
        self.addCleanup(held.set)
        decided = [f"decided-{number}" for number in range(DECIDED)]
        under_way = [self.stub("checkout", "a").Submit.future(wire.tx.SubmitRequest(
            transaction=wire.spec(gid, wire.branch("shop", "reserve")), wait_for=wire.types.WAIT_COMPLETED), timeout=60)
            for gid in decided]
        self.until(lambda: self.shop.asked.count(("reserve", "CONFIRM")) == DECIDED)
        for number in range(COUNT):
            self.assertEqual(Code.OK, self.begin("a", f"left-{number}")[0])
        self.members["a"].kill()
        left = {f"left-{number}" for number in range(COUNT)}

        def taken():
            return all(self.get("checkout", "b", gid)[0] == Code.OK for gid in left)
        self.until(taken)
        for gid in left:
            self.assertEqual(Code.NOT_FOUND, self.get("rival", "b", gid)[0])
            self.assertEqual(Code.NOT_FOUND, self.ask("rival", "b", "Rollback", wire.tx.RollbackRequest(gid=gid))[0])
            self.assertEqual(Code.OK, self.get("dashboard", "b", gid)[0])
            branch = wire.tx.ExecuteBranchRequest(gid=gid, branch=wire.branch("elsewhere", "reserve"))
            self.assertEqual(Code.PERMISSION_DENIED, self.ask("checkout", "b", "ExecuteBranch", branch)[0])
            self.assertEqual(Code.OK, self.ask("checkout", "b", "Rollback", wire.tx.RollbackRequest(gid=gid))[0])
        self.assertIn("event=fenced node=a", self.members["b"].log())
        # What was decided is carried out, and told to whoever began it.
        held.set()
        for gid in decided:
            code, answer = self.ask("checkout", "b", "Wait", wire.tx.WaitRequest(gid=gid, wait_for=wire.types.WAIT_COMPLETED))
            self.assertEqual((Code.OK, wire.types.COMMITTED), (code, answer.outcome), gid)
            self.assertEqual(Code.NOT_FOUND, self.ask("rival", "b", "Wait", wire.tx.WaitRequest(gid=gid))[0])
        self.assertTrue(all(call.done() or call.cancel() for call in under_way))


if __name__ == "__main__":
    unittest.main()
