#!/usr/bin/python3
"""Who comes by the Unix socket is the user that the kernel says, whatever his own socket is called."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from door_test import BIN, Assentd, until  # noqa: E402

NOBODY = 65534
RELAY = """
import os, socket, sys, threading
os.chdir(sys.argv[1])
inside = socket.socket(socket.AF_UNIX); inside.bind("relay"); inside.listen()
print("ready", flush=True)
def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
for name in range(1000):
    one = inside.accept()[0]
    other = socket.socket(socket.AF_UNIX)
    if name == 0:
        other.bind(sys.argv[3])  # what getpeername would tell of it
    other.connect(sys.argv[2])
    for pair in ((one, other), (other, one)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""
# Says how many of twenty connections stay, and keeps them until it is told to end.
CROWD = """
import select, socket, sys
crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
for one in crowd:
    one.connect(sys.argv[1])
    try: one.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + b"\\0\\0\\0\\4\\0\\0\\0\\0\\0")
    except OSError: pass
stay = 0
for one in crowd:
    try: stay += bool(one.recv(1))  # its SETTINGS; or the end
    except OSError: pass
print(stay, "of 20", flush=True)
sys.stdin.read()
"""


class Users(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        os.chmod(self.folder, 0o755)
        self.path = os.path.join(self.folder, "socket")
        self.rules = os.path.join(self.folder, "rules")

    def serve(self, *lines, flags=()):
        with open(self.rules, "w", encoding="utf-8") as rules:
            rules.write("".join(line + "\n" for line in lines))
        daemon = self.enterContext(Assentd("--auth-rules", self.rules, *flags, listen="unix:" + self.path)).ready()
        os.chmod(self.path, 0o777)
        return daemon

    def crowd(self):
        """Another user's connections, until the test ends: what it says of them."""
        crowd = subprocess.Popen([sys.executable, "-B", "-c", CROWD, self.path], user=NOBODY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(crowd.wait)
        self.addCleanup(crowd.kill)
        self.addCleanup(crowd.stdin.close)
        self.addCleanup(crowd.stdout.close)
        return crowd.stdout.readline()

    def ctl(self, *arguments, user=None, path=None, code=0):
        done = subprocess.run([os.path.join(BIN, "assentctl"), "--endpoint", "unix:" + (path or self.path), *arguments], capture_output=True,
                              text=True, timeout=60, check=False, user=user, cwd="/", env={**os.environ, "HOME": "/"})
        self.assertEqual(code, done.returncode, (arguments, done))
        return done.stdout + done.stderr

    def test_a_user_has_a_name_of_his_own(self):
        self.serve(f"allow unix:{os.getuid()} as admin")
        self.ctl("stats")
        # Also in the record.
        self.ctl("abort", "nothing-of-this-name", "--yes", code=4)
        seen = [json.loads(line)["who"] for line in self.ctl("audit", "--output", "jsonl").splitlines()]
        self.assertIn(f"unix:{os.getuid()}", seen)

    def test_what_stands_is_his_for_as_long_as_it_stands(self):
        """It is asked again each second who he is: once a second all of it was ended."""
        daemon = self.serve(f"allow unix:{os.getuid()} as participant for payment", f"allow unix:{os.getuid()} as admin")
        with subprocess.Popen([os.path.join(BIN, "assent-demo-payment"), "--coordinator", "unix:" + self.path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as service:
            self.addCleanup(service.kill)
            with subprocess.Popen([os.path.join(BIN, "assentctl"), "--endpoint", "unix:" + self.path, "events", "--follow"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as following:
                self.addCleanup(following.kill)
                time.sleep(4)  # that nothing happens is seen by waiting alone
                self.assertIsNone(following.poll())
                following.kill()
            self.assertNotIn("event=participant_left", daemon.log())
            self.assertIn("payment", self.ctl("participants"))
            service.kill()

    @unittest.skipIf(os.getuid(), "needs root, to be somebody else")
    def test_another_user_is_somebody_else(self):
        self.serve("allow unix:0 as admin", f"allow unix:{NOBODY} as operator")
        self.ctl("backup", os.path.join(self.folder, "copy"))
        self.ctl("stats", user=NOBODY)
        self.ctl("backup", "/tmp/nowhere", user=NOBODY, code=6)
        self.ctl("stats", user=NOBODY - 1, code=6)

    @unittest.skipIf(os.getuid(), "needs root, to be somebody else")
    def test_one_user_does_not_take_all_connections(self):
        """Half of them, as any address."""
        daemon = self.serve("allow unix:0 as admin", flags=("--max-connections", "8"))
        self.assertEqual("4 of 20\n", self.crowd())
        self.ctl("stats")
        until(lambda: re.search("event=connections_turned_away in_all=0 by_address=1", daemon.log()))

    @unittest.skipIf(os.getuid(), "needs root, to be somebody else")
    def test_a_user_without_a_role_makes_room(self):
        self.serve("allow unix:0 as admin", flags=("--max-connections", "8", "--max-connections-per-address", "8"))
        self.assertEqual("8 of 20\n", self.crowd())
        said = self.ctl("stats", code=3)
        self.assertIn("event=connections_turned_away", said)
        self.assertNotIn("certificate", said)
        until(lambda: not subprocess.run([os.path.join(BIN, "assentctl"), "--endpoint", "unix:" + self.path, "stats"], capture_output=True,
                                         timeout=60, check=False).returncode)

    @unittest.skipIf(os.getuid(), "needs root, to be somebody else")
    def test_the_name_of_a_clients_socket_is_not_believed(self):
        self.serve("allow unix:0 as admin")
        theirs = os.path.join(self.folder, "theirs")
        os.mkdir(theirs)
        os.chown(theirs, NOBODY, NOBODY)
        relay = subprocess.Popen([sys.executable, "-B", "-c", RELAY, theirs, self.path, "0"], user=NOBODY, stdout=subprocess.PIPE, text=True)
        self.addCleanup(relay.wait)
        self.addCleanup(relay.kill)
        self.addCleanup(relay.stdout.close)
        self.assertEqual("ready\n", relay.stdout.readline())
        said = self.ctl("stats", path=os.path.join(theirs, "relay"), code=6)
        self.assertIn(f"unix:{NOBODY}", said)
        self.assertTrue(os.path.exists(os.path.join(theirs, "0")), "it was bound to the name")

    def test_unix_alone_is_whoever_gets_in(self):
        self.serve("allow unix as viewer")
        self.ctl("stats")
        self.ctl("retry", "nothing-of-this-name", code=6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
