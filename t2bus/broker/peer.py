"""What every part of the broker knows of one connection; what only one part knows, it keeps itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from ..errors import ProtocolViolation
from ..wire.messages import Refused
from ..wire.values import ErrorCode

if TYPE_CHECKING:
    from ..errors import BusError
    from ..wire.messages import ServerMessage
    from .access import Permissions
    from .identity import Identity
    from .outbox import Outbox

_DOES_NOT_READ: Final = "it does not read: control messages that may not be dropped do not fit (Limits.control_bytes)"


ANY: Final = math.inf
"""More than any topic has."""


@frozen
class Ending:
    """Why a connection is to end, and whether what waits for it is written before."""

    reason: str
    is_flushed: bool = False


@frozen
class Origin:
    """Where a connection comes from, as its owner knows it."""

    address: str = ""
    wire: str = ""
    begun_at: float = 0.0


@define(eq=False, repr=False)
class Peer:
    """One connection of the bus."""

    id: int
    identity: Identity
    outbox: Outbox
    permissions: Permissions | None
    """None when there are no access rules."""
    tells_gaps: bool = True
    """Whether it can be told that it misses messages; else it is disconnected instead."""
    pings: bool = True
    """Whether it is asked for signs of life, and has words for them; what it calls a PING otherwise keeps its place."""
    deep: float = ANY
    """How many ``**`` the topic of a publication may have that is sent to it: its own matcher could not bear more."""
    name: str = ""
    """What it calls itself, made fit to be shown."""
    origin: Origin = Origin()
    server: str = ""
    """The node of the other server of this bus that it is; none for a client."""
    received: int = field(default=0, init=False)
    received_size: int = field(default=0, init=False)
    """Publications, requests and answers that came from it, and their bytes."""
    sent: int = field(default=0, init=False)
    sent_size: int = field(default=0, init=False)
    """Requests and answers to it, and the deliveries of subscriptions that are closed: the others count themselves."""
    incoming: int = field(default=0, init=False)
    """What has come of a large frame that is not complete, as its owner sees it."""
    held: int = field(default=0, init=False)
    """Paced publications of this connection that are held for some subscriber."""
    waits_for_room: bool = field(default=False, init=False)
    """Whether something that concerns it waits until its outbox has room."""
    ending: Ending | None = field(default=None, init=False)
    """Set when the connection has to end: its owner ends it, and calls ``Router.disconnect`` then."""
    last_operation: int = field(default=0, init=False)
    """The highest operation id that was used."""

    def begin(self, operation: int) -> None:
        """Use up an operation id; raise ``ProtocolViolation`` unless it is above the last one."""
        if operation <= self.last_operation:
            raise ProtocolViolation(f"operation id {operation} is not above {self.last_operation}, the last one")
        self.last_operation = operation

    def note_received(self, size: int, count: int = 1) -> None:
        """Count what has come from it."""
        self.received += count
        self.received_size += size

    def note_sent(self, size: int, count: int = 1) -> None:
        """Count what was put on its way to it."""
        self.sent += count
        self.sent_size += size

    def refuse(self, operation: int, error: BusError) -> None:
        """Answer an operation with an error."""
        text = str(error)
        self.outbox.put_control(Refused(operation, ErrorCode.of(error), text), text)

    def put_sign(self, sign: ServerMessage) -> None:
        """Send a sign of life, ahead of all else where the wire has words for it."""
        (self.outbox.put_sign if self.pings else self.outbox.put_control)(sign)

    def end(self, reason: str, *, is_flushed: bool = False) -> None:
        """Have the connection ended; the first reason stands."""
        if self.ending is None:
            self.ending = Ending(reason, is_flushed)
            self.outbox.dirty.mark(self.id)

    def end_overflowed(self) -> None:
        """Have the connection ended, for its outbox has overflowed; its owner is about to look."""
        self.ending = Ending(_DOES_NOT_READ)
