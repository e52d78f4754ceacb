"""What the tests of the Python SDK share: the package put together, a real assentd, a service in a process of its own."""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
SDK = os.path.join(ROOT, "participant-sdk", "python")
sys.path[:0] = [os.path.join(ROOT, "tests", "ctl"), os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "tests", "tls")]

# Put together once for all processes of a test run by whoever is first; an own one for the others.
PACKAGE = os.environ.get("ASSENT_PYTHON_PACKAGE")
if PACKAGE is None:
    PACKAGE = tempfile.mkdtemp(prefix="assent-python-")
    atexit.register(shutil.rmtree, PACKAGE, ignore_errors=True)
    subprocess.run([sys.executable, "-B", os.path.join(SDK, "generate.py"), PACKAGE], check=True)
sys.path.insert(0, PACKAGE)

from daemon import Ctl, Daemon, free_port  # noqa: E402, F401 (of tests/ctl)

PATIENCE_S = 30


def until(condition, what="what was waited for"):
    """What it returns once that is something."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what() if callable(what) else what}"
        time.sleep(0.02)
    return found


class Process:
    """A script of this folder (or elsewhere), which may be killed and started again."""

    def __init__(self, script, *arguments, **environment):
        self._command = [sys.executable, "-B", os.path.join(HERE, script), *arguments]
        self._environment = environment
        self._process = None
        self.output = tempfile.NamedTemporaryFile(prefix="assent-python-output-")  # noqa: SIM115
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGE, **self._environment})

    def text(self):
        with open(self.output.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self):
        """Its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def close(self):
        if self._process.poll() is None:
            self.kill()
        self.output.close()


@contextlib.contextmanager
def environment(**names):
    """Of this process, for a while. None: not set."""
    before = {name: os.environ.get(name) for name in names}
    for name, value in names.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
