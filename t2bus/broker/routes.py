"""Routes: the receivers of a topic, found once and remembered.

The subscriptions that a topic reaches, grouped by connection, are its *route*. The route of a concrete topic is
remembered until a subscription that could change it comes or goes, because programs publish on few topics, many times.

The law of this module: a remembered route is the one that would be found now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from ..errors import InvalidTopic
from ..topic import TopicTree, is_concrete, validate
from .member import MemberWindow
from .topic_counts import TopicCount, TopicCounts

if TYPE_CHECKING:
    from ..limits import Limits
    from .flow import SendWindow
    from .peer import Peer

Receiver = tuple["Peer", list["SendWindow"], tuple[int, ...]]
"""A connection, its subscriptions that a topic reaches, and their ids."""


OWN: Final = "bus"
"""The first fragment of the topics that are the bus's own."""


def is_own(topic: str) -> bool:
    """Tell whether a topic is the bus's own; ``**`` is not, so nobody who did not ask for them meets these."""
    return topic.startswith(OWN) and topic[len(OWN) :][:1] in ("", "/")


@frozen(eq=False)
class Route:
    """The receivers of a topic, in the order in which they connected."""

    count: TopicCount
    """Of what is published to it."""
    receivers: list[Receiver]
    windows: int
    """The subscriptions of all of them."""
    withheld: int = 0
    """Connections that it would reach, and that cannot be sent this topic."""
    ways: tuple[MemberWindow, ...] = ()
    """Those to servers that have subscribed to something of it. They count for as many receivers as they say."""


_SEARCH: Final = 8
"""Steps of a search, beside the fragments that it looks at: where nobody listens it took 17 us, and a step 2."""

_RECEIVERS: Final = 64
"""For each of ``Limits.routes`` so many subscriptions may be remembered: counting topics alone would not bound memory,
since each may reach all subscriptions of the bus."""


@define(eq=False, repr=False)
class Routes:
    """All subscriptions of a bus, by topic."""

    limits: Limits
    are_own: bool = False
    """Whether these are the bus's own topics, to which nobody else publishes."""
    counts: TopicCounts = field(init=False)
    _tree: TopicTree[SendWindow] = field(init=False)
    known: OrderedDict[str, Route] = field(factory=OrderedDict, init=False)
    """The routes that are remembered, by topic, the oldest first: that one is not to be looked for, as in a dict."""
    remembered: int = field(default=0, init=False)
    """The subscriptions in all of these routes."""

    def __attrs_post_init__(self) -> None:
        """Make the tree; routes are remembered here, so it need not remember matches."""
        limits = self.limits
        # More than routes: a topic with wildcards has a count and no route, and is to take no route's place.
        self.counts = TopicCounts(2 * limits.routes)
        self._tree = TopicTree(
            steps=limits.matching_steps, cache=0, length=limits.topic_length, depth=limits.topic_depth
        )

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._tree)

    @property
    def is_empty(self) -> bool:
        """Whether no subscription is left, in the tree or in a route."""
        return not (self._tree or self.remembered)

    def add(self, window: SendWindow) -> None:
        """Add a subscription. Raises ``InvalidTopic`` if its topic is none."""
        self.add_at(window.topic, window)

    def add_at(self, topic: str, window: SendWindow) -> None:
        """Add one that has several topics."""
        self._tree.add(topic, window)
        self._forget(topic)

    def discard(self, window: SendWindow) -> None:
        """Remove a subscription."""
        self.discard_at(window.topic, window)

    def discard_at(self, topic: str, window: SendWindow) -> None:
        """Remove it from one of several topics."""
        self._tree.discard(topic, window)
        self._forget(topic)

    def find(self, topic: str) -> tuple[Route, int]:
        """Return the receivers of a topic, and the steps that it took to find them: one if they are remembered.

        Raises:
          InvalidTopic: the topic is not one.
          TopicTooBroad: finding the receivers costs more than one publication may.

        """
        if (known := self.known.get(topic)) is not None:
            return known, 1
        if is_own(topic) and not self.are_own:
            validate(topic, length=self.limits.topic_length, depth=self.limits.topic_depth)
            raise InvalidTopic(f"{topic!r} is the bus's own: publish to another topic")
        groups: dict[Peer, list[SendWindow]] = {}
        windows = sorted(self._tree.match(topic), key=lambda each: (each.peer.id, each.id))
        ways: list[MemberWindow] = []
        for window in windows:
            if isinstance(window, MemberWindow):
                ways.append(window)
            else:
                groups.setdefault(window.peer, []).append(window)
        deep = topic.count("**")
        receivers = [
            (peer, group, tuple(each.id for each in group)) for peer, group in groups.items() if deep <= peer.deep
        ]
        withheld = len(groups) - len(receivers)
        route = Route(self._count(topic), receivers, len(windows), withheld, tuple(ways))
        if is_concrete(topic):
            self._remember(topic, route)
        return route, _SEARCH + self._tree.last_steps + route.windows

    def _count(self, topic: str) -> TopicCount:
        """Return the count of a topic; the route of one that goes for it is forgotten, as its count is in there."""
        count, forgotten = self.counts.of(topic)
        if forgotten is not None and (route := self.known.pop(forgotten, None)) is not None:
            self.remembered -= route.windows
        return count

    def _remember(self, topic: str, route: Route) -> None:
        """Keep a route, and as many of the youngest others as there is room for."""
        routes, most = self.known, self.limits.routes
        routes[topic] = route
        self.remembered += route.windows
        while len(routes) > most or (self.remembered > _RECEIVERS * most and len(routes) > 1):
            self.remembered -= routes.popitem(last=False)[1].windows

    def _forget(self, topic: str) -> None:
        """Forget the routes that a subscription to this topic is, or will be, part of."""
        if is_concrete(topic):
            if (route := self.known.pop(topic, None)) is not None:
                self.remembered -= route.windows
        else:
            self.known.clear()
            self.remembered = 0
