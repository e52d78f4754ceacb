#!/usr/bin/python3
"""The alert rules and the dashboard of tools/monitoring: promtool takes the rules, each fires in its case and in no quiet one, what they ask
for is served; and Debian's Prometheus, at a real assentd, sees an outage come and go.

    alerts_test.py ROOT
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../console")]

from outage import MISSPELT, Outage as WorstDay  # noqa: E402
from rig import PATIENCE_SECONDS, Daemon, Participant, order, postgresql  # noqa: E402

ROOT = sys.argv[1]
RULES = os.path.join(ROOT, "tools/monitoring/alerts.yml")
DASHBOARD = os.path.join(ROOT, "tools/monitoring/dashboard.json")
HERE_LABELS = 'job="assent",instance="a"'


def series(name, labels=""):
    return f"{name}{{{HERE_LABELS}{',' if labels else ''}{labels}}}"


def one(name, labels, fires, quiet):
    """A series that makes it fire, and what it is on a good day."""
    return {series(name, labels): fires}, {series(name, labels): quiet}


CALLS = "assent_participant_calls_total"
BUCKET = "assent_log_commit_seconds_bucket"
# By alert: series in which it fires, series in which it does not (one value each 15 s), and the labels of what fires beside those of HERE_LABELS.
CASES = {
    "AssentDown": (*one("up", "", "0x80", "1x80"), {}),
    "AssentNotServing": (*one("assent_serving", "", "0x80", "0x4 1x80"), {}),
    "AssentRestarts": (*one("process_start_time_seconds", "", "1x30 2x10 3x10 4x80", "1x30 2x10 3x80"), {}),
    "AssentNeedsOperator": (*one("assent_transactions_needing_operator", "", "2x80", "0x80"), {}),
    "AssentStuck": (*one("assent_transactions_oldest_age_seconds", 'state="committing"', "890+15x80", "100x80"), {"state": "committing"}),
    "AssentBadOutcome": (*one("assent_transactions_finished_total", 'protocol="tcc",outcome="hazard"', "0x70 1x10", "7x80"), {"job": None, "outcome": "hazard"}),
    "AssentParticipantAway": (*one("assent_participant_transactions_waiting", 'service="bank"', "5x80", "0x80"), {"service": "bank"}),
    "AssentParticipantFailing": ({series(CALLS, 'service="bank",operation="try",result="done"'): "0+8x80",
                                  series(CALLS, 'service="bank",operation="try",result="unknown"'): "0+2x80"},
                                 {series(CALLS, 'service="bank",operation="try",result="done"'): "0+99x80",
                                  series(CALLS, 'service="bank",operation="try",result="unknown"'): "0+1x80"}, {"job": None, "service": "bank"}),
    "AssentParticipantBacklog": (*one("assent_participant_commands_queued", 'service="bank"', "1001x80", "1000x80"), {"service": "bank"}),
    "AssentRefusing": (*one("assent_refusing", "", "1x80", "0x80"), {}),
    "AssentOverloaded": (*one("assent_transactions_refused_total", "", "0+3x80", "3x80"), {}),
    "AssentRowsUnopened": (*one("assent_log_rows_unopened_total", "", "0x70 2x10", "2x80"), {}),
    "AssentLogFull": (*one("assent_log_full", "", "0x78 1x2", "0x80"), {}),
    "AssentLogAway": (*one("assent_log_away", "", "1x80", "0x78 1"), {}),
    "AssentLogSlow": ({series(BUCKET, 'le="0.5"'): "0+90x80", series(BUCKET, 'le="1"'): "0+100x80", series(BUCKET, 'le="+Inf"'): "0+100x80"},
                      {series(BUCKET, 'le="0.5"'): "0+100x80", series(BUCKET, 'le="1"'): "0+100x80", series(BUCKET, 'le="+Inf"'): "0+100x80"}, {"job": None}),
    "AssentSetAside": (*one("assent_transactions_set_aside", "", "1x80", "0x80"), {}),
    "AssentShardSilent": (*one("assent_silent_shards", "", "1x80", "0x79 1"), {}),
    "AssentFewFiles": ({series("process_open_fds"): "81x80", series("process_max_fds"): "100x80"},
                       {series("process_open_fds"): "79x80", series("process_max_fds"): "100x80"}, {}),
    # Prometheus tests rules from 1970 on.
    "AssentCertificateExpires": (*one("assent_tls_certificate_expiry_timestamp_seconds", 'certificate="server"', f"{13 * 86400}x80", f"{15 * 86400}x80"),
                                 {"certificate": "server"}),
    "AssentStrangers": ({series("assent_auth_failures_total", 'reason="bad_jwt"'): "0x70 60x10", series("assent_auth_failures_total", 'reason="barred"'): "0x70 60x10"},
                        {series("assent_auth_failures_total", 'reason="denied"'): "0+60x80", series("assent_auth_failures_total", 'reason="bad_jwt"'): "0x70 50x10"},
                        {"job": None}),
    "AssentWebhookLoses": ({series("assent_webhook_events_total", 'result="given_up"'): "0x70 1x10", series("assent_webhook_events_total", 'result="dropped"'): "0x70 0x10"},
                           {series("assent_webhook_events_total", 'result="delivered"'): "0+1x80", series("assent_webhook_events_total", 'result="dropped"'): "7x80"},
                           {"job": None}),
    "AssentTracesLost": ({series("assent_trace_spans_dropped_total", 'reason="queue_full"'): "0x70 9x10", series("assent_trace_spans_dropped_total", 'reason="rejected"'): "3x80"},
                         {series("assent_trace_spans_dropped_total", 'reason="queue_full"'): "9x80"}, {"job": None, "reason": "queue_full"}),
}


def rules():
    with open(RULES, encoding="utf-8") as file:
        return yaml.safe_load(file)


def metrics_of_docs():
    with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
        return {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (\w+) \|", file.read(), re.M)}


def named(expression):
    return set(re.findall(r"\b(?:assent|process)_[a-z_]+", expression))


class Rules(unittest.TestCase):
    def promtool(self, *words):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_promtool_takes_them(self):
        self.promtool("check", "rules", "--lint-fatal", RULES)

    def test_each_fires_in_its_case_and_in_no_other(self):
        all_rules = {rule["alert"]: rule for rule in rules()["groups"][0]["rules"]}
        self.assertEqual(sorted(all_rules), sorted(CASES))
        bare = {"groups": [{"name": "bare", "rules": [{key: value for key, value in rule.items() if key != "annotations"} for rule in all_rules.values()]}]}
        tests = []
        for alert, (fires, quiet, labels) in CASES.items():
            expected = {"job": "assent", "instance": "a", **all_rules[alert]["labels"], **labels}
            expected = {key: value for key, value in expected.items() if value is not None}
            as_series = lambda values: [{"series": name, "values": value} for name, value in values.items()]
            when = {"eval_time": "20m", "alertname": alert}
            checks = [{**when, "exp_alerts": [{"exp_labels": expected}]}]
            if "for" in all_rules[alert]:  # not at once
                checks.append({**when, "eval_time": "15s", "exp_alerts": []})
            tests += [{"interval": "15s", "input_series": as_series(fires), "alert_rule_test": checks},
                      {"interval": "15s", "input_series": as_series(quiet), "alert_rule_test": [{**when, "exp_alerts": []}]}]
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("bare.yml", bare), ("test.yml", {"rule_files": ["bare.yml"], "evaluation_interval": "15s", "tests": tests})):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    yaml.safe_dump(content, file)
            self.promtool("test", "rules", os.path.join(folder, "test.yml"))

    def test_what_is_asked_for_is_served(self):
        served = metrics_of_docs()
        for rule in rules()["groups"][0]["rules"]:
            self.assertTrue(rule["annotations"]["summary"] and rule["annotations"]["description"], rule)
        with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
            self.assertEqual(set(CASES), set(re.findall(r"`(Assent\w+)`", file.read())))
        with open(DASHBOARD, encoding="utf-8") as file:
            targets = [target["expr"] for panel in json.load(file)["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(targets), 12)
        for expression in [rule["expr"] for rule in rules()["groups"][0]["rules"]] + targets:
            for name in named(expression):
                self.assertIn(re.sub(r"_(bucket|sum|count)$", "", name) if name not in served else name, served, expression)


class Prometheus:
    """Debian's, with the rules as they are but for their patience."""

    def __init__(self, target):
        self._folder = tempfile.TemporaryDirectory(prefix="assent-prometheus-")
        impatient = rules()
        for rule in impatient["groups"][0]["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["alerts.yml"],
                  "scrape_configs": [{"job_name": "assent", "static_configs": [{"targets": [target]}]}]}
        for name, content in (("alerts.yml", impatient), ("prometheus.yml", config)):
            with open(os.path.join(self._folder.name, name), "w", encoding="utf-8") as file:
                yaml.safe_dump(content, file)
        self._log = open(os.path.join(self._folder.name, "log"), "wb")
        self.port = postgresql.free_port()
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={self._folder.name}/prometheus.yml", f"--storage.tsdb.path={self._folder.name}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self._log, stderr=self._log)

    def ask(self, path, **query):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)["data"]

    def firing(self):
        """{alert: its annotations}"""
        try:
            return {one["labels"]["alertname"]: one["annotations"] for one in self.ask("alerts")["alerts"] if one["state"] == "firing"}
        except OSError:  # not up yet
            return {}

    def summaries(self, alert):
        """Of each that fires under this name."""
        try:
            return [one["annotations"]["summary"] for one in self.ask("alerts")["alerts"] if one["labels"]["alertname"] == alert and one["state"] == "firing"]
        except OSError:
            return []

    def close(self):
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()


