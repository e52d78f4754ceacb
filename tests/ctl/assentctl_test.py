#!/usr/bin/python3
"""assentctl against a real assentd and participants that answer as they are told."""

import json
import os
import re
import unittest

from daemon import Ctl, CtlTest, Daemon, free_port
from scripted_participant import REPLY, ScriptedParticipant
from terminal import at_a_terminal


def branch(service, action, protocol="tcc", **more):
    return {"protocol": protocol, "service": service, "action": action, **more}


class WithDaemon(CtlTest):
    def setUp(self):
        self.stock = ScriptedParticipant()
        self.addCleanup(self.stock.down)
        self.orders = ScriptedParticipant()
        self.addCleanup(self.orders.down)
        self.daemon = Daemon("--unary", f"inventory={self.stock.address}", "--unary", f"orders={self.orders.address}")
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, code, gid, branches, *arguments, **more):
        return self.expect(code, "submit", "--gid", gid, *arguments, stdin=json.dumps({"branches": branches, **more}))

    def show(self, gid):
        return self.expect(0, "show", gid, "-o", "json").json

    def stuck_after_decision(self, gid, backoff="1h"):
        """A TCC transaction that is decided while inventory is gone: its CONFIRM finds nobody."""
        confirm = self.orders.hold("create", "TRY")
        slow = {"retry": {"initial_backoff": backoff, "max_backoff": backoff}}
        self.submit(0, gid, [branch("inventory", "reserve", **slow), branch("orders", "create")], "--for", "accepted")
        self.until(lambda: self.show(gid)["branches"][0]["state"] == "EXECUTED")
        self.assertTrue(confirm.arrived.wait(20))
        self.stock.down()
        confirm.set()
        self.until(lambda: self.show(gid)["branches"][0]["last_error"])


class Outcomes(WithDaemon):
    def test_commit(self):
        self.stock.answer("reserve", "TRY", result=b"shelf 12")
        result = self.submit(0, "order-1", [branch("inventory", "reserve", payload={"sku": "A"}), branch("orders", "create")])
        self.assertRegex(result.out, r"order-1  COMMITTED after \d+ ms\n  1  inventory/reserve  shelf 12\n")
        self.assertEqual("submitted order-1", result.err.splitlines()[0])
        page = self.expect(0, "show", "order-1", "--payloads").out
        self.assertIn("state        FINISHED COMMITTED", page)
        self.assertRegex(page, r"decision     COMMIT, durable ")
        self.assertIn('{"sku":"A"}', page)
        what = re.findall(r"^  \+\S+ ?s? +(?:\d  )? *(begun|TRY|CONFIRM|decision|finished)", page, re.MULTILINE)
        self.assertEqual(["begun", "TRY", "TRY", "decision", "CONFIRM", "CONFIRM", "finished"], what, page)

    def test_refusal_is_ten_and_says_why(self):
        self.stock.answer("reserve", "TRY", REPLY.REFUSED, reason="out of stock")
        result = self.submit(10, "order-2", [branch("orders", "create"), branch("inventory", "reserve")])
        self.assertIn("ABORTED", result.out)
        self.assertIn("out of stock", result.out)
        self.expect(10, "wait", "order-2")
        shown = self.show("order-2")
        self.assertEqual("ABORTED", shown["outcome"])
        self.assertEqual("REFUSED", shown["branches"][1]["attempts"][0]["result"])

    def test_same_gid_same_content_is_the_same_transaction(self):
        self.submit(0, "order-3", [branch("orders", "create")])
        self.submit(0, "order-3", [branch("orders", "create")])
        self.assertEqual(1, self.orders.commands.count(("orders", "TRY")))
        self.assertIn("order-3", self.submit(5, "order-3", [branch("orders", "change")]).err)

    def test_what_the_coordinator_refuses_is_usage(self):
        cycle = [branch("orders", "a", id="x", after=["y"]), branch("orders", "b", id="y", after=["x"])]
        self.submit(2, "order-4", cycle)
        self.expect(4, "show", "order-4")

    def test_still_running_is_eleven(self):
        held = self.orders.hold("create", "TRY")
        self.submit(11, "order-5", [branch("orders", "create")], "--timeout", "300ms")
        self.expect(11, "wait", "order-5", "--timeout", "300ms")
        held.set()
        self.expect(0, "wait", "order-5")


