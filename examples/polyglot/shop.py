"""The processes of the polyglot shop: assentd, and the payment service in five languages. They end with this one."""

import os
import signal
import socket
import subprocess
import time

STARTS_WITHIN_S = 30
STOPS_WITHIN_S = 30
# What a virtual machine ends with after SIGTERM, however well its program has ended.
ENDED_IN_ORDER = {"payment-java": (0, 128 + signal.SIGTERM)}


class Process:
    """One that may be killed and started again. What it says goes to a file."""

    def __init__(self, name, words, log, environment):
        self.name, self._words, self._log, self._environment = name, words, log, environment
        self._process = None

    def start(self):
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self._words], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, env={**os.environ, **self._environment})

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """kill -9."""
        if self.is_running():
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self):
        """In order. Its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"it runs on {STOPS_WITHIN_S} s after SIGTERM, and was killed"

    def says(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Shop:
    """`programs`: the folder with assentd and assent-demo-payment; `built`: what tools/languages.sh has put together of the others."""

    def __init__(self, programs, built, folder):
        self.endpoint = f"127.0.0.1:{free_port()}"
        self._folder = folder
        with open(os.path.join(built, "java", "classpath"), encoding="utf-8") as file:
            classpath = file.read().strip()
        words = {
            "go": [os.path.join(built, "go", "payment")],
            "java": ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath, "Payment"],
            "python": ["/usr/bin/python3", "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "python", "payment.py")],
            "node": ["node", os.path.join(built, "node", "payment.mjs")],
        }
        self.coordinator = self._process(
            "assentd", [os.path.join(programs, "assentd"), "--listen", self.endpoint, "--http-listen", "none",
                        "--data", os.path.join(folder, "assentd")])
        self.services = {
            language: self._process(f"payment-{language}", [*command, self.database(language)], ASSENT_ENDPOINT=self.endpoint,
                                    PYTHONPATH=os.path.join(built, "python"))
            for language, command in words.items()}
        self.services["c++"] = self._process(
            "payment", [os.path.join(programs, "assent-demo-payment"), "--database", self.database("c++"), "--coordinator", self.endpoint])

    def _process(self, name, words, **environment):
        return Process(name, words, os.path.join(self._folder, f"{name}.log"), environment)

    def database(self, language):
        """The service's own."""
        return os.path.join(self._folder, f"payment-{language}.db")

    def processes(self):
        return [self.coordinator, *self.services.values()]

    def __enter__(self):
        self.coordinator.start()
        end = time.monotonic() + STARTS_WITHIN_S
        while not any(line.strip().startswith("see ") for line in self.coordinator.says().splitlines()):
            if not self.coordinator.is_running() or time.monotonic() > end:
                raise RuntimeError("assentd did not start: " + self.coordinator.says())
            time.sleep(0.02)
        for service in self.services.values():
            service.start()
        return self

    def stop(self):
        """In order. What did not end as it should, in words."""
        return [f"{process.name} ended with {code}" for process in reversed(self.processes())
                if (code := process.stop()) not in ENDED_IN_ORDER.get(process.name, (0,))]

    def __exit__(self, *_):
        for process in self.processes():
            process.kill()
