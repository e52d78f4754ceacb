#!/usr/bin/python3
"""What coordinators and assentctl say when something is wrong with the log that they share, or with their settings."""

import unittest

import members
from members import Ctl

FENCED, WRONG_STATE = 75, 5
WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Words(members.MembersTest):
    def sql(self, text):
        return self.server.sql(self.database, text).strip()

    def test_without_its_tables(self):
        a = self.member("a")
        self.sql("ALTER SCHEMA assent RENAME TO elsewhere")
        line = self.line(a, "event=log_away")
        self.assertIn("schema assent has lost its tables (ERROR: relation 'log' does not exist): somebody dropped or renamed it", line)
        self.assertNotIn("\\u00", line)
        health = Ctl(a.endpoint)("health")
        self.assertEqual(1, health.code, health)
        self.assertIn("schema assent has lost its tables", health.out)
        self.assertNotIn("does not answer", health.out)
        self.sql("ALTER SCHEMA elsewhere RENAME TO assent")
        self.line(a, "event=log_back")
        self.until(lambda: Ctl(a.endpoint)("health").code == 0)

    def test_without_its_database(self):
        a, b = self.member("a"), self.member("b")
        self.until(lambda: len(Ctl(a.endpoint)("cluster", "-o", "json").json["members"]) == 2)
        self.server.kill()
        try:
            line = self.line(a, "event=log_away")
            self.assertNotIn("\\u00", line)
            self.assertEqual(4, line.count('"'), line)  # around error and hint
            health = Ctl(a.endpoint)("health")
            self.assertEqual(1, health.code, health)
            self.assertIn("the database does not answer: ", health.out)
            drain = Ctl(b.endpoint)("cluster", "drain", "a", "--reason", "test")
            self.assertEqual(WRONG_STATE, drain.code, drain)
            self.assertIn("the record of what people do cannot be kept: ", drain.err)
            self.assertIn("; nothing was done", drain.err)
        finally:
            self.server.start()

    def test_two_of_one_name(self):
        a = self.member("twin")
        b = self.member("twin")
        a.process.wait(60)
        self.assertEqual(FENCED, a.process.returncode)
        line = self.line(a, "event=fenced_out")
        self.assertIn("another coordinator with the name of this one (node twin) has started at " + b.endpoint, line)
        self.assertIn('hint="each coordinator needs a --node of its own"', line)

    def test_slots_of_a_log_that_is_there(self):
        self.assertNotIn("new_log_slots", self.member("a", "--new-log-slots", "16").words())
        self.assertIn("event=new_log_slots_ignored asked=32 has=16", self.member("b", "--new-log-slots", "32").words())

    def test_a_stop_waits_for_nobody_who_is_away(self):
        a = self.member("a", "--drain-seconds", "3600")
        submitted = Ctl(a.endpoint)("submit", "--gid", "waits", "--for", "accepted", stdin=WAITS.replace("2pc", "tcc"))
        self.assertEqual(0, submitted.code, submitted)
        self.assertEqual(0, a.terminate(), a.words())
        self.line(a, "event=drain phase=rest_waits transactions=1")
        a.start()
        self.assertIn("TRY", Ctl(a.endpoint)("show", "waits").out)

    def test_a_slot_set_aside(self):
        a = self.member("a")
        submitted = Ctl(a.endpoint)("submit", "--gid", "torn", "--for", "accepted", stdin=WAITS)
        self.assertEqual(0, submitted.code, submitted)
        a.process.kill()
        a.process.stdout.close()
        a.process.wait()
        self.sql("UPDATE assent.live SET state = 'torn'")
        slot = int(self.sql("SELECT slot FROM assent.live"))
        a.start()
        ctl = Ctl(a.endpoint)
        words = f"slot {slot} is set aside: a row of it cannot be read"
        self.assertIn(words, ctl("health").out)
        self.assertIn(words, ctl("cluster", "status").out)
        self.assertEqual([slot], ctl("health", "-o", "json").json["slots_set_aside"])
        self.assertEqual([slot], ctl("cluster", "-o", "json").json["members"][0]["slots_set_aside"])
        self.assertIn("slots set aside", ctl("stats").out)


if __name__ == "__main__":
    unittest.main()
