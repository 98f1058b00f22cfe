"""A socket as a Trio stream that can also be read and written without waiting.

``trio.SocketStream`` tries first, and lets all other tasks run before it returns where that went well. But a bus waits
for nearly everything that it reads, and nearly all that it writes fits in the socket. So here reading waits first, and
:meth:`SocketStream.send_nowait` writes what comes alone without a task switch. Each saves a pass of Trio's scheduler
for each such message: with ``trio.SocketStream`` a lone request takes 1.9 times as long.

The law of this module: a call that is cancelled has read or written nothing that it does not tell of.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, ClassVar, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    Buffers = Sequence[bytes | memoryview]

_RECEIVE_SIZE: Final = 65_536

_MOST_BUFFERS: Final = 1024
"""Of one write: IOV_MAX of Linux and macOS."""

_INT: Final = 4
"""Bytes of an ``int`` in C."""


@define(eq=False, repr=False, slots=False)
class SocketStream(trio.abc.HalfCloseableStream):
    """A connected stream socket, which it owns. One task may receive while another sends."""

    sends_now: ClassVar[bool] = True
    """Whether :meth:`send_nowait` ever writes anything."""
    socket: trio.socket.SocketType
    written: int = field(default=0, init=False)
    """Bytes that the kernel has taken so far; the peer has taken those that are not :meth:`unsent`."""
    _number: int = field(init=False)
    """The descriptor, -1 once the socket is closed. Asking the socket for it takes two calls for each message."""
    _is_receiving: bool = field(default=False, init=False)
    _is_sending: bool = field(default=False, init=False)
    _is_eof_sent: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Keep the number."""
        self._number = self.socket.fileno()

    # --- without waiting

    def receive_nowait(self, max_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing when the peer has closed its end.

        Raises:
          trio.WouldBlock: neither is so.
          trio.BrokenResourceError: the connection broke.
          trio.ClosedResourceError: this end was closed.

        """
        try:
            return os.read(self._number, max_bytes)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            raise self._what_is_wrong(error) from error

    def send_nowait(self, buffers: Buffers) -> int:
        """Write what the socket takes of the buffers, and return how many bytes that were, 0 if it is full.

        Raises: as :meth:`receive_nowait`, but never ``trio.WouldBlock``.
        """
        try:
            if len(buffers) == 1:
                count = os.write(self._number, buffers[0])
            else:
                count = os.writev(self._number, buffers[:_MOST_BUFFERS])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._what_is_wrong(error) from error
        self.written += count
        return count

    def unsent(self) -> int | None:
        """Return how many bytes the kernel keeps for the peer to take; None where it does not tell."""
        return kept_by_kernel(self._number)

    def _what_is_wrong(self, error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
        """Return Trio's error for one of the system's: it tells what this end did from what befell the connection."""
        # A socket that is closed has no number, and nothing can be read from or written to none.
        if self._number < 0:
            return trio.ClosedResourceError("the stream was closed")
        return trio.BrokenResourceError(f"the connection broke: {error}")

    def _fileno(self) -> int:
        """Return the descriptor as it is now: after any wait the number may be another file's."""
        if self._number < 0:
            raise trio.ClosedResourceError("the stream was closed")
        return self._number

    # --- what every Trio stream has

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait until something has come and return it; nothing when the peer has closed its end."""
        if max_bytes is None:
            max_bytes = _RECEIVE_SIZE
        elif index(max_bytes) < 1:
            raise ValueError("max_bytes is at least 1")
        if self._is_receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._is_receiving = True
        try:
            while True:
                # A socket that is closed has no number to wait for.
                await trio.lowlevel.wait_readable(self._number if self._number >= 0 else self._fileno())
                try:
                    return self.receive_nowait(max_bytes)
                except trio.WouldBlock:
                    continue
        finally:
            self._is_receiving = False

    async def send_some(self, buffers: Buffers) -> int:
        """Wait until the socket has room, write some of the buffers, and return how many bytes that were.

        For what :meth:`send_nowait` could not write: to try again at once would write it in many small parts.
        """
        written = 0
        while not written:
            await trio.lowlevel.wait_writable(self._fileno())
            written = self.send_nowait(buffers)
        return written

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it; cancelled, a part may have gone."""
        with self._sending(), memoryview(data) as view:
            await trio.lowlevel.checkpoint()
            self._check_may_send()
            left: Buffers = [view] if view.nbytes else ()
            left = drop(left, self.send_nowait(left) if left else 0)
            while left:
                left = drop(left, await self.send_some(left))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket has room."""
        with self._sending():
            self._check_may_send()
            await trio.lowlevel.wait_writable(self._fileno())

    async def send_eof(self) -> None:
        """Close the sending half; the other can still be read. Idempotent."""
        with self._sending():
            await trio.lowlevel.checkpoint()
            self._fileno()
            if not self._is_eof_sent:
                self._is_eof_sent = True
                try:
                    self.socket.shutdown(socket.SHUT_WR)
                except OSError as error:
                    raise self._what_is_wrong(error) from error

    @contextmanager
    def _sending(self) -> Generator[None, None, None]:
        """Refuse every other task that sends meanwhile."""
        if self._is_sending:
            raise trio.BusyResourceError("another task is sending to this stream")
        self._is_sending = True
        try:
            yield
        finally:
            self._is_sending = False

    def _check_may_send(self) -> None:
        """Raise ``trio.ClosedResourceError`` if this end, or its sending half, was closed."""
        self._fileno()
        if self._is_eof_sent:
            raise trio.ClosedResourceError("nothing is sent after send_eof")

    async def aclose(self) -> None:
        """Close the socket and wake whoever waits for it. Idempotent."""
        # The number may be another file's as soon as the socket is closed.
        self._number = -1
        self.socket.close()
        await trio.lowlevel.checkpoint()


def kept_by_kernel(number: int) -> int | None:
    """Return how many bytes of what was written to this descriptor are still to be taken, if it tells."""
    try:
        return int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(_INT)), sys.byteorder)
    except (OSError, ValueError):
        return None


def drop(buffers: Buffers, count: int) -> list[bytes | memoryview]:
    """Return what is left of the buffers without that many bytes at their beginning. Nothing is copied."""
    for place, buffer in enumerate(buffers):
        if count < len(buffer):
            return [memoryview(buffer)[count:], *buffers[place + 1 :]] if count else list(buffers[place:])
        count -= len(buffer)
    return []


def beginning(buffers: Buffers, most: int) -> bytes | memoryview:
    """Return the first bytes of the buffers, so many at most, in one piece."""
    if len(buffers) == 1:
        return buffers[0] if len(buffers[0]) <= most else memoryview(buffers[0])[:most]
    parts: list[bytes | memoryview] = []
    for buffer in buffers:
        if len(buffer) >= most:
            parts.append(memoryview(buffer)[:most])
            break
        parts.append(buffer)
        most -= len(buffer)
    return b"".join(parts)
