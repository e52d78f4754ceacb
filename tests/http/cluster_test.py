#!/usr/bin/python3
"""HTTP of three coordinators that share a real PostgreSQL: any port takes any transaction, also while one of them is killed."""

import threading
import unittest

from rig import Daemon, Participant, order, postgresql

COUNT = 60


class Cluster(unittest.TestCase):
    def test_any_port_takes_any_transaction(self):
        server = postgresql.Server()
        self.addCleanup(server.close)
        server.start()
        participant = Participant()
        self.addCleanup(participant.close)
        url = server.url(server.new_database())
        members = []
        for name in ("a", "b", "c"):
            members.append(Daemon("--log", url, "--node", name, "--lease-seconds", "2", "--unary", f"bank={participant.endpoint}",
                                  listen=f"127.0.0.1:{postgresql.free_port()}"))
            self.addCleanup(members[-1].close)
        first, second, third = members

        for number in range(COUNT):
            code, _, reply = members[number % 3].ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order(f"c-{number}"))
            self.assertEqual((200, "COMMITTED"), (code, reply.get("outcome")), reply)
        for member in members:
            self.assertEqual({200}, {member.ask("GET", f"/v1/transactions/c-{number}")[0] for number in range(COUNT)})
            self.assertEqual(200, member.ask("GET", "/readyz")[0])
        self.assertEqual(str(COUNT), first.ask("GET", "/v1/server")[2]["committed"])
        listed, token = [], ""
        while not listed or token:
            page = second.ask("GET", f"/v1/transactions?all=true&page_size=25&page_token={token}")[2]
            listed += [one["gid"] for one in page["transactions"]]
            token = page["nextPageToken"]
        self.assertEqual(sorted(f"c-{number}" for number in range(COUNT)), sorted(listed))

        self.one_batch_for_all_members(members)
        third.process.kill()
        for number in range(COUNT, 2 * COUNT):
            code, _, reply = members[number % 2].ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order(f"c-{number}"))
            self.assertEqual((200, "COMMITTED"), (code, reply.get("outcome")), reply)

    def one_batch_for_all_members(self, members):
        """Asked of one of them, it is done wherever transactions are."""
        for number in range(COUNT):
            waiting = order(f"w-{number}", service="nobody", deadlineMs="600000")
            self.assertEqual(200, members[number % 3].ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", waiting)[0])
        holders = {members[0].ask("GET", f"/v1/transactions/w-{number}")[2]["holder"]["node"] for number in range(COUNT)}
        self.assertEqual({"a", "b", "c"}, holders)
        action = {"who": "ann", "reason": "nobody will come"}
        counted = members[1].ask("POST", "/v1/transactions:batch", {"verb": "ABORT", "service": "nobody", "action": {**action, "dryRun": True}})[2]
        self.assertEqual((str(COUNT), "0", 0), (counted["matched"], counted["done"], counted["slotsLeftOut"]))
        done = members[1].ask("POST", "/v1/transactions:batch", {"verb": "ABORT", "service": "nobody", "action": action, "asOfUnixMs": counted["asOfUnixMs"]})[2]
        self.assertEqual((str(COUNT), "0", False, []), (done["done"], done["failed"], done["more"], done["silent"]))
        self.assertEqual({"ABORTED"}, {members[2].ask("POST", f"/v1/transactions/w-{number}:wait")[2]["outcome"] for number in range(COUNT)})
        shown = members[2].ask("GET", "/v1/transactions/w-7")[2]
        self.assertEqual([("abort", "ann", "nobody will come")], [(one["verb"], one["who"], one["reason"]) for one in shown["interventions"]])

    def test_without_its_database_it_is_not_ready(self):
        server = postgresql.Server()
        self.addCleanup(server.close)
        server.start()
        daemon = Daemon("--log", server.url(server.new_database()), "--node", "a", listen=f"127.0.0.1:{postgresql.free_port()}")
        self.addCleanup(daemon.close)
        self.assertEqual(200, daemon.ask("GET", "/readyz")[0])
        server.stop()
        code, text = 200, ""
        while code == 200 or "[+]log: " in text:  # a write of the second before is told again
            code, _, text = daemon.ask("GET", "/readyz?verbose")
        self.assertEqual(503, code)
        self.assertIn("[-]work: refused: the database does not answer: ", text)
        self.assertIn("[-]log: a write has had no answer for ", text)
        self.assertEqual(200, daemon.ask("GET", "/livez")[0])

    def test_without_its_database_whoever_looks_is_told(self):
        """They waited until the database was back, or for ever."""
        server = postgresql.Server()
        self.addCleanup(server.close)
        server.start()
        participant = Participant()
        self.addCleanup(participant.close)
        daemon = Daemon("--log", server.url(server.new_database()), "--node", "a", "--unary", f"bank={participant.endpoint}",
                        listen=f"127.0.0.1:{postgresql.free_port()}")
        self.addCleanup(daemon.close)
        self.assertEqual(200, daemon.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order("done"))[0])
        for gid in ("waits", "aborted"):
            waiting = order(gid, service="nobody", deadlineMs="600000")
            self.assertEqual(200, daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", waiting)[0])
        postgresql.until(lambda: daemon.ask("GET", "/v1/transactions/done")[2]["state"] == "FINISHED", 60, "it did not finish")
        server.stop()
        told = {}
        def ask(method, target, body=None):
            told[target] = daemon.ask(method, target, body)
        action = {"action": {"who": "ann", "reason": "r"}}
        crowd = [threading.Thread(target=ask, args=one) for one in
                 (("GET", "/v1/transactions/done"), ("GET", "/v1/transactions/nobody?timeout_ms=300"), ("GET", "/v1/transactions?all=true"),
                  ("GET", "/v1/transactions/done:watch"), ("POST", "/v1/transactions/aborted:abort?timeout_ms=300", action))]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
        deed = told.pop("/v1/transactions/aborted:abort?timeout_ms=300")
        # What cannot be put on record is not done; if that does not fail at once, the time is over.
        self.assertIn((deed[0], deed[2]["code"]), ((400, 9), (504, 4)), deed)
        # Who says how long is told that it is over.
        look = told.pop("/v1/transactions/nobody?timeout_ms=300")
        self.assertEqual((504, 4), (look[0], look[2]["code"]))
        for target, (code, headers, status) in told.items():
            self.assertEqual((503, 14, "1"), (code, status["code"], headers["Retry-After"]), (target, status))
        # What is in memory is still shown.
        self.assertEqual(200, daemon.ask("GET", "/v1/transactions/waits")[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
