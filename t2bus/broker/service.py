"""What request and response is made of: services, pending requests, and what one connection has of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .peer import Peer


@define(eq=False, repr=False)
class Service:
    """The claim of one topic by one connection."""

    id: int
    topic: str
    peer: Peer
    window_requests: int
    window_size: int
    pending: dict[int, PendingRequest] = field(factory=dict, init=False)
    """What was handed to the responder and not ended by it, by call id."""
    size: int = field(default=0, init=False)
    calls: int = field(default=0, init=False)
    """What was handed to it so far."""
    is_finishing: bool = field(default=False, init=False)
    """Whether its topic is free again, and it answers what is pending still."""
    claimed_at: float = 0.0
    is_wanted: bool = False
    """Whether it is no service yet: other servers of the bus have to agree to the claim."""


@define(eq=False, repr=False)
class PendingRequest:
    """One request on its way from its requester to its responder and back."""

    call: int
    service: Service
    size: int
    expires_at: float
    request: int
    requester: Party | None
    """None when nobody waits for the answer any more; else it stands in its table."""


@define(eq=False, repr=False)
class Party:
    """What one connection serves, and what it has asked and not been answered, each by its operation id."""

    peer: Peer
    services: dict[int, Service] = field(factory=dict, init=False)
    requests: dict[int, PendingRequest] = field(factory=dict, init=False)
    about: Service | None = field(default=None, init=False)
    """Of another server: what it is asked about itself, which is no claim of a topic."""

    @property
    def asked(self) -> Iterable[Service]:
        """All that it may have requests of."""
        return self.services.values() if self.about is None else (*self.services.values(), self.about)
