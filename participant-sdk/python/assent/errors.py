"""What a client's call may fail with, and what to do next. An abort is no failure: it is a Report."""

from typing import Optional


class Error(Exception):
    """Of this package."""


class UnknownOutcome(Error):
    """It may or may not have been done. Submit the same object again, or `wait` on its gid, until one of them answers: the same gid
    is the same transaction, so nothing happens twice. Never make a new one."""

    def __init__(self, message: str, gid: str = ""):
        super().__init__(message)
        self.gid = gid


class Unavailable(Error):
    """This call has begun nothing: there was no connection, to any coordinator. Try later, or give up safely; unless an earlier call
    of the same gid ended in UnknownOutcome, which this does not settle."""


class DeadlineExceeded(Error):
    """`wait` and `get`: the answer did not come in time. The transaction goes on."""


class InvalidArgument(Error, ValueError):
    """It can never work; the message names the field and the limit."""


class NotFound(Error):
    """No such gid among what is retained. After an UnknownOutcome of `submit` this is not an abort: the request may still be on its
    way. Submit the same object again."""


class AlreadyExists(Error):
    """The gid, or the branch id, belongs to other content. Use another."""


class FailedPrecondition(Error):
    """The transaction's state does not allow it (a commit after its abort, say). Asking again does not help."""


class Aborted(Error):
    """`execute`: the transaction was aborted before this branch had an answer; the message says why."""


class DataLoss(Error):
    """The coordinator's own record of it is damaged. Tell an operator."""


class NotAllowed(Error):
    """`wait` and `get`: the coordinator (or a proxy) does not let this caller in, or does not know the call. Look at the token, the
    certificate, the rules (docs/security.md)."""


class ConfigError(Error, ValueError):
    """An option, an environment variable or a file of settings cannot be used; the message says which."""


# The coordinator's own answers: no library and no proxy makes them up. By the name of gRPC's code.
FINAL = {
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": FailedPrecondition,
    "ABORTED": Aborted,
    "DATA_LOSS": DataLoss,
}
# Nobody can say who speaks, and asking again will not help.
NOT_SERVED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")


def give_up(what: str, gid: str, maybe_done: bool, last: Optional[str]) -> Error:
    """The failure that ends a call that has, or has not, possibly been done."""
    if maybe_done:
        return UnknownOutcome(f"{what} may or may not have been done; ask again with the same gid. Last error: {last}", gid)
    return Unavailable(f"{what} was not sent: {last}")
