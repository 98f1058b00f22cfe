"""The stream between two servers, on an engine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..transport.framed import keep_memory
from ..transport.socket_stream import beginning
from .engine import EngineFailed

if TYPE_CHECKING:
    from ..transport.socket_stream import Buffers
    from .engine import Engine
    from .rounds import Rounds

_PIECE: Final = 262_144
"""Bytes of a piece: as many as are encoded at once."""

_AT_ONCE: Final = 262_144
"""Bytes that may be under way for another piece to be sent without waiting: an engine has room for twice as many."""


@define(eq=False, slots=False)
class MemberStream(trio.abc.Stream):
    """The end of this server, a :class:`.DirectStream`. Whoever receives from the engine feeds it."""

    link: Rounds
    _engine: Engine
    _node: str
    sends_now: bool = field(default=True, init=False)
    written: int = field(default=0, init=False)
    _pieces: deque[bytes] = field(factory=deque, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the other end is gone."""
    _is_closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Get ready for pieces as large as they become."""
        keep_memory()

    def feed(self, data: bytes) -> None:
        """Take what the other end has said."""
        if not self._is_closed:
            self._pieces.append(data)
            self._changed.set()

    def end(self) -> None:
        """Let whoever receives or sends find that the other end is gone."""
        self._is_over = True
        self._changed.set()

    def unsent(self) -> None:
        """Tell nothing: what the other end has taken shows in what it says."""

    # --- receiving

    def receive_nowait(self, max_bytes: int) -> bytes:  # noqa: ARG002 -- it is here as a whole
        """Return the next piece, if there is one."""
        if not self._pieces:
            self._check()
            raise trio.WouldBlock
        return self._pieces.popleft()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 -- as above
        """Return the next piece, however long it is: to part it would only copy it."""
        if self._pieces:
            await trio.lowlevel.checkpoint()
        while not self._pieces:
            self._check()
            self._changed = trio.Event()
            await self._changed.wait()
        return self._pieces.popleft()

    # --- sending

    def send_nowait(self, buffers: Buffers) -> int:
        """Send all of it as one piece, if the engine takes that without waiting, or nothing."""
        self._check()
        size = sum(map(len, buffers))
        if self.link.under_way + size > _AT_ONCE or not self._engine.takes_nowait(self._node):
            return 0
        try:
            self._engine.send_nowait(self._node, self.link.say(buffers))
        except EngineFailed as error:
            raise trio.BrokenResourceError("the engine has failed") from error
        return size

    async def send_some(self, buffers: Buffers) -> int:
        """Send some of it, as one piece, and return how many bytes that were."""
        self._check()
        size = sum(map(len, buffers))
        if size > _PIECE:
            buffers, size = (beginning(buffers, _PIECE),), _PIECE
        try:
            await self._engine.send(self._node, self.link.say(buffers))
        except EngineFailed as error:
            raise trio.BrokenResourceError("the engine has failed") from error
        return size

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it, in pieces."""
        with memoryview(data) as view:
            for place in range(0, len(view), _PIECE):
                await self.send_some((view[place : place + _PIECE],))

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
