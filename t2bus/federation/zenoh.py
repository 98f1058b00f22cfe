"""The engine of servers in use: Zenoh, which is the extra ``zenoh``.

::

    async with open_engine(Federation(bus="plant", endpoint="tcp:127.0.0.1:7447")) as engine:
        await engine.send("4f1d0c7a93b2e856", b"...")

Each node is a Zenoh *peer*: it listens, connects to its seeds, and hears from them of the other nodes (*gossip*), so
that each pair of nodes has a link of its own. On these are:

* ``t2/BUS/m/NODE/ENDPOINT``, a liveliness token: the node is there, and listens there;
* ``t2/BUS/n/NODE/SENDER``, what SENDER has put for NODE, which has subscribed to all senders.

Whoever sees the token of a node can send to it, for the node has subscribed before. A link that breaks is made anew if
it was one to a seed, or when a third node joins and tells the two of each other. If there is neither, one of the two
has somebody do so: a *go-between*, who is no node, connects to both for a moment.

The law of this module: no other imports Zenoh. What is a node's is called in one thread, what is a go-between's in
another, and what Zenoh calls only notes down.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, assert_never

import trio
import zenoh
from attrs import define, field

from .. import tls
from ..background import open_background_nursery
from ..errors import InvalidAddress
from ..text import printable
from .engine import Arrived, Engine, EngineFailed, Joined, Left
from .mailbox import BESIDE, open_mailbox
from .missing import Missing
from .options import place_of
from .seeds import watch_seeds
from .worker import CallFailed, failure_of, open_worker
from .zenoh_settings import of_go_between, of_node

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Sequence

    from .engine import Event
    from .mailbox import Mailbox
    from .options import Federation
    from .worker import Worker

_CLOSING: Final = 1.0
"""Seconds that Zenoh may take to close."""

_THREADS: Final = "(rx: (worker_threads: 32))"
"""Those of Zenoh's that receive. A link that is given up while data is not acknowledged, as when a cable is cut, keeps
one of them for 10 s in ``close``; of two, which is what Zenoh has by itself, none was left for the others."""

os.environ.setdefault("ZENOH_RUNTIME", _THREADS)  # read when the first node of a process is opened

_ROOM: Final = 1024 * 1024
"""Bytes that may wait for the worker. To be told of each piece that it is sent cost four times the processor time."""

_SOURCE: Final = re.compile(r" at /\S+\.rs:\d+\.?")

_LONGEST_TEXT: Final = 500
"""Characters of what Zenoh says."""

_LOOK: Final = 0.5
"""Seconds between two looks for nodes that are missing."""

_INTRODUCTION: Final = 1.0
"""Seconds that a go-between stays. Two nodes were linked 0.1 s after it came."""


@define(eq=False)
class _Links:
    """What is Zenoh's: all methods are called in the worker's thread, or in a thread of Zenoh's where they say so."""

    options: Federation
    node: str
    mailbox: Mailbox
    gone: deque[str] = field(factory=deque, init=False)
    """Nodes that nothing is sent to any more."""
    taken: int = field(default=0, init=False)
    """Bytes that Zenoh has taken to send, with what is counted beside them."""
    _session: zenoh.Session | None = field(default=None, init=False)
    _declared: list[object] = field(factory=list, init=False)
    """A token that nobody holds is taken back."""
    _publishers: dict[str, zenoh.Publisher] = field(factory=dict, init=False)

    def open(self) -> None:
        """Join the others."""
        session = self._session = _open(of_node(self.options, self.node))
        liveliness, alive, to_this = session.liveliness(), self._key("m"), self._key("n", self.node)
        self._declared = [
            liveliness.declare_subscriber(f"{alive}/*/*", _direct(self._on_token), history=True),
            session.declare_subscriber(f"{to_this}/*", _direct(self._on_data)),
            liveliness.declare_token(self._key("m", self.node, self.options.endpoint)),
        ]

    def close(self) -> None:
        """End everything."""
        if self._session is not None:
            self._session.close()

    def knows(self, node: str) -> bool:
        """Tell, in any thread, whether all is made that a put to this node needs."""
        return node in self._publishers and not self.gone

    def put(self, node: str, data: bytes) -> None:
        """Send to a node; waits for the lease at most, after which the link to it has ended.

        In Trio's thread where the worker has nothing to do, the node is known and little is under way to it: then Zenoh
        has room.
        """
        while self.gone:
            if (publisher := self._publishers.pop(self.gone.popleft(), None)) is not None:
                publisher.undeclare()
        if (publisher := self._publishers.get(node)) is None:
            publisher = self._publishers[node] = self._publisher(node)
        publisher.put(data)
        self.taken += len(data) + BESIDE

    def _publisher(self, node: str) -> zenoh.Publisher:
        assert self._session is not None
        return self._session.declare_publisher(
            self._key("n", node, self.node),
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )

    def _key(self, *parts: str) -> str:
        return "/".join(("t2", self.options.bus, *parts))

    def _on_token(self, sample: zenoh.Sample) -> None:
        """Note who comes and goes; in a thread of Zenoh's, which must not wait."""
        node, endpoint = str(sample.key_expr).split("/")[-2:]
        is_here = sample.kind == zenoh.SampleKind.PUT
        self.mailbox.put(Joined(node, endpoint) if is_here else Left(node))

    def _on_data(self, sample: zenoh.Sample) -> None:
        """Note what has come; as above."""
        sender = str(sample.key_expr).rpartition("/")[2]
        self.mailbox.put(Arrived(sender, sample.payload.to_bytes()))


