#!/usr/bin/python3
"""The console before answers that a test has written: what coordinators say, and how a transaction stands, on days that are hard to make."""

import unittest

from browser import browser_of_all
from staged import CAUSES, INFO, SILENT, Staged, staged_attempt, staged_branch, staged_transaction

MARKUP = '<img src=x onerror="document.title=`hacked`">'


class HardDays(unittest.TestCase):
    """What a coordinator, or several of them, say when something is missing."""

    def setUp(self):
        self.browser = browser_of_all()
        self.staged = Staged()
        self.addCleanup(self.staged.close)
        self.addCleanup(self.browser.leave)

    def open(self, where="#/"):
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/{where}")

    def test_nothing_is_wrong(self):
        self.open()
        self.browser.see("Nothing needs attention")
        self.open("#/participants")
        self.browser.see("Nobody takes part yet")

    def test_a_daemon_that_starts(self):
        ready = dict(self.staged.answers)
        for path in ("/v1/server", "/v1/causes"):
            self.staged.answers[path] = (503, {"code": 14, "message": "this coordinator is starting; nothing was begun"})
        self.staged.answers["/readyz"] = (503, "[-]start: 1,200 of 5,000 rows are read\n[+]work: taken\n")
        self.open()
        self.browser.see("The daemon does not serve yet", ".banner")
        self.browser.see("1,200 of 5,000 rows are read", ".banner")
        self.assertIn("no answer", self.browser.text(".pulse"))
        self.staged.answers = ready
        self.browser.see("Nothing needs attention")
        self.browser.wait(lambda: self.browser.count(".banner") == 0, "the page does not see that it serves")

    def test_one_of_several_is_silent(self):
        answers = self.staged.answers
        answers["/v1/server"] = {**INFO, "members": [{"epoch": "21", "node": "node-a", "address": "10.0.0.1:7400", "info": INFO, "silent": ""},
                                                    {"epoch": "22", "node": "node-b", "address": "10.0.0.2:7400", "silent": SILENT["why"]}]}
        answers["/v1/causes"] = {**CAUSES, "silent": [SILENT], "slotsLeftOut": 12}
        answers["/v1/participants"]["silent"] = [SILENT]
        answers["/v1/transactions"] = {"transactions": [], "nextPageToken": "", "silent": [SILENT], "slotsLeftOut": 12}
        self.open()
        self.browser.see("node-b does not answer", ".banner")
        self.browser.see("node-b does not answer: its transactions are not counted here")
        self.browser.see("12 slots in nobody's hands")
        self.open("#/?view=list")
        self.browser.see("node-b does not answer: its unfinished transactions are missing here", ".foot")
        self.open("#/participants")
        self.browser.see("node-b does not answer: what it alone knows is missing")
        self.open("#/overview")
        self.browser.see("2 coordinators")
        self.assertTrue(any("node-b" in row and "does not answer" in row for row in self.browser.texts("tbody tr")))

    def test_it_refuses(self):
        self.staged.answers["/v1/server"] = {**INFO, "refusing": "disk full", "setAside": "2"}
        self.staged.answers["/v1/causes"] = (500, {"code": 13, "message": "a row cannot be read"})
        self.open()
        self.browser.see("New transactions are refused: disk full", ".banner-place")
        self.browser.see("Rows of the log cannot be read", ".banner-place")
        self.browser.see("It is not known what needs attention", "h1")
        self.browser.see("a row cannot be read")


