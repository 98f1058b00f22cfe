"""What the router knows of one connection."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import BusError, ProtocolViolation
from ..wire.messages import Dialect, Refused
from ..wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from .access import Permissions
    from .flow import SendWindow
    from .identity import Identity
    from .outbox import Outbox
    from .requests import PendingRequest, Service

__all__ = ["Peer"]


@define(eq=False, repr=False)
class Peer:
    """One connection: its outbox and everything registered in its name.

    ``close`` asks the owner of the connection to end it, and says why; the owner then calls ``Router.disconnect``.
    ``expel`` does the same once what waits in the outbox has been written.
    """

    id: int
    identity: Identity
    outbox: Outbox
    close: Callable[[str], None]
    expel: Callable[[str], None]
    dialect: Dialect = Dialect.NATIVE
    permissions: Permissions | None = None
    """None when there are no access rules."""
    subscriptions: dict[int, SendWindow] = field(factory=dict)
    behind: dict[int, SendWindow] = field(factory=dict)
    """Those of the subscriptions that have a backlog. Who waits the longest for room comes first."""
    services: dict[int, Service] = field(factory=dict)
    requests: dict[int, PendingRequest] = field(factory=dict)
    """Requests of this connection that wait for an answer, by operation id."""
    calls: dict[int, PendingRequest] = field(factory=dict)
    """Requests handed to this connection and not ended by it yet, by call id."""
    untold: deque[int] = field(factory=deque)
    """Calls of this connection that nobody waits for any more, which it will be told when it has read what waits."""
    held: int = 0
    """Paced publications of this connection that are held for some subscriber."""
    last_operation: int = 0

    def begin(self, operation: int, count: int = 1) -> None:
        """Check that an operation id is new, and so many that follow it.

        Raises:
          ProtocolViolation: it is not above the last one.

        """
        if operation <= self.last_operation:
            raise ProtocolViolation(f"operation id {operation} is not above {self.last_operation}, the last one")
        self.last_operation = operation + count - 1

    def refuse(self, operation: int, error: BusError) -> None:
        """Answer an operation with an error."""
        text = str(error)
        self.outbox.put_control(Refused(operation, ErrorCode.of(error), text), text)