class Trouble(WithDaemon):
    def test_show_names_what_is_down_and_retry_tries_at_once(self):
        self.stuck_after_decision("order-1")
        self.expect(0, "wait", "order-1", "--for", "decided")
        shown = self.show("order-1")
        why = shown["why_not_finished"]
        self.assertIn("inventory/reserve", why)
        self.assertRegex(why, r"\d+ attempt")
        self.assertIn("goes on as soon as inventory appears", why)
        self.assertTrue(shown["branches"][0]["last_error"])
        self.assertIn(shown["branches"][0]["last_error"], why)
        page = self.expect(0, "show", "order-1").out
        self.assertIn(why.split(";")[0][:40], page)
        self.assertRegex(page, r"FINISHING +\d+ +CONFIRM ")
        self.assertIn(why[:40], self.expect(0, "list").out)
        # It is back, and asked at once; but it cannot yet, and nobody would ask again for up to an hour.
        self.stock.answer("reserve", "CONFIRM", REPLY.RETRY_LATER, reason="still counting")
        self.stock.up()
        self.until(lambda: self.show("order-1")["branches"][0]["last_error"] == "still counting")
        self.stock.answer("reserve", "CONFIRM")
        before = len(self.stock.commands)
        self.expect(11, "wait", "order-1", "--timeout", "300ms", "--patient")
        self.assertEqual(before, len(self.stock.commands))
        self.expect(0, "retry", "order-1", "--reason", "inventory is back")
        self.expect(0, "wait", "order-1", "--timeout", "20s", "--patient")
        person = self.show("order-1")["interventions"][0]
        self.assertEqual("retry", person["verb"])
        self.assertEqual("inventory is back", person["reason"])
        self.assertRegex(person["who"], r"^tester@.+")

    def test_a_dialled_participant_that_is_back_is_asked_at_once(self):
        self.stuck_after_decision("order-4")
        state = lambda: self.expect(0, "participants", "inventory").out  # noqa: E731
        self.until(lambda: re.search(r"^inventory +none ", state(), re.MULTILINE))
        self.assertIn("cannot be reached", self.expect(0, "participants", "inventory", "-o", "wide").out)
        self.stock.up()
        self.expect(0, "wait", "order-4", "--timeout", "20s", "--patient")
        self.assertRegex(state(), r"(?m)^inventory +1 ")

    def test_wait_and_watch_ride_over_kill_9(self):
        self.stuck_after_decision("order-2", backoff="200ms")
        waiting = self.ctl.start("wait", "order-2", "--timeout", "40s", "--patient")
        watching = self.ctl.start("watch", "order-2", "--timeout", "40s")
        self.assertIn("order-2 COMMITTING", watching.stdout.readline())
        self.assertIn("waiting: ", waiting.stderr.readline())
        self.daemon.kill()
        self.assertIn("trying again", watching.stderr.readline())
        self.assertIn("trying again", waiting.stderr.readline())
        self.stock.up()
        self.daemon.start()
        out, err = waiting.communicate(timeout=60)
        self.assertEqual(0, waiting.returncode, out + err)
        self.assertIn("COMMITTED", out)
        out, err = watching.communicate(timeout=60)
        self.assertEqual(0, watching.returncode, out + err)
        self.assertIn("coordinator restarted", out)
        self.assertRegex(out, r"finished COMMITTED\n")

    def test_resolve_against_the_decision(self):
        self.stuck_after_decision("order-3")
        self.expect(2, "resolve", "order-3", "1", "abort", "--reason", "counted")
        self.expect(2, "resolve", "order-3", "1", "abort", "--yes")
        self.expect(4, "resolve", "order-3", "9", "abort", "--yes", "--reason", "counted")
        dry = self.expect(0, "resolve", "order-3", "1", "abort", "--dry-run")
        self.assertIn("the outcome becomes MIXED", dry.err)
        self.assertEqual("COMMITTING", self.show("order-3")["state"])
        text, code = at_a_terminal(self.ctl, ["resolve", "order-3", "1", "abort"],
                                   [("Reason (for the record): ", "counted\n"), ("Go on? [y/N] ", "y\n")])
        self.assertEqual(0, code, text)
        self.assertIn("has cancelled (released) what it reserved", text)
        self.expect(12, "wait", "order-3")
        shown = self.show("order-3")
        self.assertEqual("MIXED", shown["outcome"])
        self.assertEqual("DECISION_ABORT", shown["branches"][0]["resolved"])
        self.assertEqual(["order-3"], self.expect(0, "list", "--all", "--outcome", "mixed", "-o", "id").out.split())

    def test_suspend_abort_forget(self):
        held = self.orders.hold("create", "TRY")
        self.submit(0, "order-4", [branch("orders", "create")], "--for", "accepted")
        self.assertTrue(held.arrived.wait(20))
        self.expect(5, "forget", "order-4", "--yes")
        self.expect(0, "suspend", "order-4", "--reason", "looking")
        self.assertIn("suspended", self.expect(0, "list").out)
        self.expect(0, "resume", "order-4")
        self.expect(2, "abort", "order-4")
        text, code = at_a_terminal(self.ctl, ["abort", "order-4"], [("Go on? [y/N] ", "n\n")])
        self.assertEqual(1, code, text)
        self.assertEqual("ACTIVE", self.show("order-4")["state"])
        self.expect(0, "abort", "order-4", "--yes")
        held.set()
        self.expect(10, "wait", "order-4", "--timeout", "20s")
        self.expect(5, "abort", "order-4", "--yes")
        self.expect(0, "forget", "order-4", "--yes")
        self.expect(4, "show", "order-4")
        # Of what is gone the record tells, also after a death.
        self.daemon.kill()
        self.daemon.start()
        on_record = [json.loads(line) for line in self.expect(0, "audit", "order-4", "-o", "jsonl").out.splitlines()]
        self.assertEqual([("forget", "OK"), ("abort", "FAILED_PRECONDITION"), ("abort", "OK"), ("resume", "OK"), ("suspend", "OK"),
                          ("forget", "FAILED_PRECONDITION")], [(entry["verb"], entry["result"]) for entry in on_record])
        self.assertEqual(("looking", "FINISHED: ABORTED"), (on_record[4]["reason"], on_record[0]["before"]))
        self.assertIn("ACTIVE: ", on_record[2]["before"])
        self.assertEqual(2, len(self.expect(0, "audit", "order-4", "--refused", "-o", "id").out.splitlines()))

    def test_a_batch_with_failures_is_seven(self):
        held = self.orders.hold("create", "TRY")
        self.submit(0, "order-5", [branch("orders", "create")], "--for", "accepted")
        result = self.expect(7, "retry", "order-5", "nope", "-o", "json")
        self.assertEqual([True, False], [one["ok"] for one in result.json["results"]])
        self.assertEqual("NOT_FOUND", result.json["results"][1]["code"])
        self.expect(0, "retry", "-", stdin="order-5\n\n")
        held.set()


