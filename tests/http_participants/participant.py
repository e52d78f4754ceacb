"""A participant over HTTP that answers as a test tells it, and can be taken down and brought back at the same address."""

import base64
import http.server
import json
import os
import re
import ssl
import threading

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
REPLY_TYPE = "application/assent-reply+json"


def verify_of_the_page():
    """docs/operating.md says how a signature is verified: that is what verifies here."""
    with open(os.path.join(ROOT, "docs/operating.md"), encoding="utf-8") as file:
        page = file.read()
    code = re.search(r"```python\n(.*?)```", page[page.index("## A receiver for what needs a person"):], re.S)[1]
    names = {}
    exec(code, names)  # noqa: S102
    return names["verify"]


def reply(command, kind="DONE", result=b"", **more):
    """The body of one."""
    echo = {name: command[name] for name in ("gid", "branchId", "operation")}
    return json.dumps({**echo, "kind": kind, "result": base64.b64encode(result).decode(), **more}).encode()


class Said:
    """An answer as it is on the wire."""

    def __init__(self, code=200, body=b"", kind="application/json", **headers):
        self.code, self.body, self.kind, self.headers = code, body, kind, headers


class HttpParticipant:
    def __init__(self, path="/assent", pair=None, client_ca=None, secret=None):
        self.path, self.secret = path, secret
        self._pair, self._client_ca = pair, client_ca
        self._lock = threading.Lock()
        self._answers = {}
        self.asked = []  # (action, operation name), in order of arrival
        self.commands = []  # likewise, whole
        self.requests = []  # (path, headers)
        self.shown = []  # the certificate of who came, each request
        self.refused = 0  # signatures that are not ours
        self._verify = verify_of_the_page()
        self.port = 0
        self.up()

    @property
    def url(self):
        return f"{'https' if self._pair else 'http'}://127.0.0.1:{self.port}{self.path}"

    def answer(self, action, operation, what):
        """What `what(command)` returns, Said or the body of a reply, is said from now on; None: the connection is cut. Otherwise DONE."""
        with self._lock:
            self._answers[action, operation] = what

    def up(self):
        participant = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said = participant.take(self, body)
                if said is None:
                    self.close_connection = True
                    return
                try:
                    self.send_response(said.code)
                    self.send_header("Content-Type", said.kind)
                    self.send_header("Content-Length", str(len(said.body)))
                    for name, value in said.headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.end_headers()
                    self.wfile.write(said.body)
                except OSError:
                    self.close_connection = True  # the other side has given up

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def process_request_thread(self, request, client_address):
                participant._open.append(request)  # noqa: SLF001
                super().process_request_thread(request, client_address)

            def handle_error(self, request, client_address):
                pass  # who came has gone, or was not taken

        self._open = []
        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._pair.cert, self._pair.key)
            if self._client_ca:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def down(self):
        """At once: what stands is cut, as the end of a process does."""
        if not self._server:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for one in self._open:
            try:
                one.shutdown(2)
            except OSError:
                pass
        self._server = None

    def take(self, handler, body):
        if self.secret and not self._verify(self.secret.encode(), handler.headers.get("Assent-Signature", ""), body):
            with self._lock:
                self.refused += 1
            return Said(401, b"who are you?", "text/plain")
        command = json.loads(body)
        key = (command["action"], command["operation"])
        with self._lock:
            self.asked.append(key)
            self.commands.append(command)
            self.requests.append((handler.path, dict(handler.headers)))
            if self._pair:
                self.shown.append(handler.connection.getpeercert())
            what = self._answers.get(key)
        if handler.path != self.path:
            return Said(404, b"no such page", "text/html")
        said = what(command) if what else reply(command)
        return said if said is None or isinstance(said, Said) else Said(body=said)
