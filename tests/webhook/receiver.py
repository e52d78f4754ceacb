"""Whoever is told of what needs a person."""

import http.server
import os
import re
import threading

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")

SECRET = "a secret of enough bytes"


def verify_of_the_page():
    """docs/operating.md says how a receiver verifies: that is what verifies here."""
    with open(os.path.join(ROOT, "docs/operating.md"), encoding="utf-8") as file:
        page = file.read()
    code = re.search(r"```python\n(.*?)```", page[page.index("## A receiver for what needs a person"):], re.S)[1]
    names = {}
    exec(code, names)  # noqa: S102
    return names["verify"]


class Receiver:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self, port=0):
        self.events = []  # (headers, body as bytes), each try
        self.answers = []  # codes, in order; then 204
        self.held = None  # an event that all answers wait for
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver.answers.pop(0) if receiver.answers else 204
                receiver.events.append((self.path, dict(self.headers), body, code))
                if receiver.held:
                    receiver.held.wait(60)
                try:
                    self.send_response(code)
                    self.end_headers()
                except OSError:
                    pass  # the other side has given up

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self):
        if self.held:
            self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
