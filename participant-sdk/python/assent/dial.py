"""How coordinators are dialled: endpoints, TLS, tokens, gRPC's options. For clients and participants, plain and asyncio."""

import dataclasses
import ipaddress
import os
import re
from typing import Any, Iterable, Optional, Sequence, Union

import grpc

from .errors import ConfigError
from .transaction import once
from .words import MAX_FRAME_BYTES

DEFAULT_ENDPOINT = "127.0.0.1:7400"
_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
_MAX_MESSAGE_BYTES = 2 * MAX_FRAME_BYTES  # a transaction in full is larger than a frame
_MAX_TOKEN_BYTES = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files in PEM; one that has changed counts for connections from then on. None of them: the environment variables ASSENT_TLS_CA,
    ASSENT_TLS_CERT, ASSENT_TLS_KEY and ASSENT_TLS_SERVER_NAME; without those there is no TLS."""

    ca_file: str = ""  # the CAs that sign the coordinators' certificates
    cert_file: str = ""  # what is shown to the coordinator, and its key: both, or neither
    key_file: str = ""
    server_name: str = ""  # what has to be in the coordinators' certificates; empty: the host of the endpoint

    @staticmethod
    def of_environment() -> "Tls":
        return Tls(*(os.environ.get(name, "") for name in
                     ("ASSENT_TLS_CA", "ASSENT_TLS_CERT", "ASSENT_TLS_KEY", "ASSENT_TLS_SERVER_NAME")))

    @property
    def wanted(self) -> bool:
        return self != Tls()


@dataclasses.dataclass(frozen=True)
class Token:
    """Who asks, where the coordinator has rules: the secret itself, or a file with it, read again for each call (so that it can be
    renewed). Neither: the environment variables ASSENT_TOKEN and ASSENT_TOKEN_FILE; without those no token is shown."""

    secret: str = dataclasses.field(default="", repr=False)
    file: str = ""
    # A token is not sent over a network without TLS, where anybody may read it; `True` sends it all the same.
    without_tls: bool = False

    def read(self) -> str:
        secret = self.secret
        if self.file:
            secret = read_file("the token", self.file, _MAX_TOKEN_BYTES).decode("utf-8", "replace").strip()
            if not secret:
                raise ConfigError(f"the file of the token, {self.file}, is empty")
        if secret and not re.fullmatch(r"[\x21-\x7e]+", secret):
            raise ConfigError("the token has blanks, or what is not ASCII, in it; a token is one word")
        return secret


def read_file(what: str, path: str, limit: int = 1024 * 1024) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"the file of {what}, {path}, cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"the file of {what}, {path}, has more than {limit} bytes")
    return data


def endpoints_of(given: Union[None, str, Iterable[str]]) -> list[str]:
    """As they were given ("host:port", several separated by commas, or a list), or ASSENT_ENDPOINT, or 127.0.0.1:7400."""
    if given is None:
        given = os.environ.get("ASSENT_ENDPOINT", "")
    listed = given.split(",") if isinstance(given, str) else list(given)
    endpoints = once(one.strip() for one in listed if one.strip()) or [DEFAULT_ENDPOINT]
    for endpoint in endpoints:
        check_endpoint(endpoint)
    return endpoints


def check_endpoint(endpoint: str) -> None:
    wanted = f'it must be "host:port", such as "{DEFAULT_ENDPOINT}"'
    if endpoint.startswith(_SCHEMES):
        return
    if "://" in endpoint:
        raise ConfigError(f"endpoint {endpoint!r:.140} is a URL; {wanted}")
    host, colon, port = endpoint.rpartition(":")
    if not colon or endpoint.endswith("]") or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"endpoint {endpoint!r:.140} has no port from 1 to 65535; {wanted}")
    if not re.fullmatch(r"\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+", host):
        raise ConfigError(f"endpoint {endpoint!r:.140} does not begin with a host; {wanted}")


def is_near(endpoint: str) -> bool:
    """It does not leave this machine."""
    if endpoint.startswith(("unix:", "unix-abstract:")):
        return True
    host = endpoint.split(":", 1)[1] if endpoint.startswith(("ipv4:", "ipv6:", "dns:")) else endpoint
    host = host.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Dialling:
    """What connections of one client or participant have in common. Wrong files are a ConfigError when it is made."""

    def __init__(self, tls: Optional[Tls] = None, token: Optional[Token] = None, keepalive: float = 20.0):
        self.tls = tls if tls is not None and tls.wanted else Tls.of_environment()
        self.token = token or Token(os.environ.get("ASSENT_TOKEN", ""), os.environ.get("ASSENT_TOKEN_FILE", ""))
        self._keepalive = keepalive
        if self.tls.wanted and not self.tls.ca_file:
            raise ConfigError("TLS needs the CAs that are believed: ca_file, or ASSENT_TLS_CA")
        if bool(self.tls.cert_file) != bool(self.tls.key_file):
            raise ConfigError("a certificate needs its key, and a key its certificate: cert_file and key_file (ASSENT_TLS_CERT, ASSENT_TLS_KEY)")
        self._credentials()
        self.token.read()

    def _credentials(self) -> Optional[grpc.ChannelCredentials]:
        if not self.tls.wanted:
            return None
        ca = read_file("CAs", self.tls.ca_file)
        if b"-----BEGIN" not in ca:
            raise ConfigError(f"the file of CAs, {self.tls.ca_file}, has no certificate in PEM")
        pair = [read_file(what, path) if path else None
                for what, path in (("the key", self.tls.key_file), ("the certificate", self.tls.cert_file))]
        return grpc.ssl_channel_credentials(ca, *pair)

    def stamp(self) -> tuple[Any, ...]:
        """Another one, when a file has changed: connections from then on are to be made anew."""
        stamps = []
        for path in (self.tls.ca_file, self.tls.cert_file, self.tls.key_file):
            try:
                found = os.stat(path) if path else None
                stamps.append((found.st_mtime_ns, found.st_ino) if found else None)
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def metadata(self, endpoint: str) -> list[tuple[str, str]]:
        """Goes along with each call."""
        secret = self.token.read()
        if not secret:
            return []
        if not self.is_secure(endpoint) and not is_near(endpoint) and not self.token.without_tls:
            raise ConfigError(f"a token is not sent to {endpoint} without TLS, where anybody on the way may read it: set ASSENT_TLS_CA "
                              "(or tls=), or without_tls=True of the token if the network is yours alone")
        return [("authorization", f"Bearer {secret}")]

    def is_secure(self, endpoint: str) -> bool:
        return self.tls.wanted and not endpoint.startswith("unix:")

    def options(self, endpoint: str) -> list[tuple[str, Any]]:
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),  # never through a web proxy that happens to be in the environment
            # gRPC's own waits between attempts to connect would hide a daemon that is back already.
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.min_reconnect_backoff_ms", 5000),  # bounds one attempt to connect
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.enable_retries", 0),  # ours know what is idempotent
        ]
        if self._keepalive > 0:
            every_ms = int(self._keepalive * 1000)
            options += [("grpc.keepalive_time_ms", every_ms), ("grpc.keepalive_timeout_ms", min(every_ms, 10_000)),
                        ("grpc.http2.max_pings_without_data", 0)]
        if self.is_secure(endpoint) and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options

    def channel(self, endpoint: str, package: Any = grpc) -> Any:
        """Of `grpc`, or of `grpc.aio`."""
        if self.is_secure(endpoint):
            return package.secure_channel(endpoint, self._credentials(), self.options(endpoint))
        return package.insecure_channel(endpoint, self.options(endpoint))


def trailer(metadata: Optional[Sequence[Any]], key: str) -> str:
    for name, value in metadata or ():
        if name == key:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""
