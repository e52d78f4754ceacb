"""The same for asyncio: Client, Participant and UnaryServer, awaited."""

from .client import Client, OpenTransaction
from .participant import Participant
from .unary import UnaryServer

__all__ = ["Client", "OpenTransaction", "Participant", "UnaryServer"]
