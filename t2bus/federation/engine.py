"""The engine: what carries bytes between the servers of one bus.

::

    async with open_engine(options) as engine:
        while True:
            for event in await engine.receive():
                ...  # Joined("4f1d…"), Arrived("4f1d…", b"…"), Left("4f1d…")

A *node* is one opening of one server: its name is made anew each time, so that nobody takes a server that was started
again for the one that it was. :mod:`.zenoh` is the engine of servers in use, :mod:`.memory` one for tests.

The law of this module: an engine knows nodes and bytes. What it drops it drops with the node: whoever has missed
something of a node sees it leave, or finds a hole in what that node counts itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence


class EngineFailed(Exception):
    """The engine is of no use any more: close it, and open another one."""


@frozen
class Joined:
    """A node of this bus can be reached."""

    node: str
    endpoint: str = field(default="", eq=False)
    """Where it listens for others, as its ``Federation`` has it, and as it says itself."""


@frozen
class Left:
    """A node is gone, or was silent for the lease; it may join again."""

    node: str


@frozen
class Arrived:
    """Bytes of a node, in the order in which it sent them; what one ``send`` took comes in one piece."""

    node: str
    data: bytes


Event = Joined | Left | Arrived


class Engine(ABC):
    """One server among the others of its bus."""

    node: str
    """The name of this one: 16 hexadecimal digits."""

    @abstractmethod
    async def receive(self) -> Sequence[Event]:
        """Wait for what happens, and return all that has happened since the last time.

        Raises:
          EngineFailed: the engine has failed.

        """

    @abstractmethod
    def takes_nowait(self, node: str) -> bool:
        """Tell whether :meth:`send_nowait` would take no time, if no more than 512 KiB are under way to the node.

        Raises:
          EngineFailed: the engine has failed.

        """

    @abstractmethod
    def send_nowait(self, node: str, data: bytes) -> None:
        """Send as :meth:`send`, where :meth:`takes_nowait` has just said that it can be."""

    @abstractmethod
    async def send(self, node: str, data: bytes) -> None:
        """Send bytes to a node; what is sent to one that is gone is dropped.

        Waits until the engine has taken them. Cancelled, they are sent all the same or not at all.

        Raises:
          EngineFailed: the engine has failed.

        """
