"""What the access rules grant: to an identity, once for all its connections; and what a message needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import define, field

from ..errors import PermissionDenied
from ..wire.messages import Ask, Claim, Error, Publish, Subscribe
from .access import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..limits import Limits
    from ..wire.messages import ClientMessage
    from .access import Access, Permissions
    from .identity import Identity
    from .peer import Peer
    from .requests import ServiceTable
    from .subscriptions import SubscriptionTable


@define(eq=False, repr=False)
class Grants:
    """The permissions of all identities that are connected, by one set of rules."""

    limits: Limits
    access: Access | None
    _granted: WeakValueDictionary[Identity, Permissions] = field(factory=WeakValueDictionary, init=False)
    """What the connections of one identity share, because it remembers verdicts, which takes memory."""

    def of(self, identity: Identity) -> Permissions | None:
        """Return what an identity may do; None where there are no rules, and all may do everything."""
        if self.access is None:
            return None
        granted = self._granted.get(identity)
        if granted is None:
            limits = self.limits
            granted = self.access.permissions(identity, length=limits.topic_length, depth=limits.topic_depth)
            self._granted[identity] = granted
        return granted

    def enforce(self, peers: Iterable[Peer], subscriptions: SubscriptionTable, services: ServiceTable) -> None:
        """Put the rules in force for those who are connected."""
        for peer in peers:
            if not peer.server:
                peer.permissions = self.of(peer.identity)
                _expel(peer, subscriptions, services)


def _expel(peer: Peer, subscriptions: SubscriptionTable, services: ServiceTable) -> None:
    """Expel a client that has subscribed to, or serves, what it may not any more."""
    permissions = peer.permissions
    assert permissions is not None
    try:
        for window in subscriptions.of(peer).values():
            permissions.check(Verb.SUBSCRIBE, window.topic)
        for service in services.of(peer).values():
            permissions.check(Verb.SERVE, service.topic)
    except PermissionDenied as error:
        reason = f"the access rules have changed: {error}"
        # Now, not when it has gone: it may take its time to read what waits, and is to hear nothing newer.
        subscriptions.disconnect(peer)
        services.disconnect(peer)
        peer.outbox.put_control(Error(reason), reason)
        peer.end(reason, is_flushed=True)


def require(permissions: Permissions, message: ClientMessage) -> None:
    """Raise ``PermissionDenied`` unless the operation is permitted."""
    match message:
        case Publish():
            permissions.check(Verb.PUBLISH, message.publication.topic)
        case Subscribe():
            permissions.check(Verb.SUBSCRIBE, message.topic)
        case Claim():
            permissions.check(Verb.SERVE, message.topic)
        case Ask():
            permissions.check(Verb.REQUEST, message.topic)
        case _:
            pass  # the end of what was permitted when it began
