#!/usr/bin/python3
"""Bad days of real coordinators on a PostgreSQL, each with a defined answer: what is said, and with which exit code."""

import re
import socket
import threading
import unittest

import members
import postgresql

WITHIN_S = 60
UNUSABLE = 73  # exit code
SLOTS = "8"


class OlderServer:
    """Between a client and the server, whose first words it changes: it is PostgreSQL 12, it says."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for pair in ((client, server, bytes), (server, client, self.changed)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def changed(data):
        return re.sub(rb"(server_version\0)\d\d", rb"\g<1>12", data)

    @staticmethod
    def copy(source, sink, change):
        try:
            while data := source.recv(65536):
                sink.sendall(change(data))
        except OSError:
            pass
        sink.close()


class BadDays(members.ServerTest):
    def member(self, name="a", *arguments, url=None):
        member = members.Member(name, url or self.server.url(self.database), "--new-log-slots", SLOTS, "--drain-seconds", "1",
                                *arguments)
        self.addCleanup(member.close)
        return member

    def sql(self, text):
        return self.server.sql(self.database, text)

    def refused(self, member):
        """What it says, and its exit code."""
        with self.assertRaises(RuntimeError) as raised:
            member.start()
        return str(raised.exception), member.process.wait(WITHIN_S)

    def until(self, condition, what):
        postgresql.until(condition, WITHIN_S, what)

    def test_a_server_that_is_too_old(self):
        older = OlderServer(self.server.port)
        self.addCleanup(older.listener.close)
        words, status = self.refused(self.member(url=self.server.url(self.database).replace(
            f":{self.server.port}/", f":{older.listener.getsockname()[1]}/")))
        self.assertEqual(UNUSABLE, status, words)
        self.assertIn("PostgreSQL 12 is too old: 13 or newer", words)

    def test_a_schema_of_a_newer_format(self):
        self.member().start().terminate()
        self.sql("UPDATE assent.log SET format = 7")
        words, status = self.refused(self.member())
        self.assertEqual(UNUSABLE, status, words)
        self.assertIn("has format 7, this program knows up to 2: a newer version made it", words)
        self.assertEqual("1", self.sql("SELECT count(*) FROM assent.member"), "it has touched nothing")

    def test_a_server_that_takes_no_writes(self):
        self.sql(f"ALTER DATABASE {self.database} SET default_transaction_read_only = on")
        words, status = self.refused(self.member())
        self.assertEqual(UNUSABLE, status, words)
        self.assertIn("this server takes no writes", words)

    def test_who_may_not_end_sessions_takes_over_all_the_same(self):
        """The fence needs no right of its own as long as the victim's session has ended with it."""
        self.sql("CREATE ROLE plain LOGIN")
        self.sql(f"ALTER DATABASE {self.database} OWNER TO plain")
        self.sql("REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) FROM PUBLIC")
        url = self.server.url(self.database).replace(postgresql.USER + "@", "plain@")
        dead = self.member("a", "--lease-seconds", "1", url=url).start()
        heir = self.member("b", "--lease-seconds", "1", url=url).start()
        dead.process.kill()
        self.until(lambda: self.sql("SELECT count(*) FROM assent.slot s JOIN assent.member m ON m.epoch = s.owner "
                                    "WHERE m.node = 'b'") == SLOTS, "taken over")
        self.assertIsNone(heir.process.poll())

    def test_an_address_that_nobody_reaches(self):
        """It beats, and serves who comes to it: nobody takes anything from it, and the others name it."""
        nowhere = f"127.0.0.1:{postgresql.free_port()}"
        lost = self.member("lost", "--advertise", nowhere).start()
        other = self.member("other").start()
        self.until(lambda: self.sql("SELECT min(n) FROM (SELECT count(*) AS n FROM assent.slot WHERE owner <> 0 GROUP BY owner) "
                                    "AS shares") == "4", "shared")
        ctl = members.Ctl(other.endpoint)
        self.until(lambda: re.search(r"^lost .* no answer +serving", ctl("cluster", "status").out, re.M), "shown")
        self.assertIn(f"node lost at {nowhere} did not answer: its unfinished transactions are not on the list", ctl("list").err)
        self.assertIsNone(lost.process.poll())

    def test_two_clusters_with_other_settings_in_one_schema_are_one(self):
        first = self.member("a", "--lease-seconds", "2").start()
        second = self.member("b", "--lease-seconds", "3").start()
        self.until(lambda: self.sql("SELECT count(DISTINCT owner) FROM assent.slot") == "2", "shared")
        for member in (first, second):
            words = members.Ctl(member.endpoint)("cluster", "status").out
            self.assertIn(first.endpoint, words)
            self.assertIn(second.endpoint, words)
        self.assertEqual("1", self.sql("SELECT count(*) FROM assent.log"))

    def test_a_member_of_another_version(self):
        member = self.member().start()
        self.sql("UPDATE assent.member SET version = '0.0.9'")
        ctl = members.Ctl(member.endpoint)
        self.until(lambda: "0.0.9" in ctl("cluster", "status").out, "shown")


if __name__ == "__main__":
    unittest.main(verbosity=2)
