"""The console's files before answers that a test has written: what a real daemon says on days that are hard to make."""

import http.server
import json
import os
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "../../coordinator/http/console")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

INFO = {"version": "0.1.0", "coordinatorId": 7, "epoch": "21", "startedUnixMs": "1", "dataFile": "postgresql://db/assent", "active": "0", "committing": "0", "aborting": "0",
        "needsOperator": "0", "retained": "0", "refusing": "", "logRecords": "0", "logCommits": "0", "setAside": "0", "members": [], "slotsSetAside": []}
SILENT = {"epoch": "22", "node": "node-b", "address": "10.0.0.2:7400", "why": "deadline of 1000 ms passed"}
NOBODY_ASKED = {"rules": False, "identity": "", "by": "NOBODY_IS_ASKED", "roles": "",
                "may": ["BEGIN", "FOLLOW", "LOOK", "OPERATE", "READ_RECORD", "ADMINISTER", "SERVE", "HAND_ON", "FIND_WAY"], "payloads": True, "login": "", "csrf": ""}
CAUSES = {"causes": [], "others": "0", "total": "0", "asOfUnixMs": "1", "silent": [], "slotsLeftOut": 0}


def staged_attempt(number, started, operation="ACTION", result="UNKNOWN", error="reset"):
    return {"operation": operation, "number": number, "startedUnixMs": str(started), "latencyUs": "2000", "result": result, "error": error}


def staged_branch(branch_id, protocol="SAGA", state="EXECUTING", pivot=False, attempts=(), dropped=0, left_out=0, **more):
    spec = {"branchId": branch_id, "protocol": protocol, "service": "bank", "action": "debit", "after": [], "pivot": pivot, "payloadBytes": "0"}
    return {"spec": spec, "state": state, "operation": "ACTION", "resultBytes": "0", "attempts": list(attempts), "droppedAttempts": dropped,
            "attemptsLeftOut": left_out, "attemptCount": len(attempts), "lastError": "", "nextAttemptUnixMs": "0", "needsOperator": False,
            "resolved": "DECISION_UNSPECIFIED", **more}


def staged_transaction(gid, *branches, **more):
    return {"gid": gid, "state": "ACTIVE", "decision": "DECISION_UNSPECIFIED", "outcome": "OUTCOME_UNSPECIFIED", "branches": list(branches), "labels": {},
            "open": False, "suspended": False, "needsOperator": False, "beganUnixMs": "1000000000000", "deadlineUnixMs": "9000000000000",
            "decidedUnixMs": "0", "finishedUnixMs": "0", "whyNotFinished": "not decided", "abortReason": "", "interventions": [], "recoveries": 0,
            "holder": None, "held": False, **more}


class Staged:
    """`answers`: by path, what is answered: a message, or (HTTP code, message or text)."""

    def __init__(self):
        self.answers = {"/v1/login": NOBODY_ASKED, "/v1/server": INFO, "/metrics": "", "/v1/causes": CAUSES, "/v1/participants": {"participants": [], "nextPageToken": "", "silent": []}}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self):
        staged = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                path = self.path.split("?")[0]
                if path.startswith("/console/"):
                    name = path.removeprefix("/console/") or "index.html"
                    with open(os.path.join(FILES, os.path.basename(name)), "rb") as file:
                        return self.answer(200, file.read(), TYPES[os.path.splitext(name)[1]])
                said = staged.answers.get(path, (404, {"code": 5, "message": "nothing"}))
                code, body = said if isinstance(said, tuple) else (200, said)
                if isinstance(body, str):
                    return self.answer(code, body.encode(), "text/plain; charset=utf-8")
                return self.answer(code, json.dumps(body).encode(), "application/json")

            def answer(self, code, body, kind):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
