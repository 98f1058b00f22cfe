"""What the router alone costs, without input or output: `python -m benchmarks.routing SUBSCRIPTIONS KIND`.

KIND is ``concrete`` or ``wildcard``: what the subscriptions are made of. Published are eight ``hot`` topics, again and
again, and ``new`` ones, which come once each. Each publication reaches one subscription, except that a new topic
reaches none of the concrete ones. Printed are the seconds of one publication, from the message that the wire's codec
gives to the message that it is given.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final

from t2bus import Limits
from t2bus.broker.identity import LOCAL
from t2bus.broker.router import Router
from t2bus.wire import messages as m
from t2bus.wire.native import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from t2bus.broker.peer import Peer

_PUBLICATIONS: Final = 20_000
_BATCH: Final = 500
"""Publications between two looks at what waits for the subscriber, as a reader finds them in one go."""
_HOT: Final = 8
_ENOUGH: Final = 1 << 40
_ROUTE: Final = 1000
"""Subscriptions of one branch of the tree."""


def _connect(router: Router) -> Peer:
    peer = router.connect(m.Hello(VERSION, "benchmark"), LOCAL)
    _drain(peer)
    return peer


def _drain(peer: Peer) -> int:
    """Write what waits; return how many deliveries it were."""
    count = sum(isinstance(message, m.Deliver) for message in peer.outbox.take())
    peer.outbox.written()
    return count


def _pattern(number: int, kind: str) -> str:
    branch, leaf = divmod(number, _ROUTE)
    return f"site/{branch}/{leaf}/**" if kind == "wildcard" else f"site/{branch}/{leaf}/value/0"


def _topics(subscriptions: int, topics: str) -> Iterator[str]:
    for number in range(_PUBLICATIONS):
        branch, leaf = divmod(number % min(subscriptions, _HOT if topics == "hot" else subscriptions), _ROUTE)
        yield f"site/{branch}/{leaf}/value/{0 if topics == 'hot' else number + 1}"


class Bench:
    """A router with its subscriptions, a publisher and a subscriber."""

    def __init__(self, subscriptions: int, kind: str) -> None:
        limits = Limits(
            subscriptions=subscriptions,
            control_bytes=_ENOUGH,
            subscription_messages=_ENOUGH,
            subscription_bytes=_ENOUGH,
        )
        self._subscriptions, self._kind = subscriptions, kind
        self._router = Router(limits)
        self._publisher, self._subscriber = _connect(self._router), _connect(self._router)
        for number in range(subscriptions):
            subscribe = m.Subscribe(number + 1, _pattern(number, kind), _ENOUGH, _ENOUGH)
            self._router.feed(self._subscriber, [subscribe], 0.0)
            if number % _BATCH == 0:
                _drain(self._subscriber)
        _drain(self._subscriber)

    def measure(self, topics: str) -> float:
        """Return the seconds that one publication takes."""
        first = self._publisher.last_operation + 1
        publications = [
            m.Publish(number, False, m.Publication(topic, b"x" * 100))  # noqa: FBT003 -- not paced
            for number, topic in enumerate(_topics(self._subscriptions, topics), first)
        ]
        delivered, started = 0, time.perf_counter()
        for number, publication in enumerate(publications, 1):
            self._router.feed(self._publisher, [publication], 0.0)
            if number % _BATCH == 0:
                delivered += _drain(self._subscriber)
                _drain(self._publisher)
        seconds = time.perf_counter() - started
        assert delivered == (0 if self._kind == "concrete" and topics == "new" else _PUBLICATIONS), delivered
        return seconds / _PUBLICATIONS


if __name__ == "__main__":
    bench = Bench(int(sys.argv[1]), sys.argv[2])
    print(json.dumps({topics: bench.measure(topics) for topics in ("hot", "new")}))
