#!/usr/bin/python3
"""The console in a browser, against a real assentd on a bad day: causes are found, one transaction is understood and helped, and
whatever is written into texts stays text."""

import signal
import unittest

from browser import CONTRASTS, NAMELESS, Keys, browser_of_all
from outage import MARKUP, MISSPELT, Outage, branch, types_pb2

ORDERS = 1001
PAGES = ["#/", "#/?view=list", "#/transactions/needs-1", "#/transactions/rude-1", "#/participants", "#/overview"]


class Console(unittest.TestCase):
    orders = ORDERS

    @classmethod
    def setUpClass(cls):
        cls.outage = Outage(cls.orders)
        cls.addClassCleanup(cls.outage.close)
        cls.browser = browser_of_all()
        cls.addClassCleanup(cls.browser.leave)

    def setUp(self):
        self.browser.log()
        self.browser.look()

    # Nothing was refused by the policy, nothing failed, nothing was missing.
    def tearDown(self):
        self.assertEqual([], self.complaints())

    def complaints(self):
        return self.browser.log()

    def open(self, where="#/"):
        self.browser.open(f"http://127.0.0.1:{self.outage.daemon.port}/console/{where}")
        self.browser.wait(lambda: self.browser.text("main h1") and "Loading…" not in self.browser.text(), f"{where} is not there")

    # Another page of the console that is open, if it is this daemon's.
    def go(self, where):
        if f":{self.outage.daemon.port}/console/" not in self.browser.driver.current_url:
            return self.open(where)
        self.browser.run("location.hash = arguments[0]", where)
        self.browser.wait(lambda: self.browser.run("return document.querySelector('main').dataset.at") == where and "Loading…" not in self.browser.text(),
                          f"{where} is not there")

    def causes(self):
        return self.browser.texts(".cause > h2")

    def cause(self, words):
        self.browser.wait(lambda: any(words in one for one in self.causes()), f"no cause says {words!r}")
        return next(one for one in self.causes() if words in one)

    # ---- Helping -------------------------------------------------------------------------------------

    def do(self, button, effect, reason, choice="", selector="main button"):
        """Presses it, reads what it will do, says who and why, and does it."""
        self.browser.click(selector, button)
        if choice:
            self.browser.click("dialog .choice", choice)
        self.browser.see(effect, "dialog .effect")
        self.browser.type("dialog input[name=who]", "ann")
        self.browser.type("dialog input[name=reason]", reason)
        self.browser.click("dialog button[type=submit]")
        self.browser.wait(lambda: self.browser.count("dialog") == 0, f"{button} is not done: {self.browser.text('dialog')}")


