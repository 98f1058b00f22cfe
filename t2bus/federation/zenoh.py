"""The engine of servers in use: Zenoh, which is the extra ``zenoh``.

::

    async with open_engine(Federation(bus="plant", endpoint="tcp:127.0.0.1:7447")) as engine:
        await engine.send("4f1d0c7a93b2e856", b"...")

A link that breaks is made anew if it was one to a seed, or when a third node joins and tells the two of each other. If
there is neither, one of the two has somebody do so: a *go-between*, who is no node, connects to both for a moment. And
it asks who is there to show itself, because the other node may be linked to it and not seen.

The law of this module: all calls of Zenoh that could wait are made in threads of their own.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

import trio
from attrs import define, field

from ..background import open_background_nursery
from ..errors import InvalidAddress
from ..text import printable
from .engine import Arrived, Engine, EngineFailed, Joined, Left
from .federation import place_of
from .mailbox import BESIDE, open_mailbox
from .missing import Missing
from .requirements import credentials_of
from .seeds import watch_seeds
from .worker import CallFailed, failure_of, open_worker
from .zenoh_session import NodeSession, open_go_between

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence

    from .engine import Event
    from .federation import Federation
    from .mailbox import Mailbox
    from .worker import Worker

_CLOSING: Final = 1.0
"""Seconds that Zenoh may take to close."""

_ROOM: Final = 1024 * 1024
"""Bytes that may wait for the worker. To be told of each piece that it is sent cost four times the processor time."""

_SOURCE: Final = re.compile(r" at /\S+\.rs:\d+\.?")

_OS_ERROR: Final = re.compile(r"\(os error ([0-9]+)\)")
_OF_BINDING: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}

_LONGEST_TEXT: Final = 500
"""Characters of what Zenoh says."""

_LOOK: Final = 0.5
"""Seconds between two looks for nodes that are missing."""

_INTRODUCTION: Final = 1.0
"""Seconds that a go-between stays. Two nodes were linked 0.1 s after it came."""


@define(eq=False)
class ZenohEngine(Engine):
    """A node among the others, by Zenoh."""

    node: str
    _session: NodeSession
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
        return self._posted == self._session.taken and self._session.knows(node)

    def send_nowait(self, node: str, data: bytes) -> None:
        """Send bytes to a node without the worker, which takes a third of the time."""
        if node not in self._here:
            return
        try:
            self._session.put(node, data)
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
        self._worker.post(partial(self._session.put, node, data), self._fail)
        self._posted += len(data) + BESIDE
        if self._posted - self._session.taken > _ROOM:
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
                    self._session.gone.append(node)
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
            if self._session.is_asked_for:
                self._session.is_asked_for = False
                self._worker.post(self._session.show, self._fail)
            if endpoints := [text for text in self._missing.due(trio.current_time()) if _is_endpoint(text)]:
                self._worker.post(partial(self._session.ask, endpoints), self._fail)
                with suppress(CallFailed):
                    await _introduce(self._session.options, endpoints)


async def _introduce(options: Federation, endpoints: Sequence[str]) -> None:
    """Have a go-between connect to this node and to others for a moment, who hear of each other thereby.

    In a thread of its own: Zenoh takes 10 s to close a session that looks for somebody in vain.
    """
    async with open_worker("t2bus go-between", _CLOSING) as worker:
        session = await worker.run(partial(open_go_between, options, [options.endpoint, *endpoints]))
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
    credentials_of(options)  # Zenoh would not tell that others refuse it
    node = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        mailbox = stack.enter_context(open_mailbox())
        session = NodeSession(options, node, mailbox)
        worker = await stack.enter_async_context(open_worker("t2bus federation", _CLOSING))
        worker.at_last(session.close)
        try:
            await worker.run(session.open)
        except CallFailed as error:
            text = f"cannot listen for other servers at {options.endpoint}: {_why_not_opened(error)}"
            raise EngineFailed(text) from error
        engine = ZenohEngine(node, session, worker, mailbox, 2 * options.lease + 5)
        async with open_background_nursery() as nursery:
            nursery.start_soon(engine.mend)
            nursery.start_soon(watch_seeds, options, engine.endpoints)
            yield engine


def _why_not_opened(error: CallFailed) -> str:
    """Return in the system's own words why nothing can be bound to the endpoint, or else what Zenoh says."""
    found = _OS_ERROR.search(str(error))
    if found is not None and (number := int(found[1])) in _OF_BINDING:
        return os.strerror(number)
    return _plain(error)


def _plain(error: CallFailed) -> str:
    """Return what Zenoh says, without the places in its source (``at .../unicast.rs:338.``)."""
    return printable(_SOURCE.sub("", str(error)), _LONGEST_TEXT)
