"""The engine of servers in use: Zenoh, which is the extra ``zenoh``.

::

    async with open_engine(Federation(bus="plant", endpoint="tcp:127.0.0.1:7447")) as engine:
        await engine.send("4f1d0c7a93b2e856", b"...")

Each node is a Zenoh *peer*: it listens, connects to its seeds, and hears of the other nodes from them (*gossip*), so
that each pair of nodes has a link of its own. On these are:

* ``t2/BUS/m/NODE``, a liveliness token: the node is there;
* ``t2/BUS/n/NODE/SENDER``, what SENDER has put for NODE, which has subscribed to all senders.

A node can be sent to by whoever sees its token, for it has subscribed before.

The law of this module: no other imports Zenoh. Zenoh is called in one thread, and what it calls only notes down.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from contextlib import asynccontextmanager, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, assert_never

import trio
import zenoh
from attrs import define, field

from ..transport.address import TlsAddress
from .engine import Engine, EngineFailed, Event, Joined, Left, Received
from .options import place_of
from .worker import CallFailed, Worker, open_worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from ..transport.address import TcpAddress
    from .options import Federation

_CLOSING: Final = 1.0
"""Seconds that Zenoh may take to close."""

_MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes that may wait to be received. Servers have windows far below; one that is overrun all the same is of no use."""


_BESIDE: Final = 256
"""Bytes of memory that a received piece takes beside its own."""


@define(eq=False)
class _Mailbox:
    """What Zenoh's threads have noted down until Trio's takes it."""

    _waiting: list[Event] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _trio: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False)
    _filled: trio.Event = field(factory=trio.Event, init=False)

    def put(self, event: Event) -> None:
        """Note an event down, in any thread. One for which there is no room is dropped, and :meth:`take` says so."""
        with self._lock:
            is_first = not self._waiting
            if isinstance(event, Received):
                self._size += len(event.data) + _BESIDE
            if self._size <= _MOST_WAITING:
                self._waiting.append(event)
        if is_first:  # Trio is woken once for all that it finds then
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(self.wake, idempotent=True)

    def wake(self) -> None:
        """Wake who waits, in Trio's thread."""
        self._filled.set()

    def take(self) -> list[Event]:
        """Return what was noted down since the last time."""
        with self._lock:
            if self._size > _MOST_WAITING:
                raise EngineFailed(f"{self._size} bytes of other servers wait, which are more than can be kept")
            events, self._waiting, self._size = self._waiting, [], 0
        return events

    async def wait(self) -> None:
        """Wait until there is something, or until somebody is woken. Nothing may come between :meth:`take` and this."""
        self._filled = trio.Event()
        await self._filled.wait()


@define(eq=False)
class ZenohEngine(Engine):
    """A node among the others, by Zenoh."""

    node: str
    _prefix: str
    _patience: float
    """Seconds that one call may take before Zenoh is given up."""
    _worker: Worker
    _mailbox: _Mailbox = field(factory=_Mailbox, init=False)
    _here: set[str] = field(factory=set, init=False)
    _gone: deque[str] = field(factory=deque, init=False)
    """Nodes whose publishers are to go."""
    _failure: str = field(default="", init=False)

    # --- of the thread alone
    _session: zenoh.Session | None = field(default=None, init=False)
    _declared: list[object] = field(factory=list, init=False)
    """A token that nobody holds is taken back."""
    _publishers: dict[str, zenoh.Publisher] = field(factory=dict, init=False)

    async def receive(self) -> Sequence[Event]:
        """Wait for what happens, and return all of it."""
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            if events := [event for event in self._mailbox.take() if self._counts(event)]:
                return events
            with trio.move_on_after(self._patience):
                await self._mailbox.wait()

    def _check(self) -> None:
        """Raise if Zenoh has failed."""
        if not self._failure and self._worker.busy_for() > self._patience:
            self._failure = f"a call of Zenoh has not returned for {self._patience:g} s"
        if self._failure:
            raise EngineFailed(self._failure)

    def _counts(self, event: Event) -> bool:
        """Tell whether an event follows from those before it, and note it."""
        match event:
            case Joined(node):
                is_new = node not in self._here and node != self.node
                self._here |= {node} if is_new else set()
                return is_new
            case Left(node):
                was_here = node in self._here
                self._here.discard(node)
                self._gone.append(node)
                return was_here
            case Received(node):
                return node in self._here
            case _:
                assert_never(event)

    async def send(self, node: str, data: bytes) -> None:
        """Send bytes to a node."""
        self._check()
        try:
            await self._worker.run(partial(self._put, node, data))
        except CallFailed as error:
            self._failure = str(error)
            self._mailbox.wake()
            raise EngineFailed(self._failure) from error

    # --- in the thread

    def open(self, config: zenoh.Config) -> None:
        """Join the others. What this node can be sent by those who see it has a subscriber already."""
        session = self._session = zenoh.open(config)
        alive, to_this = f"{self._prefix}/m", f"{self._prefix}/n/{self.node}"
        liveliness = session.liveliness()
        self._declared = [
            liveliness.declare_subscriber(f"{alive}/*", _direct(self._on_token), history=True),
            session.declare_subscriber(f"{to_this}/*", _direct(self._on_data)),
            liveliness.declare_token(f"{alive}/{self.node}"),
        ]

    def close(self) -> None:
        """Leave the others."""
        if self._session is not None:
            self._session.close()

    def _put(self, node: str, data: bytes) -> None:
        while self._gone:
            if (publisher := self._publishers.pop(self._gone.popleft(), None)) is not None:
                publisher.undeclare()
        if (publisher := self._publishers.get(node)) is None:
            publisher = self._publishers[node] = self._publisher(node)
        publisher.put(data)

    def _publisher(self, node: str) -> zenoh.Publisher:
        assert self._session is not None
        return self._session.declare_publisher(
            f"{self._prefix}/n/{node}/{self.node}",
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )

    # --- in a thread of Zenoh's, which must not wait

    def _on_token(self, sample: zenoh.Sample) -> None:
        node = _last(sample)
        self._mailbox.put(Joined(node) if sample.kind == zenoh.SampleKind.PUT else Left(node))

    def _on_data(self, sample: zenoh.Sample) -> None:
        self._mailbox.put(Received(_last(sample), sample.payload.to_bytes()))


