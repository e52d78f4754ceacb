#!/usr/bin/python3
"""What others of this machine can do with the files of an assentd: nothing, or the log says so."""

import os
import re
import shutil
import stat
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../ctl")]

from daemon import Daemon  # noqa: E402


class Modes(unittest.TestCase):
    def start(self, *arguments):
        daemon = Daemon(*arguments)
        self.addCleanup(daemon.close)
        return daemon

    def test_what_it_makes_is_its_owners_alone(self):
        """Whatever the umask is."""
        before = os.umask(0)
        try:
            daemon = self.start()
        finally:
            os.umask(before)
        self.assertEqual(0o700, stat.S_IMODE(os.stat(daemon.data).st_mode))
        for folder, _, files in os.walk(daemon.data):
            for name in files:
                path = os.path.join(folder, name)
                self.assertEqual(0, stat.S_IMODE(os.stat(path).st_mode) & 0o077, path)
        self.assertNotIn("event=open_file", daemon.log())

    def test_a_socket_is_never_everybodys(self):
        """Who may write to it may connect: its owner, and its group if the umask lets it."""
        folder = tempfile.mkdtemp(prefix="assent-modes-")
        self.addCleanup(shutil.rmtree, folder)
        before = os.umask(0)
        try:
            for umask, mode in ((0o000, 0o770), (0o007, 0o770), (0o022, 0o750), (0o077, 0o700)):
                os.umask(umask)
                path = f"{folder}/{umask:o}.sock"
                daemon = self.start("--listen", f"unix:{path}", "--self-dial-seconds", "1")
                self.assertEqual(mode, stat.S_IMODE(os.stat(path).st_mode), path)
                self.assertEqual(0, stat.S_IMODE(os.stat(path + ".lock").st_mode) & 0o077)
                if umask == 0:  # also of one that it has made again
                    os.unlink(path)
                    end = time.monotonic() + 30
                    while not os.path.exists(path):
                        self.assertLess(time.monotonic(), end)
                        time.sleep(0.02)
                    self.assertEqual(mode, stat.S_IMODE(os.stat(path).st_mode), path)
                daemon.kill()
        finally:
            os.umask(before)

    def test_what_others_can_do_is_said(self):
        daemon = self.start()
        rules, tokens, secret = (os.path.join(os.path.dirname(daemon.data), name) for name in ("rules", "tokens", "secret"))
        for path, text in ((rules, "allow anyone as admin\n"), (tokens, ""), (secret, "x" * 32 + "\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        arguments = ("--auth-rules", rules, "--auth-tokens", tokens, "--webhook-url", "http://127.0.0.1:9/x", "--webhook-secret-file", secret)

        def said_of(mode):
            for path in (rules, tokens, secret):
                os.chmod(path, mode)
            again = self.start(*arguments)
            again.stop()
            return set(re.findall(r'event=open_file path="[^"]*/(\w+)"', again.log()))

        self.assertEqual(set(), said_of(0o600))
        self.assertEqual({"rules", "tokens", "secret"}, said_of(0o622))
        os.chmod(daemon.data, 0o755)
        daemon.kill()
        daemon.start()
        end = time.monotonic() + 20
        while f'event=open_file path="{daemon.data}"' not in daemon.log():  # it may answer a moment before its log is there
            self.assertLess(time.monotonic(), end, daemon.log())
            time.sleep(0.02)


if __name__ == "__main__":
    unittest.main()