class OneOnAHardDay(unittest.TestCase):
    """One transaction, in states that are hard to make: what is offered is possible, and what is said is so."""

    def setUp(self):
        self.browser = browser_of_all()
        self.staged = Staged()
        self.addCleanup(self.staged.close)
        self.addCleanup(self.browser.leave)

    def open(self, *branches, **more):
        self.staged.answers["/v1/transactions/g"] = staged_transaction("g", *branches, **more)
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/#/transactions/g")
        self.browser.see("Is it stuck?")

    def offered(self):
        return self.browser.texts(".actions button")

    def held(self, *branches):
        self.open(*branches, held=True, suspended=True, needsOperator=True, whyNotFinished="held: the log was put back to an older state")

    def test_what_is_held_is_offered_what_is_possible(self):
        # The coordinator never resumes two-phase work.
        self.held(staged_branch("1", "TWO_PHASE", "EXECUTED"), staged_branch("2", "TWO_PHASE"))
        self.assertEqual(["Abort…", "Resolve branch 1…", "Resolve branch 2…"], self.offered())
        said = self.browser.text(".answers")
        for words in ("Yes: it is held for a person", "resolve that branch as taking effect", "abort it", "It cannot be resumed"):
            self.assertIn(words, said)
        self.assertIn("held for a person", self.browser.text(".heading"))
        self.assertIn("assentctl resolve g 1 commit --dry-run", self.browser.text())
        self.assertNotIn("assentctl retry", self.browser.text())
        self.assertNotIn("assentctl resume", self.browser.text())
        self.held(staged_branch("1", "TCC", "EXECUTED"))
        self.assertEqual(["Resume…", "Abort…", "Resolve branch 1…"], self.offered())
        self.browser.see("resume it. Each is asked again", ".answers")
        # A pivot that may have happened decides: nobody aborts over it.
        self.held(staged_branch("1", state="EXECUTED"), staged_branch("2", pivot=True, state="WAITING"))
        self.assertEqual(["Resume…", "Resolve branch 1…", "Resolve branch 2…"], self.offered())
        self.browser.see("resolve the pivot, branch 2, as undone", ".answers")
        self.browser.click(".actions button", "Resolve branch 2")
        self.browser.see("how the whole transaction was decided", "dialog")
        self.assertNotIn("Nothing more is sent", self.browser.text("dialog"))

    def test_what_is_suspended_waits_for_a_person_alone(self):
        lost = staged_attempt(1, 1000000001000, result="NOT_SENT", error="no participant bank is connected")
        self.open(staged_branch("1", attempts=[lost], lastError="no participant bank is connected"), suspended=True)
        said = self.browser.text(".answers")
        self.assertIn("Suspended by a person", said)
        self.assertIn("Nothing, until somebody resumes it.", said)
        for words in ("waits for", "goes on by itself", "eld"):
            self.assertNotIn(words, said.replace("Suspended", ""))
        self.assertEqual(["Resume…", "Abort…"], self.offered())
        self.assertEqual(0, self.browser.count(".lanes .going"))
        # Nor is anything tried at the time at which it was due.
        self.open(staged_branch("1", attempts=[lost], lastError="reset", nextAttemptUnixMs="9000000000000"), suspended=True)
        self.assertNotIn("tried again", self.browser.text(".answers"))

    def test_attempts_that_are_not_shown_were_made(self):
        attempts = [staged_attempt(number, 1000000001000 + 1000 * number) for number in (1, 2, 3, 4, 90, 91)]
        self.open(staged_branch("1", attempts=attempts, dropped=85), staged_branch("2", dropped=3, left_out=7),
                  staged_branch("3", attempts=attempts[4:], left_out=1), staged_branch("4"))
        self.assertEqual(["+ 85 attempts not shown", "+ 10 attempts not shown", "+ 1 attempt not shown"],
                         self.browser.run("return [...document.querySelectorAll('.lanes .gap')].map((one) => one.textContent)"))
        summaries = self.browser.texts("details summary")
        for at, words in enumerate(("91 attempts", "10 attempts", "3 attempts", "0 attempts")):
            self.assertIn(words, summaries[at])
        said = self.browser.text("main")
        for words in ("85 attempts after the first ones are no longer kept.", "3 attempts after the first ones are no longer kept.",
                      "7 older attempts have no room here: all that are kept, as JSON.", "1 older attempt has no room here", "after 10 attempts"):
            self.assertIn(words, said + self.browser.run("return document.querySelector('.lanes').getAttribute('aria-label')"))
        self.assertEqual(1, said.count("None so far."))
        self.assertTrue(self.browser.run("return document.querySelector('details a').href").endswith("/v1/transactions/g?branch_id=2"))

    def test_a_trace_is_text_and_where_it_can_be_looked_at(self):
        trace = "0af7651916cd43dd8448eb211c80319c"
        parent = f"00-{trace}-b7ad6b7169203331-01"
        href = "return document.querySelector('.trace a')?.href || ''"
        self.open(staged_branch("1"), traceparent=parent)
        self.browser.see(trace, ".trace")
        self.assertEqual("", self.browser.run(href))
        self.assertEqual("Copy: trace id", self.browser.run("return document.querySelector('.trace button').getAttribute('aria-label')"))
        # The coordinator says where.
        for template, expected in (("https://traces.example/trace/{trace_id}?by=id", f"https://traces.example/trace/{trace}?by=id"),
                                   ("javascript:alert('{trace_id}')", ""), ("https://traces.example/", ""), ("no address {trace_id}", "")):
            self.staged.answers["/v1/server"] = {**INFO, "traceUrl": template}
            self.open(staged_branch("1"), traceparent=parent)
            self.browser.see(trace, ".trace")
            if expected:
                self.browser.wait(lambda: self.browser.run(href), "there is no link")
            self.assertEqual(expected, self.browser.run(href), template)
        # What is none is not shown for one.
        for none in ("", "00-" + "0" * 32 + "-b7ad6b7169203331-01", MARKUP, f"00-{trace[:-1]}-b7ad6b7169203331-01", None):
            self.open(staged_branch("1"), **({} if none is None else {"traceparent": none}))
            self.assertEqual(0, self.browser.count(".trace"), none)

    def test_a_cause_that_is_held_is_not_one_that_is_suspended(self):
        cause = {"key": "c0123456789", "kind": "HELD", "service": "", "operation": "OPERATION_UNSPECIFIED", "action": "", "count": "3", "needsOperator": "3",
                 "states": [{"state": "ACTIVE", "count": "3"}], "oldestUnixMs": "1000000000000", "gids": ["g"], "example": "held: …", "manyWordings": False,
                 "kinds": ["HELD"], "sentence": "held: the log was put back to an older state"}
        suspended = {**cause, "key": "c1123456789", "kind": "SUSPENDED", "kinds": ["SUSPENDED"], "needsOperator": "0", "sentence": "suspended by ann (recount)"}
        self.staged.answers["/v1/causes"] = {**CAUSES, "causes": [cause, suspended], "total": "6"}
        self.staged.answers["/v1/transactions"] = {"transactions": [], "nextPageToken": "", "silent": [], "slotsLeftOut": 0}
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/#/")
        self.browser.see("suspended by ann")
        badges = self.browser.texts(".cause .badge")
        self.assertEqual(["held, needs a person", "suspended"], badges)
        self.browser.click(".cause > h2 > button", "held: the log")
        self.browser.see("end them one by one")
        self.assertEqual([], self.offered())
        self.browser.click(".cause > h2 > button", "suspended by ann")
        self.browser.wait(lambda: self.offered() == ["Resume all…", "Abort all…"], self.offered)


if __name__ == "__main__":
    unittest.main(verbosity=2)