class Outage(unittest.TestCase):
    def until_firing(self, *alerts):
        return postgresql.until(lambda: set(alerts) <= set(self.prometheus.firing()) and self.prometheus.firing(), PATIENCE_SECONDS, lambda: self.prometheus.firing())

    def until_over(self, *alerts):
        postgresql.until(lambda: not set(alerts) & set(self.prometheus.firing()), PATIENCE_SECONDS, lambda: self.prometheus.firing())

    def test_the_right_alerts_fire_and_are_over(self):
        bank = f"127.0.0.1:{postgresql.free_port()}"
        daemon = Daemon("--unary", f"bank={bank}", "--drain-seconds", "0")
        self.addCleanup(daemon.close)
        self.prometheus = Prometheus(f"127.0.0.1:{daemon.port}")
        self.addCleanup(self.prometheus.close)
        postgresql.until(lambda: self.scraped() == "1", PATIENCE_SECONDS, "it is scraped")

        # A service is away, and orders wait for it.
        for number in range(50):
            daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order(f"o-{number}", deadlineMs="600000"))
        said = self.until_firing("AssentParticipantAway")
        self.assertRegex(said["AssentParticipantAway"]["summary"], r"^\d+ transactions at 127\.0\.0\.1:\d+ wait for bank, of which nobody can be reached$")
        self.assertNotIn("AssentDown", said)
        participant = Participant(bank)
        self.addCleanup(participant.close)
        self.until_over("AssentParticipantAway")

        # The coordinator dies, and is back at the same address.
        port = daemon.port
        daemon.process.kill()
        daemon.process.wait()
        daemon.process.stdout.close()
        self.until_firing("AssentDown")
        daemon.start("--http-listen", f"127.0.0.1:{port}")
        self.until_over("AssentDown")
        self.assertEqual({}, self.prometheus.firing())

        with open(DASHBOARD, encoding="utf-8") as file:
            panels = json.load(file)["panels"]
        for target in [target for panel in panels for target in panel.get("targets", [])]:
            self.prometheus.ask("query", query=target["expr"].replace("$__rate_interval", "1m"), time=time.time())

    def test_each_cause_is_named_and_a_batch_ends_it(self):
        """Orders wait for a service that is down, one for a name that nobody has, and a compensation is refused: three alerts, each with its cause."""
        day = WorstDay(50)
        self.addCleanup(day.close)
        self.prometheus = Prometheus(f"127.0.0.1:{day.daemon.port}")
        self.addCleanup(self.prometheus.close)
        self.until_firing("AssentParticipantAway", "AssentNeedsOperator")

        def away():
            said = self.prometheus.summaries("AssentParticipantAway")
            return len(said) == 2 and sorted(said, key=lambda one: MISSPELT in one)
        payment, misspelt = postgresql.until(away, PATIENCE_SECONDS, lambda: self.prometheus.firing())
        self.assertRegex(payment, r"^50 transactions .* wait for payment, of which nobody can be reached$")
        self.assertRegex(misspelt, rf"^1 transactions .* wait for {MISSPELT}, ")
        self.assertRegex(self.prometheus.summaries("AssentNeedsOperator")[0], r"^1 transactions .* do not go on without a person$")

        day.inventory.answer("reserve", "COMPENSATE")
        day.inventory.answer("rude", "ACTION")
        day.payment.up()
        action = {"who": "ann", "reason": "mended"}
        self.assertEqual("1", day.daemon.ask("POST", "/v1/transactions:batch", {"verb": "ABORT", "service": MISSPELT, "action": action})[2]["done"])
        # Some of them may have ended by themselves meanwhile.
        self.assertEqual(200, day.daemon.ask("POST", "/v1/transactions:batch", {"verb": "RETRY", "all": True, "action": action})[0])
        self.until_over("AssentParticipantAway", "AssentNeedsOperator")
        self.assertEqual([], day.unfinished())

    def scraped(self):
        try:
            result = self.prometheus.ask("query", query="assent_serving")["result"]
        except OSError:
            return None
        return result[0]["value"][1] if result else None


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
