"""What the tests of federation share: nodes, and what they receive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from t2bus.federation.engine import Joined, Left, Received

if TYPE_CHECKING:
    from t2bus.federation.engine import Engine, Event


async def all_for(seconds: float, engine: Engine) -> list[Event]:
    """Return what an engine receives in this time."""
    events: list[Event] = []
    with trio.move_on_after(seconds):
        while True:
            events += await engine.receive()
    return events


async def joined(engine: Engine, count: int = 1) -> list[str]:
    """Wait for so many nodes to join, and return their names."""
    nodes: list[str] = []
    while len(nodes) < count:
        nodes += [event.node for event in await engine.receive() if isinstance(event, Joined)]
    return nodes


async def left(engine: Engine) -> str:
    """Wait for a node to leave, and return its name."""
    while True:
        for event in await engine.receive():
            if isinstance(event, Left):
                return event.node


async def pieces(engine: Engine, count: int) -> list[bytes]:
    """Wait for so many pieces, of whomever."""
    received: list[bytes] = []
    while len(received) < count:
        received += [event.data for event in await engine.receive() if isinstance(event, Received)]
    return received


def free_endpoint(kind: str = "tcp") -> str:
    """Return an address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"{kind}:127.0.0.1:{probe.getsockname()[1]}"
