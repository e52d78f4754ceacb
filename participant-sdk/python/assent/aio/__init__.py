"""The same for asyncio: Client, Participant, UnaryServer, Outbox, Relay and enlist, awaited."""

from .check_back import enlist
from .client import Client, OpenTransaction
from .outbox import Outbox
from .participant import Participant
from .relay import Relay
from .unary import UnaryServer

__all__ = ["Client", "OpenTransaction", "Outbox", "Participant", "Relay", "UnaryServer", "enlist"]