class Lists(WithDaemon):
    def test_filters_and_pages(self):
        for i in range(5):
            self.submit(0, f"done-{i}", [branch("orders", "create")], labels={"run": "one", "n": str(i)})
        held = self.orders.hold("create", "TRY")
        self.submit(0, "busy-1", [branch("orders", "create")], "--for", "accepted", labels={"run": "two"})
        self.submit(0, "busy-2", [branch("orders", "slow", protocol="saga"), branch("nowhere", "x", protocol="2pc")],
                    "--for", "accepted")

        def ids(*arguments):
            return sorted(self.expect(0, "list", "-o", "id", *arguments).out.split())

        done = [f"done-{i}" for i in range(5)]
        self.assertEqual(["busy-1", "busy-2"], ids())
        self.assertEqual(["busy-1", "busy-2", *done], ids("--all"))
        self.assertEqual(done, ids("--all", "--label", "run=one"))
        self.assertEqual(["done-3"], ids("--all", "--label", "run=one", "--label", "n=3"))
        self.assertEqual(done, ids("--all", "--prefix", "done-"))
        self.assertEqual(done, ids("--state", "finished"))
        self.assertEqual(done, ids("--all", "--outcome", "committed"))
        self.assertEqual(["busy-2"], ids("--protocol", "2pc"))
        self.assertEqual(["busy-2"], ids("--service", "nowhere"))
        self.assertEqual([], ids("--min-age", "1h"))
        self.assertEqual([], ids("--needs-operator"))
        self.assertEqual(["busy-1", "busy-2", *done], ids("--all", "--page-size", "2", "--all-pages"))
        # By hand, one page after the other; each at most two, nothing twice, nothing lost.
        seen, token = [], []
        while True:
            page = self.expect(0, "list", "--all", "--page-size", "2", "-o", "json", *token).json
            self.assertLessEqual(len(page["transactions"]), 2)
            seen += [one["gid"] for one in page["transactions"]]
            if not page["next_page_token"]:
                break
            token = ["--page-token", page["next_page_token"]]
        self.assertEqual(["busy-1", "busy-2", *done], sorted(seen))
        self.expect(2, "list", "--page-token", "nonsense")
        held.set()

    def test_participants_stats_health(self):
        self.submit(0, "order-1", [branch("orders", "create")])
        services = {one["service"]: one for one in self.expect(0, "participants", "-o", "json").json["participants"]}
        self.assertEqual({"inventory", "orders"}, set(services))
        self.assertEqual(self.orders.address, services["orders"]["instances"][0]["address"])
        self.assertEqual("unary", services["orders"]["instances"][0]["transport"])
        self.assertEqual("orders\n", self.expect(0, "participants", "ord", "-o", "id").out)
        stats = self.expect(0, "stats", "-o", "json").json
        self.assertEqual((1, 1, 0), (stats["begun"], stats["committed"], stats["active"]))
        self.assertIn("takes transactions", self.expect(0, "health").out)


