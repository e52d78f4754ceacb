#!/usr/bin/python3
"""Runs the commands of docs/operating.md, in their order, against a real assentd, and compares what they print.

    runbook_test.py ROOT BIN [--self]      --self: pages with mistakes in them are noticed

Numbers, durations, addresses and paths are anything; every word, every line and every column must be as on the page.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT, BIN = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, "examples/python"))

import grpc  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc, types_pb2  # noqa: E402

PATIENCE_SECONDS = 30
# Pages that are wrong: a column, a sentence of assentd, an effect, a line too many, a card.
MISTAKES = [("THROUGH", "DONE"), ("no participant inventory is connected", "inventory is not connected"),
            ("becomes MIXED", "becomes HAZARD"), ("finished, retained     0\n", ""), ("  log          ", "  file         ")]

ORDER = """{"gid": "order-17", "deadline": "1h", "labels": {"customer": "7"}, "branches": [
  {"id": "stock", "protocol": "tcc", "service": "inventory", "action": "reserve", "payload": "x"},
  {"id": "pay", "protocol": "tcc", "service": "bank", "action": "debit", "payload": "account=7 cents=1250"}]}"""
# Its COMMIT is not tried again while we look: an attempt in between would be one more line.
TRANSFER = """{"gid": "transfer-3", "deadline": "1h", "branches": [
  {"id": "from", "protocol": "2pc", "service": "bank", "action": "debit", "payload": "account=7 cents=1250",
   "retry": {"initial_backoff": "1h", "max_backoff": "1h"}},
  {"id": "to", "protocol": "2pc", "service": "bank", "action": "credit", "payload": "account=9 cents=1250",
   "retry": {"initial_backoff": "1h", "max_backoff": "1h"}}]}"""


class Bank(participant_pb2_grpc.ParticipantServicer):
    """Prepares, and has lost it when it is to commit."""

    def Execute(self, request, context):
        reply = participant_pb2.BranchReply(gid=request.gid, branch_id=request.branch_id, operation=request.operation)
        if request.operation == types_pb2.COMMIT:
            reply.kind, reply.reason = participant_pb2.BranchReply.REFUSED, "HAZARD: not prepared here"
        else:
            reply.kind, reply.result = participant_pb2.BranchReply.DONE, b"kept"
        return reply


def normal(text):
    """What two runs of one command have in common."""
    text = re.sub(r"\S+assent\.db\b", "FILE", text)
    text = re.sub(r"\b(?:\d{1,3}\.){3}\d{1,3}:\d+", "ADDRESS", text)
    text = re.sub(r"\d+(?:\.\d+)?", "N", text)
    text = re.sub(r"N (?:us|ms|s|min|h|d)\b", "N TIME", text)
    text = re.sub(r"\b(?:in N TIME|now)\b", "SOON", text)
    text = re.sub(r"\battempts\b", "attempt", text)
    return [" ".join(line.split()) for line in text.strip().split("\n")]


def outputs(page):
    """What stands between plain fences; what a test of its own runs stands between others."""
    return [text for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.S | re.M) if not language]


def blocks(page):
    """(command, expected output) of each `$ assentctl …` on the page."""
    for block in outputs(page):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            yield command, expected


class Run:
    def __init__(self, endpoint, patience_seconds):
        self.patience_seconds = patience_seconds
        self.environment = {**{k: v for k, v in os.environ.items() if not k.startswith("ASSENT_")}, "ASSENT_ENDPOINT": endpoint,
                            "NO_COLOR": "1", "XDG_CONFIG_HOME": "/nonexistent"}

    def ctl(self, *words, stdin=""):
        done = subprocess.run([os.path.join(BIN, "assentctl"), *words], env=self.environment, input=stdin.encode(), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
        return done.stdout.decode()

    def until_both_have_refused(self, gid):
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if all(b["needs_operator"] for b in json.loads(self.ctl("show", gid, "-o", "json"))["branches"]):
                return
            time.sleep(0.02)

    def as_on_the_page(self, command, expected):
        """A command that only looks is repeated until the moment is that of the page."""
        words = shlex.split(command)[1:]
        acts = words[0] == "resolve"
        until = time.monotonic() + self.patience_seconds
        while True:
            printed = self.ctl(*words, *(["--who", "ann@ops"] if acts else []))
            if normal(printed) == normal(expected):
                return True
            if acts or time.monotonic() > until:
                print(f"$ {command}\n--- the page says\n{expected}\n--- it prints\n{printed}")
                return False
            time.sleep(0.05)


def faults_of(page, patience_seconds):
    """How much of the page is not as it is."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    participant_pb2_grpc.add_ParticipantServicer_to_server(Bank(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        daemon = subprocess.Popen([os.path.join(BIN, "assentd"), "--http-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data", folder + "/data",
                                   "--unary", f"bank=127.0.0.1:{port}", "--drain-seconds", "0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            card = b""
            while b"see " not in card:
                line = daemon.stdout.readline()
                if not line:
                    print("assentd did not start:", daemon.stderr.read().decode())
                    return 99
                card += line
            run = Run(re.search(r"listening +(\S+)", card.decode())[1], patience_seconds)
            faults = 0
            shown = next(text for text in outputs(page) if re.match(r"assentd [\d.]+\n", text))
            if normal(card.decode()) != normal(shown):
                print(f"--- the page's card\n{shown}\n--- the card\n{card.decode()}")
                faults += 1
            run.ctl("submit", "--for", "accepted", stdin=ORDER)
            commands = list(blocks(page))
            for command, expected in commands:
                if "--needs-operator" in command:
                    run.ctl("abort", "order-17", "--yes", "--reason", "nobody wants it")
                    run.ctl("submit", "--for", "decided", stdin=TRANSFER)
                    run.until_both_have_refused("transfer-3")
                faults += not run.as_on_the_page(command, expected)
                if "--dry-run" in command:
                    run.ctl(*[w for w in shlex.split(command)[1:] if w != "--dry-run"], "--yes", "--who", "ann@ops")
            timeline = next(text for text in outputs(page) if text.endswith("finished MIXED\n"))
            shown = run.ctl("show", "transfer-3")
            if normal(shown)[-3:] != normal(timeline):
                print(f"--- the page's timeline\n{timeline}\n--- the timeline\n{shown}")
                faults += 1
            if len(commands) < 6:
                print(f"the page has {len(commands)} commands: where are the others?")
                faults += 1
        finally:
            daemon.kill()
            daemon.communicate()
            server.stop(grace=None)
    return faults


def main():
    with open(os.path.join(ROOT, "docs/operating.md"), encoding="utf-8") as file:
        page = file.read()
    if sys.argv[3:] != ["--self"]:
        faults = faults_of(page, PATIENCE_SECONDS)
        print(f"runbook: {faults} faults")
        return 1 if faults else 0
    silent = [old for old, new in MISTAKES if old not in page or not faults_of(page.replace(old, new), 1)]
    print(f"runbook: {len(MISTAKES)} mistakes, not noticed: {silent}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
