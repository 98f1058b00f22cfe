"""The other servers of a bus while one engine works: each is a connection of the router's, over a stream of its own.

The law of this module: what one server does, or is done to it, ends its own connection at most.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

import trio
from attrs import define, field

from ..broker.identity import Identity
from ..broker.peer import Origin
from ..federation.engine import Arrived, EngineFailed, Joined, Left
from ..federation.rounds import Rounds
from ..federation.stream import MemberStream
from ..transport.framed import FramedTransport
from ..wire.codec import codec_for_member
from .connection import StreamConnection
from .slots import Slots

if TYPE_CHECKING:
    from ..federation.engine import Engine, Event
    from .router_task import RouterTask

_LARGEST: Final = 1 << 31
"""Bytes of a frame: a server takes from another whatever that has taken from its clients."""

_REST: Final = 1.0
"""Seconds before a server is connected with again whose connection has ended though it is there; they double."""

_LONGEST_REST: Final = 60.0

_MOMENT: Final = 0.1
"""Seconds in which whoever leads begins a round by itself, as a rule."""

_PLACES: Final = 1 << 20
"""For large frames that have come in part: servers bound what they send, so that all have one."""

WIRE: Final = "t2bus between servers"


@define(eq=False)
class _Connected:
    """One of them, until it goes or both begin anew."""

    stream: MemberStream
    connection: StreamConnection


@define(eq=False)
class MemberLinks:
    """The connections with all that can be reached."""

    routing: RouterTask
    engine: Engine
    nursery: trio.Nursery
    _connected: dict[str, _Connected] = field(factory=dict, init=False)
    """By node."""
    _links: dict[str, Rounds] = field(factory=dict, init=False)
    """By node."""
    _rests: dict[str, float] = field(factory=dict, init=False)
    """How long each node was left alone that could not be borne."""
    _places: Slots = field(factory=lambda: Slots(_PLACES, "Limits.incoming_bytes"), init=False)

    async def keep_up(self) -> NoReturn:
        """Connect with whoever joins, until the engine fails.

        Raises:
          EngineFailed: it did.

        """
        while True:
            for event in await self.engine.receive():
                self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Joined(node):
                self._links[node] = Rounds(leads=self.engine.node < node)
                self._begin(node, "it has come again")
            case Left(node):
                self._leave(node, "it cannot be reached any more")
                del self._links[node]
                self._rests.pop(node, None)
            case Arrived(node, data):
                heard = self._links[node].hear(data)
                if heard.is_lost:
                    self._begin(node, "something that it said was lost")
                elif heard.is_new:
                    self._leave(node, "it begins anew")
                    self._connect(node)
                if heard.data:
                    self._connected[node].stream.feed(heard.data)
            case _:
                assert_never(event)

    def _begin(self, node: str, reason: str) -> None:
        """Begin another round with a server, or ask it to."""
        self._leave(node, reason)
        link = self._links[node]
        if link.leads:
            link.begin(int(trio.current_time() * 1000))
            self._connect(node)
        else:
            link.close()
            self.nursery.start_soon(self._ask, node, link)

    async def _ask(self, node: str, link: Rounds) -> None:
        """Ask for another round, unless one has begun in a moment."""
        await trio.sleep(_MOMENT)
        if not link.is_open:
            # Whoever receives from the engine finds that it has failed, too.
            with suppress(EngineFailed):
                await self.engine.send(node, link.ask())

    def _connect(self, node: str) -> None:
        """Let a server in, in the round that has begun."""
        stream = MemberStream(self._links[node], self.engine, node)
        peer = self.routing.router.join(node, _identity(node), Origin("federation", WIRE, trio.current_time()))
        transport = FramedTransport(stream, codec_for_member(), _LARGEST)
        transport.set_frame_limit(_LARGEST)
        connection = self.routing.connections[peer.id] = StreamConnection(peer, self.routing, transport, self._places)
        one = self._connected[node] = _Connected(stream, connection)
        self.routing.flush()
        self.nursery.start_soon(self._run, node, one)

    async def _run(self, node: str, one: _Connected) -> None:
        await one.connection.run()
        if self._connected.get(node) is one:
            # It is there still and has not begun anew: one of the two could not bear the other.
            rest = self._rests[node] = min(2 * self._rests.get(node, _REST / 2), _LONGEST_REST)
            await trio.sleep(rest)
            if self._connected.get(node) is one:
                self._begin(node, "")

    def _leave(self, node: str, reason: str) -> None:
        """End the connection with a server that is gone, or begins anew."""
        if (one := self._connected.pop(node, None)) is not None:
            one.stream.end()
            one.connection.close(reason)
            # At once, for it may be back before its tasks have ended.
            self.routing.forget(one.connection)


def _identity(node: str) -> Identity:
    return Identity(f"server {node}")
