#!/usr/bin/python3
"""What others wrote, in the console: nothing of it turns a page round, hides in it, or comes into a terminal with what is copied."""

import os
import re
import unittest

from browser import browser_of_all
from staged import Staged, staged_attempt, staged_branch, staged_transaction

HERE = os.path.dirname(os.path.abspath(__file__))
UNSEEN = "\u202eturned\u202c \u2066iso\u2069 \x1b[31mred\x9b2J \u200bjoined\u200d\ufeff \U000e0041tag"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")


class Texts(unittest.TestCase):
    def setUp(self):
        self.browser = browser_of_all()
        self.staged = Staged()
        self.addCleanup(self.staged.close)
        self.addCleanup(self.browser.leave)

    def test_what_others_wrote(self):
        branch = staged_branch("1", attempts=[staged_attempt(1, 1000000000000, error=UNSEEN)], lastError=UNSEEN)
        people = [{"atUnixMs": "1000000000000", "who": UNSEEN, "verb": "RETRY", "branchId": "", "reason": UNSEEN}]
        self.staged.answers["/v1/transactions/g"] = staged_transaction("g", branch, labels={"customer": UNSEEN, UNSEEN: "v"}, whyNotFinished=UNSEEN,
                                                                       abortReason=UNSEEN, interventions=people)
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/#/transactions/g")
        self.browser.see("Is it stuck?")
        html = self.browser.run("return document.documentElement.outerHTML")
        self.assertGreaterEqual(html.count(r"\u202eturned\u202c \u2066iso\u2069 \u001b[31mred\u009b2J \u200bjoined\u200d\ufeff \udb40\udc41tag"), 5)
        self.assertEqual([], RAW.findall(html))
        self.assertEqual([], RAW.findall(self.browser.driver.title))

    def test_what_is_copied_to_a_terminal(self):
        quoted = """const [word, done] = arguments; import("./format.js").then(({ quoted }) => done(quoted(word)));"""
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/")
        for word, there in (("plain", "plain"), ("it's", r"'it'\''s'"), ("a\nb'\\", r"$'a\nb\'\\'"), ("\u202e\x1b", r"$'\u202e\u001b'"), ("\U000e0041", r"$'\U000e0041'")):
            self.assertEqual(there, self.browser.driver.execute_async_script(quoted, word))

    def test_they_are_those_of_everybody_else(self):
        with open(os.path.join(HERE, "../../proto/vocabulary/assent/text.h"), encoding="utf-8") as file:
            ranges = re.search(r"kRanges\{\s*(\{.*?\}\})\}", file.read(), re.S)[1]
        bounds = {int(c, 16) for c in re.findall(r"0x([0-9a-f]+)", ranges)}
        unseen = """const done = arguments[0]; import("./unseen.js").then(({ isSeen }) => {
          const found = [];
          for (let c = 0; c < 0x110000; ++c) if (!(c >= 0xd800 && c < 0xe000) && !isSeen(String.fromCodePoint(c))) found.push(c);
          done(found); });"""
        self.browser.open(f"http://127.0.0.1:{self.staged.port}/console/")
        there = self.browser.driver.execute_async_script(unseen)
        edges = {c for c in there if c - 1 not in set(there)} | {c for c in there if c + 1 not in set(there)}
        self.assertEqual(bounds, edges)


if __name__ == "__main__":
    unittest.main()