class Surface(WithDaemon):
    def test_colours_only_at_a_terminal_without_no_color(self):
        self.submit(0, "order-1", [branch("orders", "create")])
        self.assertNotIn("\x1b", self.expect(0, "show", "order-1").out)
        self.assertIn("\x1b[32mDONE\x1b[0m", at_a_terminal(self.ctl, ["show", "order-1"], [])[0])
        self.assertNotIn("\x1b", at_a_terminal(self.ctl, ["show", "order-1"], [], env={"NO_COLOR": "1"})[0])
        self.assertNotIn("\x1b", at_a_terminal(self.ctl, ["show", "order-1", "--no-color"], [])[0])

    def test_every_form_of_output_is_what_it_says(self):
        import yaml  # Debian's python3-yaml
        self.submit(0, "order-1", [branch("orders", "create", payload={"base64": "AP8="})])
        json_form = self.expect(0, "show", "order-1", "--payloads", "-o", "json").json
        self.assertEqual({"base64": "AP8="}, json_form["branches"][0]["spec"]["payload"])
        self.assertEqual(json_form, yaml.safe_load(self.expect(0, "show", "order-1", "--payloads", "-o", "yaml").out))
        lines = self.expect(0, "show", "order-1", "--payloads", "-o", "jsonl").out.splitlines()
        self.assertEqual([json_form], [json.loads(line) for line in lines])
        self.assertEqual("order-1\n", self.expect(0, "show", "order-1", "-o", "id").out)

    def test_output_that_cannot_be_written_is_a_failure(self):
        import subprocess
        with open("/dev/full", "w") as full:
            ended = subprocess.run([self.ctl.program, "stats"], stdout=full, stderr=subprocess.PIPE, text=True, env=self.ctl.env)
        self.assertEqual(1, ended.returncode)
        self.assertIn("cannot write the output", ended.stderr)

    def test_completion_in_bash(self):
        import subprocess
        self.submit(0, "order:1", [branch("orders", "create")])
        script = f"""
            source <({self.ctl.program} completion bash)
            complete -p assentctl >/dev/null || exit 9
            ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _assentctl; printf '%s\\n' "${{COMPREPLY[*]}}"; }}
            ask {self.ctl.program} res
            ask {self.ctl.program} show ord
            ask {self.ctl.program} list --protocol ""
        """
        ended = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, env=self.ctl.env)
        self.assertEqual(["resume resolve restore", "order:1", "2pc tcc saga"], ended.stdout.splitlines(), ended.stderr)


    def test_completion_in_fish(self):
        self.complete_in(["fish", "--no-config", "-c", f"""
            set -x PATH {os.path.dirname(self.ctl.program)} $PATH
            assentctl completion fish | source
            for line in "assentctl res" "assentctl show ord" "assentctl list --protocol "
                complete -C $line | string split -f 1 \\t | sort | string join ' '
            end"""])

    def test_completion_in_zsh(self):
        # Without zsh's line editor, so `words`, `CURRENT` and what shows the candidates are stood in for.
        self.complete_in(["zsh", "-f", "-c", f"""
            export PATH={os.path.dirname(self.ctl.program)}:$PATH
            autoload -Uz compinit && compinit -D -u
            source <(assentctl completion zsh)
            _describe() {{ local one; for one in "${{(@P)2}}"; do offered+=(${{${{one//\\\\:/;}}%%:*}}); done }}
            ask() {{ local -a words=("$@") offered; local CURRENT=$#; _assentctl; print -r -- ${{${{(o)offered}}//;/:}} }}
            ask assentctl res
            ask assentctl show ord
            ask assentctl list --protocol ''"""])

    def complete_in(self, command):
        import shutil
        import subprocess
        if not shutil.which(command[0]):
            self.skipTest(command[0] + " is not installed")
        self.submit(0, "order:1", [branch("orders", "create")])
        ended = subprocess.run(command, capture_output=True, text=True, env=self.ctl.env, timeout=60)
        self.assertEqual(["resolve restore resume", "order:1", "2pc saga tcc"], ended.stdout.splitlines(), ended.stderr)


