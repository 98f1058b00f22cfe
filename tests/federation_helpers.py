"""What the tests of federation share: nodes, and what they receive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from t2bus.federation.engine import Arrived, Joined, Left
from t2bus.federation.federation import Federation

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from t2bus.federation.engine import Engine, Event

LEASE = 0.5
"""Seconds; the shortest that may be."""


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
        received += [event.data for event in await engine.receive() if isinstance(event, Arrived)]
    return received


def free_endpoint(kind: str = "tcp") -> str:
    """Return an address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"{kind}:127.0.0.1:{probe.getsockname()[1]}"


def certified(ca: trustme.CA, name: str, folder: Path) -> dict[str, str]:
    """Write a certificate for this host, and return the options that name it."""
    files = {kind: str(folder / f"{name}-{kind}.pem") for kind in ("ca", "cert", "key")}
    leaf = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(files["ca"])
    leaf.cert_chain_pems[0].write_to_path(files["cert"])
    leaf.private_key_pem.write_to_path(files["key"])
    (folder / f"{name}-key.pem").chmod(0o600)
    return files


def secure(files: dict[str, str], *seeds: str, endpoint: str | None = None) -> Federation:
    """Return the options of a server with these files."""
    ca, cert, key = files["ca"], files["cert"], files["key"]
    place = endpoint or free_endpoint("tls")
    return Federation(bus="plant", endpoint=place, seeds=seeds, ca=ca, cert=cert, key=key, lease=LEASE)
