"""Why a call found no coordinator, or was not let in: what gRPC says of it, in one line for people.

gRPC's own words are those of OpenSSL, or name every layer that it went through; proto/tls says the same for C++.
"""

from .words import one_line

# So gRPC begins when it had no connection. What a coordinator says is never changed.
_UNCONNECTED = ("failed to connect to all addresses", "DNS resolution failed")

NO_ANSWER = "no answer in time; is assentd running there?"
WHY_PATIENCE = 1.0  # of a call that is made to be told the cause

_NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?"
_CLOSED = "the connection is closed as soon as it is made; does it want a certificate, and not the one, if any, that this side shows?"

_MEANINGS = (
    ("wrong version number", "there is no TLS at that address"),
    ("http1.x server", _NO_GRPC),
    ("hostname verification check failed", "the certificate there is not one for the name that was dialled"),
    ("is not in peer certificate", "the certificate there is not one for the name that was dialled"),
    ("certificate verify failed", "the certificate there is not signed by the CA that was given, or not valid now"),
)
_HANGS_UP = ("socket closed", "connection reset by peer", "broken pipe")


def why_failed(code: str, details: str, secure: bool) -> str:
    """How a call ended. `secure`: it was to go over TLS."""
    return one_line(f"{code}: {why_unavailable(details, secure) if code == 'UNAVAILABLE' else details}")


def why_unavailable(details: str, secure: bool) -> str:
    if not details.startswith(_UNCONNECTED):
        return details
    said = details.lower().replace("_", " ")
    for words, meaning in _MEANINGS:
        if words in said:
            return meaning
    if any(words in said for words in _HANGS_UP):
        # TLS 1.3 tells of a certificate that is wanted, or not taken, when the client has done its part.
        return _CLOSED if secure else _NO_GRPC
    if details.startswith("DNS"):
        return "there is no host of that name"
    cause = details.rpartition(": ")[2]
    cause = cause[:1].lower() + cause[1:]
    return f"{cause}; is assentd running there?"
