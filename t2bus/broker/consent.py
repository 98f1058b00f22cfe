"""What other servers have to agree to before an operation of a client is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from .peer import Peer
    from .service import Service


@define(eq=False, repr=False)
class Consent:
    """One group that is subscribed to, one claim, or, with neither, the end of a service."""

    group: str = ""
    service: Service | None = None
    members: set[int] = field(factory=set, init=False)
    """The ids of the members that have not agreed yet."""
    operations: list[tuple[Peer, int]] = field(factory=list, init=False)
    """What waits: whose operation, and its id."""