def _open(settings: dict[str, Any]) -> zenoh.Session:
    return zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))


def _direct(call: Callable[[zenoh.Sample], None]) -> zenoh.handlers.Callback[zenoh.Sample]:
    """Have this called in a thread of Zenoh's: one of Python's own, of which the process would wait for the end."""
    return zenoh.handlers.Callback(call, indirect=False)


@define(eq=False)
class ZenohEngine(Engine):
    """A node among the others, by Zenoh."""

    node: str
    _links: _Links
    _worker: Worker
    _mailbox: Mailbox
    _patience: float
    """Seconds that one call may take before Zenoh is given up."""
    _here: dict[str, str] = field(factory=dict, init=False)
    """The endpoint of each node that is there."""
    _missing: Missing = field(factory=Missing, init=False)
    _posted: int = field(default=0, init=False)
    """Bytes that were given to the worker, counted as those that Zenoh has taken."""
    _failure: str = field(default="", init=False)

    async def receive(self) -> Sequence[Event]:
        """Wait for what happens, and return all of it."""
        while True:
            await self._mailbox.wait()
            self._check()
            if events := [event for event in self._mailbox.take() if self._counts(event)]:
                return events

    def takes_nowait(self, node: str) -> bool:
        """Tell whether the worker has nothing to do, and Zenoh all that it needs."""
        self._check()
        return self._posted == self._links.taken and self._links.knows(node)

    def send_nowait(self, node: str, data: bytes) -> None:
        """Send bytes to a node without the worker, which takes a third of the time."""
        if node not in self._here:
            return
        try:
            self._links.put(node, data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: ASYNC103, BLE001 -- a panic of Rust is no Exception; nothing is awaited
            self._fail(failure_of(error))
            self._check()
        self._posted += len(data) + BESIDE

    async def send(self, node: str, data: bytes) -> None:
        """Send bytes to a node; what is sent to one that is gone is dropped."""
        await trio.lowlevel.checkpoint()
        self._check()
        if node not in self._here:
            return
        self._worker.post(partial(self._links.put, node, data), self._fail)
        self._posted += len(data) + BESIDE
        if self._posted - self._links.taken > _ROOM:
            await self._worker.run(_nothing)  # which comes to its turn behind all that was posted
            self._check()

    def _check(self) -> None:
        """Raise if Zenoh has failed."""
        if not self._failure and self._worker.busy_for() > self._patience:
            self._failure = f"a call of Zenoh has not returned for {self._patience:g} s"
        if self._failure:
            raise EngineFailed(self._failure)

    def _fail(self, error: CallFailed) -> None:
        self._failure = self._failure or _plain(error)
        self._mailbox.wake()

    def _counts(self, event: Event) -> bool:
        """Tell whether an event follows from those before it, and note it."""
        match event:
            case Joined(node, endpoint):
                is_new = node not in self._here and node != self.node
                if is_new:
                    self._here[node] = endpoint
                    self._missing.joined(endpoint)
                return is_new
            case Left(node):
                endpoint = self._here.pop(node, "")
                if endpoint:
                    self._missing.left(endpoint, trio.current_time())
                    self._links.gone.append(node)
                return endpoint != ""
            case Arrived(node):
                return node in self._here
            case _:
                assert_never(event)

    def endpoints(self) -> Collection[str]:
        """Return where the nodes listen that are there."""
        return self._here.values()

    async def mend(self) -> NoReturn:
        """Have those looked for who are missing, for ever. One go-between may fail: there will be another."""
        while True:
            await trio.sleep(_LOOK)
            if self._worker.busy_for() > self._patience:
                self._mailbox.wake()  # whoever receives finds that Zenoh has failed
            if endpoints := [text for text in self._missing.due(trio.current_time()) if _is_endpoint(text)]:
                with suppress(CallFailed):
                    await _introduce(self._links.options, endpoints)


async def _introduce(options: Federation, endpoints: Sequence[str]) -> None:
    """Have a go-between connect to this node and to others for a moment, who hear of each other thereby.

    In a thread of its own: Zenoh takes 10 s to close a session that looks for somebody in vain.
    """
    settings = of_go_between(options, [options.endpoint, *endpoints])
    async with open_worker("t2bus go-between", _CLOSING) as worker:
        session = await worker.run(partial(_open, settings))
        worker.at_last(session.close)
        await trio.sleep(_INTRODUCTION)


def _nothing() -> None:
    """Do nothing."""


def _is_endpoint(text: str) -> bool:
    """Tell whether another node has said where it can be met."""
    try:
        return place_of(text).port != 0
    except InvalidAddress:
        return False


@asynccontextmanager
async def open_engine(options: Federation) -> AsyncGenerator[Engine, None]:
    """Join the other servers of a bus, by Zenoh; leaving the block takes about a second at most.

    Seeds that nobody answers at are tried for as long as the block lasts.

    Raises:
      TlsFailed: a certificate cannot be used by both who listens and who connects.
      EngineFailed: nothing can be opened at the endpoint, or Zenoh is not fit for use.

    """
    _check_certificates(options)
    node = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        mailbox = stack.enter_context(open_mailbox())
        links = _Links(options, node, mailbox)
        worker = await stack.enter_async_context(open_worker("t2bus federation", _CLOSING))
        worker.at_last(links.close)
        try:
            await worker.run(links.open)
        except CallFailed as error:
            text = f"cannot listen for other servers at {options.endpoint}: {_plain(error)}"
            raise EngineFailed(text) from error
        engine = ZenohEngine(node, links, worker, mailbox, 2 * options.lease + 5)
        async with open_background_nursery() as nursery:
            nursery.start_soon(engine.mend)
            nursery.start_soon(watch_seeds, options, engine.endpoints)
            yield engine


def _plain(error: CallFailed) -> str:
    """Return what Zenoh says, without the places in its source (``at .../unicast.rs:338.``)."""
    return printable(_SOURCE.sub("", str(error)), _LONGEST_TEXT)


def _check_certificates(options: Federation) -> None:
    """Raise ``TlsFailed`` if others would refuse this server's certificate, which Zenoh would not tell."""
    if options.ca is not None and options.cert is not None:
        for make in (tls.server_context, tls.client_context):
            tls.check(make(ca=options.ca, certificate=options.cert, key=options.key))
