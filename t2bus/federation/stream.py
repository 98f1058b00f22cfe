"""The stream between two servers, on an engine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from .engine import EngineFailed

if TYPE_CHECKING:
    from .engine import Engine
    from .rounds import Rounds

_PIECE: Final = 262_144
"""Bytes of a piece: as many as are encoded at once."""


@define(eq=False, slots=False)
class MemberStream(trio.abc.Stream):
    """The end of this server. Whoever receives from the engine feeds it."""

    link: Rounds
    _engine: Engine
    _node: str
    _pieces: deque[bytes] = field(factory=deque, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the other end is gone."""
    _is_closed: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> None:
        """Take what the other end has said."""
        if not self._is_closed:
            self._pieces.append(data)
            self._changed.set()

    def end(self) -> None:
        """Let whoever receives or sends find that the other end is gone."""
        self._is_over = True
        self._changed.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 -- it is here as a whole
        """Return the next piece, however long it is: to part it would only copy it."""
        await trio.lowlevel.checkpoint()
        while not self._pieces:
            self._check()
            self._changed = trio.Event()
            await self._changed.wait()
        return self._pieces.popleft()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it, in pieces."""
        with memoryview(data) as view:
            for place in range(0, len(view), _PIECE):
                self._check()
                piece = self.link.say(view[place : place + _PIECE])
                try:
                    await self._engine.send(self._node, piece)
                except EngineFailed as error:
                    raise trio.BrokenResourceError("the engine has failed") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: nobody knows before it is tried."""
        self._check()
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError
        if self._is_over:
            raise trio.BrokenResourceError("the other server is gone")

    async def aclose(self) -> None:
        """Let go of it."""
        self._is_closed = True
        self._changed.set()
        await trio.lowlevel.checkpoint()
