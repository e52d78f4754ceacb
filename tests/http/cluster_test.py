#!/usr/bin/python3
"""HTTP of three coordinators that share a real PostgreSQL: any port takes any transaction, also while one of them is killed."""

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

        third.process.kill()
        for number in range(COUNT, 2 * COUNT):
            code, _, reply = members[number % 2].ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order(f"c-{number}"))
            self.assertEqual((200, "COMMITTED"), (code, reply.get("outcome")), reply)

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
