"""Several routers that are one bus, without a network: what each says to another is encoded, carried and decoded."""

from __future__ import annotations

from collections import deque
from itertools import permutations
from typing import TYPE_CHECKING, cast

from attrs import define, field

from broker_helpers import Bus, RawPeer
from pure_helpers import limits_with
from t2bus.broker.identity import Identity
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.broker.peer import Peer
    from t2bus.wire import messages as m


@define(eq=False)
class Way:
    """From one server to another: what is written, and not heard yet."""

    fleet: Fleet
    source: str
    target: str
    frames: deque[bytes] = field(factory=deque)

    @property
    def at_source(self) -> Peer:
        """The target, as the source knows it."""
        return self.fleet.peers[self.source, self.target]

    def write(self) -> None:
        """Take what waits at the source."""
        router = self.fleet.servers[self.source].router
        router.take_dirty()
        messages = self.at_source.outbox.take()
        router.written(self.at_source)
        self.frames += map(native.encode, messages)

    def carry(self, most: int = 1 << 30) -> bool:
        """Have the target hear so many of the messages that are written; tell whether there was one."""
        count = min(most, len(self.frames))
        decoder = FrameDecoder(1 << 24)
        frames = decoder.feed(b"".join(self.frames.popleft() for _ in range(count)))
        heard = native.decode_member_messages([bytes(frame) for frame in frames])
        self.feed(heard)
        return bool(count)

    def feed(self, messages: Sequence[m.MemberMessage]) -> None:
        router, peer = self.fleet.servers[self.target].router, self.fleet.peers[self.target, self.source]
        rest = cast("Sequence[m.ClientMessage]", messages)
        while rest:
            rest = router.feed(peer, rest, self.fleet.now)
            if rest:
                self.fleet.ways[self.target, self.source].write()


@define(eq=False)
class Fleet:
    """The servers, each by its name, and the ways between those that can reach each other."""

    servers: dict[str, Bus]
    peers: dict[tuple[str, str], Peer] = field(factory=dict)
    """By who knows whom."""
    ways: dict[tuple[str, str], Way] = field(factory=dict)
    now: float = 0.0

    def client(self, name: str) -> RawPeer:
        return self.servers[name].connect(self.now)

    def join(self, *names: str) -> None:
        """Let these reach each other."""
        for one, other in permutations(names, 2):
            if (one, other) not in self.peers:
                self.peers[one, other] = self.servers[one].router.join(other, Identity(f"server {other}"))
                self.ways[one, other] = Way(self, one, other)

    def part(self, one: str, other: str) -> None:
        """Let neither reach the other; what was on its way is lost."""
        for pair in ((one, other), (other, one)):
            self.servers[pair[0]].router.disconnect(self.peers.pop(pair))
            del self.ways[pair]

    def settle(self) -> None:
        """Carry everything over until nothing more follows."""
        is_moving = True
        while is_moving:
            for way in self.ways.values():
                way.write()
            moved = [way.carry() for way in list(self.ways.values())]
            is_moving = any(moved)


def fleet(*names: str, depth: int = 1, least: int = 1, **bounds: float) -> Fleet:
    """Servers of these names that can reach each other, with these limits."""
    made = Fleet({name: Bus(limits_with(**bounds)) for name in names})
    for name, server in made.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=depth, least=least)
    made.join(*names)
    return made
