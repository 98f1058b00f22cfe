"""Who is connected: by number, in the order of coming, and how often under one name.

The law of this module: other servers of the bus are connections, and count for no client.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .outbox import Outbox
from .peer import Peer

if TYPE_CHECKING:
    from ..limits import Limits
    from .access import Permissions
    from .budget import Budget
    from .identity import Identity
    from .outbox import DirtyPeers


@define(eq=False, repr=False)
class Connections:
    """The connections of one bus. A number is never given twice."""

    limits: Limits
    total: Budget
    dirty: DirtyPeers
    peers: dict[int, Peer] = field(factory=dict, init=False)
    identities: Counter[str] = field(factory=Counter, init=False)
    """How many clients each identity has."""
    clients: int = field(default=0, init=False)
    """How many there are; the others are servers of the same bus."""
    _last: int = field(default=0, init=False)

    def open(self, who: Identity, permissions: Permissions | None, **more: Any) -> Peer:
        """Take a client in; the rest is what :class:`.Peer` has to know of it."""
        self.clients += 1
        self.identities[who.name] += 1
        return self.open_uncounted(who, permissions, **more)

    def open_uncounted(self, who: Identity, permissions: Permissions | None, **more: Any) -> Peer:
        """Take another server in, which is a member of the bus from then on."""
        self._last = number = self._last + 1
        limits = self.limits
        outbox = Outbox(number, limits.outbox_bytes, limits.control_bytes, self.total, self.dirty, limits.frame)
        peer = self.peers[number] = Peer(number, who, outbox, permissions, **more)
        return peer

    def discard(self, peer: Peer) -> bool:
        """Take a connection out; tell whether it was in."""
        if self.peers.pop(peer.id, None) is None:
            return False
        if not peer.server:
            name = peer.identity.name
            self.clients -= 1
            self.identities[name] -= 1
            if not self.identities[name]:
                del self.identities[name]
        return True

    def take_dirty(self) -> list[Peer]:
        """Return those of the dirty peers that are in; one whose outbox has overflowed has to end."""
        peers = [*filter(None, map(self.peers.get, self.dirty.take()))]
        for peer in peers:
            if peer.outbox.is_overflowed and peer.ending is None:
                peer.end_overflowed()
        return peers

    def of(self, identity: Identity) -> int:
        """Return how many clients an identity has."""
        return self.identities[identity.name]
