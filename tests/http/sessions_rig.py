"""A daemon with rules and tokens, and sessions of its console."""

import os
import signal
import subprocess
import tempfile

from rig import BIN, Daemon, order

PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def made(name, *more):
    return subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", name, *more], capture_output=True, text=True, check=True).stdout.strip()


class Asked(Daemon):
    """With rules that a test changes."""

    def __init__(self, *more):
        self._place = tempfile.TemporaryDirectory(prefix="assent-login-")
        self.rules, self.tokens = (os.path.join(self._place.name, name) for name in ("rules", "tokens"))
        self.secrets = {name: made(name, "--append", self.tokens) for name in ("ann", "ben", "cas", "nobody")}
        self.allow("token:ann as operator", "token:ben as viewer", "token:cas as initiator for *")
        super().__init__("--auth-rules", self.rules, "--auth-tokens", self.tokens, *more)

    def close(self):
        super().close()
        self._place.cleanup()

    def allow(self, *lines):
        with open(self.rules, "w", encoding="utf-8") as file:
            file.write("".join(f"allow {line}\n" for line in lines))

    def reload(self):
        before = read(self.log).count("event=auth_reload")
        self.process.send_signal(signal.SIGHUP)
        while read(self.log).count("event=auth_reload") == before:
            assert self.process.poll() is None
            self.ask("GET", "/livez")

    # ---- As a browser does it ------------------------------------------------------------------------

    def log_in(self, who, token=None):
        return self.ask("POST", "/v1/login", {"token": token or self.secrets[who]}, PAGE)

    def session(self, who):
        code, headers, said = self.log_in(who)
        assert code == 200, said
        return Session(self, headers["Set-Cookie"].split(";")[0], said["csrf"])


class Session:
    def __init__(self, daemon, cookie, csrf):
        self._daemon, self.cookie, self.csrf = daemon, cookie, csrf

    def get(self, target, **headers):
        return self._daemon.ask("GET", target, None, {**PAGE, "Cookie": self.cookie, **headers})

    def post(self, target, body, **headers):
        return self._daemon.ask("POST", target, body, {**PAGE, "Cookie": self.cookie, "X-Assent-Csrf": self.csrf, **headers})

    def who(self):
        return self.get("/v1/login")[2]["identity"]


__all__ = ["Asked", "PAGE", "Session", "order", "read"]