def _last(sample: zenoh.Sample) -> str:
    """Return the last part of a key, which names a node."""
    return str(sample.key_expr).rpartition("/")[2]


def _direct(call: Callable[[zenoh.Sample], None]) -> zenoh.handlers.Callback[zenoh.Sample]:
    """Have this called by Zenoh's own threads; a thread of Python's for each would keep the process from ending."""
    return zenoh.handlers.Callback(call, indirect=False)


@asynccontextmanager
async def open_engine(options: Federation) -> AsyncGenerator[Engine, None]:
    """Join the other servers of a bus, by Zenoh; leaving the block takes about a second at most.

    Seeds that nobody answers at are tried for as long as the block lasts.

    Raises:
      TlsFailed: a certificate cannot be used.
      EngineFailed: nothing can be opened at the endpoint, or Zenoh is not fit for use.

    """
    node = secrets.token_hex(8)
    config = zenoh.Config.from_json5(json.dumps(settings(options, node)))
    async with open_worker("t2bus federation", _CLOSING) as worker:
        engine = ZenohEngine(node, f"t2/{options.bus}", 2 * options.lease + 5, worker)
        worker.at_last(engine.close)
        try:
            await worker.run(partial(engine.open, config))
        except CallFailed as error:
            raise EngineFailed(f"cannot listen for other servers at {options.endpoint}: {error}") from error
        yield engine


def settings(options: Federation, node: str) -> dict[str, Any]:
    """Return what Zenoh is told, in the words of its ``DEFAULT_CONFIG.json5``."""
    place, lease = place_of(options.endpoint), round(options.lease * 1000)
    others = [seed for seed in map(place_of, options.seeds) if seed != place]
    return {
        "mode": "peer",
        "id": node.lstrip("0"),
        "listen": {"endpoints": [_locator(place)], "timeout_ms": 0, "exit_on_failure": True},
        "connect": {
            "endpoints": [_locator(seed) for seed in others],
            "timeout_ms": -1,
            "exit_on_failure": False,
            "retry": {"period_init_ms": 100, "period_max_ms": 1000, "period_increase_factor": 2},
        },
        "open": {"return_conditions": {"connect_scouted": False, "declares": False}},
        "scouting": {"delay": 0, "multicast": {"enabled": False}, "gossip": {"enabled": True}},
        "transport": {
            "unicast": {"open_timeout": 2 * lease, "accept_timeout": 2 * lease},
            "shared_memory": {"enabled": False},
            "link": {
                "protocols": ["tls" if isinstance(place, TlsAddress) else "tcp"],
                "tls": _tls(options),
                "tx": {
                    "lease": lease,
                    # A put that waits for longer has met a node that takes nothing, and closes the link to it.
                    "queue": {"congestion_control": {"block": {"wait_before_close": lease * 1000}}},
                },
            },
        },
    }


def _locator(place: TcpAddress | TlsAddress) -> str:
    """Return an address as Zenoh writes it: ``tcp/127.0.0.1:7447``."""
    return str(place).replace(":", "/", 1)


def _tls(options: Federation) -> dict[str, Any]:
    if options.ca is None or options.cert is None:
        return {}
    return {
        "root_ca_certificate": options.ca,
        "enable_mtls": True,
        "verify_name_on_connect": True,
        "listen_certificate": options.cert,
        "listen_private_key": options.key,
        "connect_certificate": options.cert,
        "connect_private_key": options.key,
    }