class NobodyThere(unittest.TestCase):
    def test_says_what_where_and_what_to_try(self):
        ctl = Ctl(f"127.0.0.1:{free_port()}")
        address = ctl.env["ASSENT_ENDPOINT"]
        spec = json.dumps({"gid": "g", "branches": [branch("a", "b")]})
        for command in (["list"], ["show", "g"], ["wait", "g"], ["watch", "g"], ["retry", "a", "b"], ["stats"], ["health"],
                        ["participants"], ["abort", "g", "--yes"], ["submit"]):
            result = ctl(*command, stdin=spec)
            self.assertEqual(3, result.code, f"{command} {result}")
            self.assertEqual("", result.out)
            self.assertIn(f"cannot connect to {address}: connection refused; is assentd running? "
                          "(--endpoint or ASSENT_ENDPOINT names another address)", result.err)

    def test_what_needs_no_coordinator(self):
        ctl = Ctl(f"127.0.0.1:{free_port()}")
        self.assertRegex(ctl("version").out, r"^assentctl \d+\.\d+\.\d+\n$")
        for output in ("json", "jsonl"):
            self.assertEqual(["version"], list(json.loads(ctl("-o", output, "version").out)))
        self.assertRegex(ctl("-o", "yaml", "version").out, r"^version: ")
        self.assertIn("cannot read /dev/zero: File too large", ctl("submit", "/dev/zero").err)
        self.assertEqual(0, ctl("completion", "zsh").code)
        self.assertEqual(0, ctl("__complete", "show", "x").code)
        self.assertEqual(0, ctl("submit", "--dry-run", stdin=json.dumps({"branches": [branch("a", "b")]})).code)


class Cluster(WithDaemon):
    def test_one_that_is_alone_says_so(self):
        alone = "this coordinator is alone with its log: it is in no cluster"
        self.assertEqual(alone + "\n", self.expect(0, "cluster").out)
        self.assertEqual(0, self.expect(0, "cluster", "status", "-o", "json").json["version"])
        self.assertIn("order-17 is here", self.expect(0, "cluster", "locate", "order-17").out)
        for change in (("drain", "a"), ("move", "1", "a"), ("fence", "a", "--yes", "--reason", "test")):
            self.assertIn(alone, self.expect(5, "cluster", *change).err)

    def test_the_first_that_answers(self):
        several = f"127.0.0.1:{free_port()},{self.daemon.endpoint}"
        health = self.expect(0, "--endpoint", several, "health")
        self.assertIn(f"at {self.daemon.endpoint} takes transactions", health.out)

    def test_a_watch_finds_one_that_is_back_among_several(self):
        self.stuck_after_decision("order-3", backoff="200ms")
        several = f"127.0.0.1:{free_port()},{self.daemon.endpoint},127.0.0.1:{free_port()}"
        watching = self.ctl.start("--endpoint", several, "watch", "order-3", "--timeout", "40s")
        self.assertIn("order-3 COMMITTING", watching.stdout.readline())
        self.daemon.kill()
        self.assertIn("trying again", watching.stderr.readline())
        self.daemon.start()
        self.assertIn("it answers again", watching.stderr.readline())
        self.stock.up()
        out, err = watching.communicate(timeout=60)
        self.assertEqual(0, watching.returncode, out + err)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    unittest.main(verbosity=2)