class Looking(Console):
    def test_each_cause_is_on_the_first_page(self):
        self.go("#/")
        self.assertIn(f"{ORDERS:,}", self.cause("payment: not connected"))
        self.assertIn("1\n", self.cause(MISSPELT))
        # It may be misspelt: said once the page has had the figures.
        self.browser.see("nobody of this name was here since the start; like: payment", ".causes")
        self.assertIn("needs a person", self.cause("the shelf is sealed"))
        # What needs a person comes first, and the frame says it on each page.
        self.assertIn("the shelf is sealed", self.causes()[0])
        self.assertEqual("1", self.browser.text(".bubble"))
        self.assertIn("1 needs a person", self.browser.text("h1"))

    def test_a_row_opens(self):
        self.go("#/")
        self.browser.click(".cause > h2 > button", "payment: not connected")
        self.browser.see("order-0000", ".list")
        self.assertIn("cause=", self.browser.driver.current_url)
        # It stays open while the page goes on asking, and for whoever gets the address.
        self.open(self.browser.driver.current_url.split("/console/")[1])
        self.browser.see("order-0000", ".list")
        self.browser.click(".row a", "order-0003")
        self.browser.see("Is it stuck?")
        self.browser.driver.back()
        self.browser.see("order-0000", ".list")
        self.browser.driver.back()

    def test_filters_stand_in_the_address(self):
        self.go("#/")
        self.browser.click("select[name=state] option", "aborting")
        self.browser.see_no_more("payment: not connected")
        self.assertIn("state=aborting", self.browser.driver.current_url)
        self.assertEqual(1, len(self.causes()))
        self.go(f"#/?service={MISSPELT}")
        self.assertEqual(1, len(self.causes()), self.causes())
        self.assertIn(f"--service {MISSPELT}", self.browser.text(".same"))
        self.go("#/?state=all&label=customer%3D7")
        self.browser.see("needs-1", ".list")
        self.assertEqual(1, self.browser.count(".row"))
        self.go("#/?state=committed")
        self.browser.see("done-1", ".list")
        self.go("#/?prefix=nothing-")
        self.browser.see("Nothing unfinished matches")

    def test_a_gid_is_found(self):
        self.go("#/")
        self.browser.key("/")
        self.browser.key("typo-1", Keys.ENTER)
        self.browser.see(f"no participant {MISSPELT} is connected")
        self.browser.key("/")
        self.browser.key("order-000", Keys.ENTER)
        self.browser.see("order-0009", ".list")
        self.go("#/transactions/nobody")
        self.browser.see("There is no such transaction")
        # The browser tells of each 404.
        self.assertTrue(all("404" in one for one in self.browser.log()))

    def test_one_transaction_in_four_answers(self):
        self.go("#/transactions/needs-1")
        self.browser.see("Yes: a person has to look", ".answers")
        said = self.browser.text(".answers")
        for words in ("Saga of 2 branches at inventory, payment", "last: the shelf is sealed", "It aborts because: branch 2 payment/refuse refused: no money",
                      "resolve branch 1 by hand"):
            self.assertIn(words, said)
        # The picture: a lane for each branch, what was tried, and the line where it was decided.
        self.assertEqual(2, self.browser.count(".lanes .rail"))
        self.assertEqual(1, self.browser.count(".lanes .moment.abort"))
        self.assertGreater(self.browser.count(".lanes .tick.bad"), 2)
        self.assertIn("assentctl show needs-1 --watch", self.browser.text("main"))
        self.go("#/transactions/order-0000")
        self.browser.see("Yes: it waits for payment", ".answers")
        self.browser.see("as soon as somebody of payment can be reached", ".answers")

    def test_who_is_gone_and_what_waits(self):
        self.go("#/participants")
        rows = self.browser.texts("tbody tr")
        self.assertRegex(rows[0], rf"payment[\s\S]*cannot be reached[\s\S]*{ORDERS:,} transactions")
        self.assertTrue(any(MISSPELT in row and "nobody connected" in row for row in rows), rows)
        self.browser.see("like: payment", ".participants")
        self.browser.click("tbody td a", f"{ORDERS:,}")
        self.cause("payment: not connected")

    def test_overview(self):
        self.go("#/overview")
        self.browser.see(f"{ORDERS + 3:,}", ".tiles")
        self.browser.wait(lambda: "L" in (self.browser.run("return document.querySelector('.plot .line').getAttribute('d')") or ""), "there is no line")
        self.assertEqual(4, self.browser.count("svg.plot"))

    def test_what_others_wrote_stays_text(self):
        for where in ("#/", "#/?view=list&prefix=rude", "#/transactions/rude-1", "#/?state=all&label=" + "note%3D%3Cimg%20src%3Dx%3E"):
            self.go(where)
            if "label" not in where:
                self.browser.wait(lambda: MARKUP in self.browser.run("return document.querySelector('main').textContent"), f"{where} does not show it")
            self.assertEqual(0, self.browser.count("img"), where)
            self.assertNotIn("hacked", self.browser.driver.title)
        # Nor does our own hand make elements of texts: the policy refuses it.
        refused = self.browser.run("try { document.body.innerHTML = '<b>x</b>'; return false } catch (error) { return error.name }")
        self.assertEqual("TypeError", refused)
        self.assertTrue(all("TrustedHTML" in one for one in self.browser.log()))


