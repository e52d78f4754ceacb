"""The transport for who has a web server already: the coordinator posts JSON to a URL.

    assentd --unary payment=http://127.0.0.1:5000/assent …

    endpoint = assent.http.Endpoint(service)

    @app.post("/assent")                                             # Flask
    def execute():
        return endpoint.answer(request.get_data(), request.headers)

For TCC and Saga, as with UnaryServer. It is of no framework: bytes and headers in; a body, a code and headers out.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import re
import time
from typing import Any, Mapping, Optional, Union

from google.protobuf import json_format

from . import wire
from .call import Call, Reply, retry_later
from .desk import Waiter
from .errors import ConfigError
from .roster import Workers
from .service import Service
from .unary import Reception
from .v1 import participant_pb2
from .words import MAX_FRAME_BYTES, Kind

REPLY_TYPE = "application/assent-reply+json"
SIGNATURE_HEADER = "Assent-Signature"
MAX_BODY_BYTES = MAX_FRAME_BYTES  # of a command as JSON
# How old a signature may be, and how far ahead the coordinator's clock.
MAX_SIGNATURE_AGE_S = 300
MIN_SECRET_BYTES = 16

Answer = tuple[bytes, int, dict[str, str]]


def verify(secret: Union[str, bytes], signature: str, body: bytes, max_age_s: float = MAX_SIGNATURE_AGE_S) -> bool:
    """Whether `body` was signed by who has the secret, lately."""
    found = re.fullmatch(r"t=(\d{1,12}),v1=([0-9a-f]{64})", signature)
    if not found or abs(time.time() - int(found[1])) > max_age_s:
        return False
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.compare_digest(hmac.new(key, found[1].encode() + b"." + body, hashlib.sha256).hexdigest(), found[2])


class _Future(Waiter):
    """A request that waits, for as long as its coordinator does."""

    def __init__(self, seconds: float) -> None:
        self.future: concurrent.futures.Future[Reply] = concurrent.futures.Future()
        self._until = time.monotonic() + seconds

    def alive(self) -> bool:
        return time.monotonic() < self._until

    def answer(self, call: Call, reply: Reply) -> None:
        self.future.set_result(reply)

    def wait(self) -> Optional[Reply]:
        try:
            return self.future.result(max(self._until - time.monotonic(), 0))
        except concurrent.futures.TimeoutError:
            return None


def _said(code: int, words: str) -> Answer:
    """No reply: its outcome is unknown to the coordinator, which asks again."""
    return words.encode("utf-8", "replace"), code, {"Content-Type": "text/plain; charset=utf-8"}


def _reply(command: Any, reply: Reply) -> Answer:
    message = wire.reply_message(command, reply)
    echo = json_format.MessageToDict(participant_pb2.BranchReply(gid=message.gid, branch_id=message.branch_id, operation=message.operation,
                                                                 kind=message.kind))
    body = {**echo, "result": base64.b64encode(message.result).decode(), "reason": message.reason,
            "retryAfterMs": message.retry_after_ms, "blockedByGid": message.blocked_by_gid}
    return json.dumps(body).encode(), 200, {"Content-Type": REPLY_TYPE}


class Endpoint:
    """What a route of a web server hands its requests to; from any number of threads. Also a context manager."""

    def __init__(self, service: Service, *, secret: Union[str, bytes] = "", secret_file: Union[str, "os.PathLike[str]"] = "",
                 workers: int = 16, max_queued_calls: int = 1024):
        """`secret`, or the file with it (of the environment, ASSENT_SECRET_FILE, if there is neither): what this service has in the
        coordinator's --unary-secrets-file. Without one everybody who reaches the URL is believed to be a coordinator."""
        if not secret and not secret_file:
            secret_file = os.environ.get("ASSENT_SECRET_FILE", "")
        if secret_file:
            with open(secret_file, "rb") as file:
                secret = file.read().strip()
        if (secret or secret_file) and len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"the secret has {len(secret)} bytes: it takes {MIN_SECRET_BYTES} at least, as in --unary-secrets-file")
        self._service, self._secret = service, secret
        self._workers = Workers(workers)
        self._reception = Reception(service, self._workers.run, max_queued_calls)
        for resource in service.resources:
            resource.start()

    def answer(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Body, code and headers to answer with: what a view of Flask returns."""
        if len(body) > MAX_BODY_BYTES:
            return _said(413, f"a command has at most {MAX_BODY_BYTES} bytes")
        if self._secret and not verify(self._secret, headers.get(SIGNATURE_HEADER, ""), body):
            return _said(401, "this is not signed with the secret of this service, or its clock is another")
        try:
            command = json_format.Parse(body, participant_pb2.BranchCommand(), ignore_unknown_fields=True)
            call, reply = self._reception.at_once(command)
        except (json_format.ParseError, UnicodeDecodeError, ValueError, RecursionError) as wrong:
            return _said(400, f"ill-formed command: {wrong}")
        if call is not None:
            waiter = _Future(call.timeout or 60.0)
            if not self._reception.desk.ask(call, waiter):
                reply = retry_later("the participant's queue is full (max_queued_calls)")
            else:
                reply = waiter.wait()
        if reply is None:
            return _said(504, "it takes longer than the coordinator waits")
        if reply.kind == Kind.UNKNOWN:
            return _said(500, reply.reason)
        return _reply(command, reply)

    def close(self) -> None:
        """When the web server takes no more."""
        self._workers.close(wait=False)
        for resource in self._service.resources:
            resource.close()

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *failure: Any) -> None:
        self.close()
