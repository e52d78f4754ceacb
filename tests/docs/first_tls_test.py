#!/usr/bin/python3
"""Runs the commands of docs/first-tls.md, in their order, in one shell, and compares what they print.

    first_tls_test.py ROOT BIN [--self]      --self: pages with mistakes in them are noticed

What stands behind `$ ` between ```console fences is a command (a here-document goes on until END), the lines below it are what it prints. Numbers,
durations and addresses are anything. A command that only looks is repeated until the moment is that of the page.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from runbook_test import BIN, PATIENCE_SECONDS, ROOT, normal

PAGE = "docs/first-tls.md"
# A page that is wrong: a role, a name, a code, a command that is refused, one whose effect is missing.
MISTAKES = [("as participant for payment\nallow", "as participant for stock\nallow"), ("it has initiator (", "it has viewer ("),
            ('list || echo "code $?"\nassentctl: spiffe', 'list\nassentctl: spiffe'), ("$ kill -HUP $assentd\n", ""),
            ("> both.pem && mv both.pem certs/ca.pem", "> both.pem")]
LOOKS = re.compile(r"as \w+ assentctl (participants|list|audit)|curl |grep ")
DONE = "-- the command has ended: "


def steps(page):
    """(command, expected output) of each."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            if "<<'END'" in command:
                body, _, expected = expected.partition("END\n")
                command += "\n" + body + "END"
            yield command, expected


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Shell:
    def __init__(self, folder):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ASSENT_")}
        environment |= {"PATH": os.path.abspath(BIN) + ":" + environment["PATH"], "NO_COLOR": "1", "XDG_CONFIG_HOME": "/nonexistent", "HOME": folder}
        self._bash = subprocess.Popen(["bash", "--norc"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, start_new_session=True)

    def run(self, command):
        """(exit code, what it printed)."""
        # What a command could read is nothing, and not our next lines. One that goes on in the background is not waited for.
        self._bash.stdin.write("{ " + command + "\n} < /dev/null\n" + f"echo '{DONE}'$?\n")
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            before, found, code = line.partition(DONE)
            printed += before
            if found:
                return int(code), printed
        raise AssertionError("the shell has ended: " + printed)

    def close(self):
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()


def as_on_the_page(shell, command, expected, patience_seconds):
    until = time.monotonic() + patience_seconds
    while True:
        code, printed = shell.run(command)
        if code == 0 and normal(printed) == normal(expected):
            return True
        if not LOOKS.match(command) or time.monotonic() > until:
            print(f"$ {command}\n--- the page says\n{expected}\n--- it prints (code {code})\n{printed}")
            return False
        time.sleep(0.1)


def first_fault(page, patience_seconds):
    """Whether one of its commands does something else; what comes behind it builds on it, and is not looked at."""
    ports = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="assent-first-tls-") as folder:
        shell = Shell(folder)
        try:
            commands = list(steps(page))
            assert len(commands) > 30, f"the page has {len(commands)} commands: where are the others?"
            for command, expected in commands:
                for name, port in zip(("7400", "7480"), ports):
                    command = command.replace(f"127.0.0.1:{name}", f"127.0.0.1:{port}")
                if not as_on_the_page(shell, command, expected, patience_seconds):
                    return True
        finally:
            shell.close()
    return False


def main():
    with open(os.path.join(ROOT, PAGE), encoding="utf-8") as file:
        page = file.read()
    if sys.argv[3:] != ["--self"]:
        fault = first_fault(page, PATIENCE_SECONDS)
        print(f"{PAGE}: {'not as it is' if fault else 'as it is'}")
        return 1 if fault else 0
    silent = [old for old, new in MISTAKES if old not in page or not first_fault(page.replace(old, new), 2)]
    print(f"{PAGE}: {len(MISTAKES)} mistakes, not noticed: {silent}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
