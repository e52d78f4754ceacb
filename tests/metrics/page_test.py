#!/usr/bin/python3
"""/metrics of a real assentd: promtool finds nothing to blame, docs/metrics.md has every metric as it is served, figures move, and whatever
callers name themselves or their transactions, the page stays small.

    page_test.py ROOT [--table]      prints the table of the page instead
"""

import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../tls")]

import certificates  # noqa: E402
from rig import PATIENCE_SECONDS, Daemon, Participant, order, postgresql  # noqa: E402

ROOT = sys.argv[1]
SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
# Labels of metrics that have no sample before something has happened.
LATER = {"assent_log_rows": "`key`", "assent_participant_transactions_waiting": "`service`"}


class Page:
    """A page of metrics, taken apart."""

    def __init__(self, text):
        self.text, self.types, self.help, self.labels, self.samples = text, {}, {}, {}, {}
        for line in text.splitlines():
            kind = re.match(r"^# (HELP|TYPE) (\S+) (.*)$", line)
            if kind:
                (self.help if kind[1] == "HELP" else self.types)[kind[2]] = kind[3]
                continue
            if not line:
                continue
            name, labels, value = SAMPLE.match(line).groups()
            pairs = tuple(LABEL.findall(labels or ""))
            key = (name, tuple(sorted(pairs)))
            assert key not in self.samples, f"twice: {line}"
            self.samples[key] = float(value)
            family = name if name in self.types else re.sub(r"_(bucket|sum|count)$", "", name)
            assert family in self.types, line
            self.labels.setdefault(family, set()).update(label for label, _ in pairs if label != "le")

    def value(self, name, **labels):
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def rows(self):
        for name, kind in self.types.items():
            labels = ", ".join(f"`{label}`" for label in sorted(self.labels.get(name, ()))) or LATER.get(name, "")
            yield name, kind, labels, self.help[name]


def page_of(daemon):
    code, headers, text = daemon.ask("GET", "/metrics")
    assert code == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", (code, headers)
    return Page(text)


def busy():
    participant = Participant()
    authority = certificates.Authority()
    try:
        pair = authority.make("coordinator")
        daemon = Daemon("--unary", f"bank={participant.endpoint}", "--tls-cert", pair.cert, "--tls-key", pair.key, "--http-tls=false")
    finally:
        authority.close()  # what is served was read
    for number in range(20):
        daemon.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order(f"gid-{number}"))
    return participant, daemon


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.participant, cls.daemon = busy()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()
        cls.participant.close()

    def until(self, condition, what):
        """The page on which it is so."""
        def look():
            page = page_of(self.daemon)
            return page if condition(page) else None
        return postgresql.until(look, PATIENCE_SECONDS, what)

    def test_promtool_has_nothing_to_say(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=page_of(self.daemon).text, text=True, capture_output=True, check=False)
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))

    def test_the_page_of_the_docs_has_each_as_it_is_served(self):
        with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
            table = [tuple(cell.strip() for cell in line.strip("|\n").split("|")) for line in file if re.match(r"\| `[a-z]", line)]
        served = [(f"`{name}`", kind, labels, meaning) for name, kind, labels, meaning in page_of(self.daemon).rows()]
        self.assertEqual(served, table)
        self.assertGreater(len(served), 40)

    def test_figures_of_what_happened(self):
        page = self.until(lambda page: page.value("assent_transactions_finished_total", protocol="tcc", outcome="committed") >= 20, "ended")
        self.assertGreaterEqual(page.value("assent_transactions_decided_total", decision="commit"), 20)
        for operation in ("try", "confirm"):
            self.assertGreaterEqual(page.value("assent_participant_calls_total", service="bank", operation=operation, result="done"), 20)
        self.assertEqual(1, page.value("assent_participant_instances", service="bank"))
        for name in ("assent_transaction_decision_seconds", "assent_transaction_duration_seconds"):
            self.assertGreaterEqual(page.value(f"{name}_count"), 20)
            self.assertGreater(page.value(f"{name}_sum"), 0)
        # A group has at least one record; each has had its statements and its commit timed.
        groups = page.value("assent_log_group_entries_count")
        self.assertGreater(groups, 20)
        self.assertGreaterEqual(page.value("assent_log_records_total"), groups)
        self.until(lambda page: page.value("assent_log_group_entries_sum") == page.value("assent_log_records_total"), "all are of a group")
        self.assertGreater(page.value("assent_log_commit_seconds_sum"), 0)
        self.assertGreater(page.value("assent_log_file_bytes"), 0)
        self.assertGreaterEqual(page.value("assent_http_answers_total", code="200"), 20)
        self.assertGreaterEqual(page.value("assent_http_connections"), 1)
        self.assertGreater(page.value("process_resident_memory_bytes"), 1 << 20)

    def test_who_waits_is_counted_and_gets_older(self):
        self.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order("old", service="nobody", deadlineMs="600000"))
        page = self.until(lambda page: page.value("assent_participant_transactions_waiting", service="nobody") == 1
                          and page.value("assent_transactions_oldest_age_seconds", state="active") > 0, "waits")
        self.assertEqual(1, page.value("assent_transactions_in_flight", state="active"))
        age = page.value("assent_transactions_oldest_age_seconds", state="active")
        self.until(lambda page: page.value("assent_transactions_oldest_age_seconds", state="active") > age, "older")
        self.daemon.ask("POST", "/v1/transactions/old:abort", {"action": {"who": "ann", "reason": "r"}})
        page = self.until(lambda page: page.value("assent_transactions_in_flight", state="active") == 0, "gone")
        self.assertEqual(0, page.value("assent_transactions_oldest_age_seconds", state="active"))
        self.assertIsNone(page.value("assent_participant_transactions_waiting", service="nobody"))

    def test_whatever_callers_name_the_page_stays_small_and_has_no_gid(self):
        for number in range(300):
            self.daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order(f"many-{number}", service=f"service-{number}", deadlineMs="600000"))
        page = self.until(lambda page: page.value("assent_transactions_in_flight", state="active") >= 300, "begun")
        self.assertNotIn("many-", page.text)
        self.assertNotIn("gid-", page.text)
        self.assertEqual(100, sum(name == "assent_participant_transactions_waiting" for name, _ in page.samples))
        self.assertLess(len(page.text), 200_000)
        for number in range(300):
            self.daemon.ask("POST", f"/v1/transactions/many-{number}:abort", {"action": {"who": "ann", "reason": "r"}})


if __name__ == "__main__":
    if sys.argv[2:] == ["--table"]:
        the_participant, the_daemon = busy()
        print("\n".join(f"| `{name}` | {kind} | {labels + ' ' if labels else ''}| {meaning} |" for name, kind, labels, meaning in page_of(the_daemon).rows()))
        the_daemon.close()
        the_participant.close()
    else:
        unittest.main(argv=sys.argv[:1], verbosity=2)
