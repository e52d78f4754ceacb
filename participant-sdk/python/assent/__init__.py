"""The Python SDK of Assent: take part in distributed transactions, and run them. README.md begins with whole programs."""

from .call import Call, Refused, Reply, RetryLater, Unknown, read_only
from .check_back import enlist
from .client import Client, OpenTransaction
from .dial import Tls, Token
from .errors import (Aborted, AlreadyExists, ConfigError, DataLoss, DeadlineExceeded, Error, FailedPrecondition, InvalidArgument, NotAllowed,
                     NotFound, Unavailable, UnknownOutcome)
from .mysql import MySQL
from .outbox import Outbox
from .outbox_sql import OutboxCounts, OutboxRow
from .participant import Participant
from .plan import Retry
from .postgresql import PostgreSQL
from .relay import Relay
from .relay_rules import RelayOptions, RelayStats
from .roster import Options
from .service import Action, Resource, Service
from .sql import Tx
from .sqlite import SQLite
from .transaction import Branch, BranchInfo, BranchResult, Report, Transaction, TransactionInfo, new_gid
from .unary import ServerTls, UnaryServer
from .version import VERSION as __version__
from .words import BranchState, Kind, Operation, Ordering, Outcome, Protocol, State, Verdict, WaitFor

__all__ = [
    "Aborted", "Action", "AlreadyExists", "Branch", "BranchInfo", "BranchResult", "BranchState", "Call", "Client", "ConfigError", "DataLoss",
    "DeadlineExceeded", "Error", "FailedPrecondition", "InvalidArgument", "Kind", "MySQL", "NotAllowed", "NotFound", "OpenTransaction",
    "Operation", "Options", "Ordering", "Outbox", "OutboxCounts", "OutboxRow", "Outcome", "Participant", "PostgreSQL", "Protocol", "Refused",
    "Relay", "RelayOptions", "RelayStats", "Reply", "Report", "Resource", "Retry", "RetryLater", "SQLite", "ServerTls", "Service", "State", "Tls", "Token", "Transaction", "TransactionInfo", "Tx", "UnaryServer",
    "Unavailable", "Unknown", "UnknownOutcome", "Verdict", "WaitFor", "__version__", "enlist", "new_gid", "read_only",
]
