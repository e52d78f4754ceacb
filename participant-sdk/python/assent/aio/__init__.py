"""The same for asyncio: Client, Participant, UnaryServer, Outbox and Relay, awaited."""

from .client import Client, OpenTransaction
from .outbox import Outbox
from .participant import Participant
from .relay import Relay
from .unary import UnaryServer

__all__ = ["Client", "OpenTransaction", "Outbox", "Participant", "Relay", "UnaryServer"]