class Reading(Console):
    """Colours, sizes, names and keys."""

    orders = 30

    def test_light_and_dark(self):
        seen = set()
        for dark in (False, True):
            self.browser.look(dark=dark)
            for where in PAGES:
                self.go(where)
                weak = [one for one in self.browser.run(CONTRASTS) if one[1] < 4.5]
                self.assertEqual([], weak, f"{where}, {'dark' if dark else 'light'}")
            seen.add(self.browser.run("return getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(2, len(seen))

    def test_a_small_screen(self):
        self.browser.look(360, 740)
        for where in PAGES:
            self.go(where)
            wide = self.browser.run("return [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && !one.closest('.wide, svg, .away, .skip') && "
                                    "one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 200))")
            self.assertEqual([], wide, where)
            self.assertLessEqual(self.browser.run("return document.documentElement.scrollWidth"), 360, where)

    def test_all_has_a_name(self):
        for where in PAGES:
            self.go(where)
            self.assertEqual([], self.browser.run(NAMELESS), where)
            self.assertEqual(1, self.browser.count("h1"), where)
            self.assertEqual([1, 1], [self.browser.count("main"), self.browser.count("header.top")])
        self.browser.click("button.help")
        self.assertEqual([], self.browser.run(NAMELESS))
        self.browser.key(Keys.ESCAPE)

    def test_keys(self):
        self.go("#/")
        self.cause("payment: not connected")
        focus = "return document.activeElement.innerText"
        self.browser.key("j")
        self.assertIn("the shelf is sealed", self.browser.run(focus))
        while "payment: not connected" not in self.browser.run(focus):
            self.browser.key("j")
        self.browser.key(Keys.ENTER)
        self.browser.see("order-0001", ".list")
        self.browser.key("j")
        self.browser.key("j")
        self.assertIn("order-0001", self.browser.run(focus))
        self.browser.key("k")
        self.browser.key(Keys.ENTER)
        self.browser.see("Is it stuck?")
        self.assertIn("order-0000", self.browser.text("h1"))
        self.browser.key(Keys.ESCAPE)
        # Back where one was.
        self.browser.wait(lambda: "order-0000" in self.browser.run(focus), "the list begins anew")
        self.browser.key(Keys.ESCAPE)
        self.browser.wait(lambda: self.browser.count(".list") == 0, "the row stays open")
        self.browser.key("?")
        self.browser.see("next, previous", "dialog")
        self.browser.click("dialog button", "Close")
        self.browser.wait(lambda: self.browser.count("dialog") == 0, "the keys stay")
        self.browser.key("2")
        self.browser.see("Participants", "h1")


class Helping(Console):
    """An outage from the first look to its end."""

    orders = 30

    def test_an_outage_is_repaired(self):
        browser, outage = self.browser, self.outage
        # The one that needs a person: what resolving means is said before, and done when it has a reason.
        self.go("#/")
        browser.click(".cause > h2 > button", "the shelf is sealed")
        browser.click(".row a", "needs-1")
        self.do("Resolve branch 1", "abort", "the shelf was emptied by hand", choice="is undone")
        browser.see("aborted", ".heading")
        browser.see("ann: resolve abort, branch 1: “the shelf was emptied by hand”")
        self.assertEqual("ABORTED", outage.get("needs-1")["outcome"])
        # The misspelt one: nobody will ever come. A dialog that is left does nothing.
        self.go("#/transactions/typo-1")
        browser.click("main button", "Abort")
        browser.see("abort", "dialog .effect")
        browser.click("dialog button", "Cancel")
        self.assertEqual("ACTIVE", outage.get("typo-1")["state"])
        outage.inventory.answer("rude", "ACTION")
        self.do("Abort", "abort", "misspelt")
        browser.see("aborted", ".heading")
        # One is held, and let go again.
        self.go("#/transactions/order-0002")
        self.do("Suspend", "", "to look")
        browser.see("suspended", ".heading")
        self.do("Resume", "", "looked")
        browser.see("active", ".heading")
        self.all_at_once()
        self.payment_comes_back()

    def all_at_once(self):
        """What is done to all of one cause: how many there are and which comes first, then how far it is, then what came of it."""
        browser, outage = self.browser, self.outage
        self.go("#/")
        browser.click(".cause > h2 > button", "payment: not connected")
        browser.click("main button", "Suspend all")
        browser.see("30 transactions", "dialog h2")
        browser.see("For example order-0000", "dialog .sample")
        browser.click("dialog button", "Cancel")
        self.assertFalse(outage.get("order-0000")["suspended"])
        self.do("Suspend all", "Of order-0000: ", "payment is being repaired")
        browser.see("Suspend: 30 transactions done", ".toast")
        self.cause("suspended by ann")
        self.assertEqual([], [one["gid"] for one in outage.unfinished(gid_prefix="order-") if not one["suspended"]])
        self.assertEqual(("ann", "payment is being repaired"), tuple(outage.get("order-0029")["interventions"][0][name] for name in ("who", "reason")))
        browser.click(".cause > h2 > button", "suspended by ann")
        self.do("Resume all", "Of order-0000: ", "payment is repaired")
        browser.see("Resume: 30 transactions done", ".toast")
        self.cause("payment: not connected")

    def payment_comes_back(self):
        browser, outage = self.browser, self.outage
        self.go("#/transactions/order-0001")
        browser.see("it waits for payment")
        outage.payment.up()
        # The page is told, and nobody loads it anew.
        browser.see("committed", ".heading")
        self.assertEqual(1, browser.count(".lanes .moment.commit"))
        self.go("#/")
        browser.see("Nothing needs attention")
        self.assertEqual([], outage.unfinished())


class Trouble(Console):
    orders = 3

    # A browser tells of each connection that nobody takes.
    def complaints(self):
        return [one for one in self.browser.log() if "Failed to load resource" not in one]

    def test_a_daemon_that_goes_and_comes(self):
        browser, daemon = self.browser, self.outage.daemon
        self.go("#/transactions/order-0001")
        browser.see("it waits for payment")
        daemon.process.kill()
        daemon.process.wait()
        browser.see("The daemon does not answer since", ".banner")
        # What was known stays to be read.
        self.assertIn("it waits for payment", browser.text())
        daemon.process.stdout.close()
        daemon.http_listen = f"127.0.0.1:{daemon.port}"
        daemon.start()
        browser.wait(lambda: browser.count(".banner") == 0, "the page does not find it again")
        self.outage.payment.up()
        browser.see("committed", ".heading")

    def test_a_daemon_that_stops_says_so(self):
        browser, daemon = self.browser, self.outage.daemon
        daemon.ask("POST", "/v1/transactions:begin", {"gid": "open-1", "deadlineMs": "3600000"})
        self.go("#/")
        # It waits for the one that is open.
        daemon.process.send_signal(signal.SIGTERM)
        browser.see("New transactions are refused", ".banner")
        self.assertIn("refusing", browser.text(".pulse"))
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait()
        browser.see("The daemon does not answer since", ".banner")


class Many(Console):
    orders = 0

    def test_a_hundred_thousand_rows(self):
        browser, count = self.browser, 100_000
        self.outage.submit_many([types_pb2.TransactionSpec(gid=f"many-{at:06}", deadline_ms=86_400_000, branches=[branch("nobody", "do")]) for at in range(count)])
        self.go("#/")
        self.assertIn(f"{count:,}", self.cause("nobody"))
        browser.click(".cause > h2 > button", "nobody")
        browser.see("many-000000", ".list")
        browser.key(Keys.END)
        browser.see(f"many-{count - 1:06}", ".list")
        browser.see(f"{count:,} shown, that is all of them.", ".list .foot")
        # Only what is seen is there, and it is still quick to the finger.
        self.assertLess(browser.count(".row"), 100)
        browser.key("k")
        self.assertIn(f"many-{count - 2:06}", browser.run("return document.activeElement.innerText"))
        browser.key(Keys.HOME)
        browser.see("many-000000", ".list")


if __name__ == "__main__":
    unittest.main(verbosity=2)
