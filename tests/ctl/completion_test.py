#!/usr/bin/python3
"""Completion in a real bash and a real zsh, against a real assentd; and the manual page, to those who judge them."""

import json
import os
import subprocess
import tempfile
import unittest

from daemon import BIN, Ctl, Daemon
from terminal import at_a_terminal

# What the shell has made of a line is seen by what it runs: completion asks the program, all else is shown.
SHOWING = """#!/bin/sh
if [ "$1" = __complete ]; then exec "$REAL" "$@"; fi
printf 'RAN'; printf ' <%s>' "$@"; echo
"""


class Shell:
    """A program and the environment that at_a_terminal runs it with."""

    def __init__(self, program, env):
        self.program, self.env = program, env


class Completion(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-completion-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        for gid in ("order-17", "ship:8"):
            spec = {"branches": [{"protocol": "tcc", "service": "nobody", "action": "a"}]}
            done = self.ctl("submit", "--gid", gid, "--for", "accepted", stdin=json.dumps(spec))
            self.assertEqual(0, done.code, done)
        program = os.path.join(self.folder, "bin", "assentctl")
        os.mkdir(os.path.dirname(program))
        with open(program, "w", encoding="utf-8") as file:
            file.write(SHOWING)
        os.chmod(program, 0o755)
        self.env = {**self.ctl.env, "PATH": f"{os.path.dirname(program)}:{os.environ['PATH']}", "HOME": self.folder,
                    "REAL": self.ctl.program, "LC_ALL": "C.UTF-8", "PS1": "READY> "}

    def script(self, shell):
        done = self.ctl("completion", shell)
        self.assertEqual(0, done.code)
        return done.out

    def typed(self, shell, arguments, line, shown, setup=""):
        """Types a line with Tabs in it, and waits for what must be shown."""
        dialogue = [("READY> ", f"{setup}cd {self.folder}; echo 'SET' UP\n"), ("SET UP", line), (shown, "\x15exit\n")]
        written, _ = at_a_terminal(Shell(shell, self.env), arguments, dialogue)
        return written

    def in_bash(self, line, shown, with_package=False):
        # Where the package bash-completion is, it is there already when ours is read.
        package = "source /usr/share/bash-completion/bash_completion\n" if with_package else ""
        path = os.path.join(self.folder, "init")
        with open(path, "w", encoding="utf-8") as file:
            file.write(package + self.script("bash") + "PS1='READY> '\n")
        return self.typed("/bin/bash", ["--noprofile", "--rcfile", path, "-i"], line, shown)

    def in_zsh(self, line, shown):
        # As it is installed: a file of the function path.
        functions = os.path.join(self.folder, "functions")
        os.makedirs(functions, exist_ok=True)
        with open(os.path.join(functions, "_assentctl"), "w", encoding="utf-8") as file:
            file.write(self.script("zsh"))
        setup = f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; "
        return self.typed("/usr/bin/zsh", ["-f", "-i"], line, shown, setup)

    def test_bash(self):
        for package in (False, True):
            with self.subTest(bash_completion=package):
                self.in_bash("assentctl sho\tord\t\n", "RAN <show> <order-17>", package)
                self.in_bash("assentctl list --serv\tx --sta\tcomm\t\n",
                             "RAN <list> <--service> <x> <--state> <committing>", package)
                self.in_bash("assentctl res\t\t", "resume", package)

    def test_bash_and_a_colon(self):
        self.in_bash("assentctl show shi\t\n", "RAN <show> <ship:8>", with_package=True)
        self.in_bash("assentctl show ship:\t\n", "RAN <show> <ship:8>", with_package=True)

    def test_zsh(self):
        self.in_zsh("assentctl sho\tord\t\n", "RAN <show> <order-17>")
        self.in_zsh("assentctl show shi\t\n", "RAN <show> <ship:8>")
        self.in_zsh("assentctl list --serv\tx --sta\tcomm\t\n", "RAN <list> <--service> <x> <--state> <committing>")
        self.assertIn("Let suspended transactions go on", self.in_zsh("assentctl res\t\t", "Let suspended"))

    def test_files(self):
        with open(os.path.join(self.folder, "spec.json"), "w", encoding="utf-8"):
            pass
        self.in_bash("assentctl submit spe\t\n", "RAN <submit> <spec.json>")
        self.in_zsh("assentctl submit spe\t\n", "RAN <submit> <spec.json>")


class ManualPages(unittest.TestCase):
    def pages(self):
        for program, flag in (("assentctl", "man"), ("assentd", "--man")):
            yield program, subprocess.run([os.path.join(BIN, program), flag], stdout=subprocess.PIPE, check=True).stdout

    def test_nobody_finds_fault_with_them(self):
        for program, page in self.pages():
            lint = subprocess.run(["mandoc", "-Tlint"], input=page, stdout=subprocess.PIPE, check=False)
            self.assertEqual(b"", lint.stdout, program)
            man = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"], input=page,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
                                 env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            self.assertEqual(b"", man.stderr, program)

    def test_every_command_is_there(self):
        page = dict(self.pages())["assentctl"].decode()
        commands = subprocess.run([os.path.join(BIN, "assentctl"), "__complete", ""], stdout=subprocess.PIPE, check=True,
                                  env={**os.environ, "ASSENT_ENDPOINT": "127.0.0.1:1"}, text=True).stdout
        names = [line.split("\t")[0] for line in commands.splitlines()]
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertIn(f'.SS "\\fBassentctl {name}\\fR'.replace("-", "\\-"), page)


if __name__ == "__main__":
    unittest.main(verbosity=2)
