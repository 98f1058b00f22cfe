"""TLS over a socket, after its handshake, that can also be read and written without waiting.

``trio.SSLStream`` shakes hands and closes. Between the two it takes one record of a read at a time, 16 kB at most, and
each record and each write costs a pass of Trio's scheduler. But TLS itself never waits: OpenSSL turns bytes in memory
into records in memory and back. So here its object is used directly, with a :class:`.SocketStream` below. With
``trio.SSLStream`` a lone request takes 1.8 times as long, and messages of 16 kB pass at 0.6 times the rate.

* **Sending.** What was encrypted cannot be taken back, and the socket may take a part. So bytes count as written when
  the socket has all that was encrypted with them. What was not counted has to be given again: the stream knows how much
  of it is encrypted, as OpenSSL does of a write that is tried again.
* **Receiving.** All complete records of what was read are returned at once. So nothing is left here but a part of a
  record, and the socket alone tells whether there is more.
* **Between them.** A peer may ask for new keys, in a record like others. Reading it leaves an answer, which goes in
  front of what is sent next, as RFC 8446 (4.6.3) wants it. So a reader never writes, and neither waits for the other.

The law of this module: ciphertext leaves in the order in which it was made, and nothing follows half a record but its
rest.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, ClassVar, Final

import trio
from attrs import define, field

from .socket_stream import beginning, drop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .socket_stream import Buffers, SocketStream

_RECORD: Final = 16_384
"""Bytes in one record, at most."""

_OVERHEAD: Final = 22
"""Bytes of a record beside them: its head, the kind of what is in it, and the tag that proves it."""

_RECEIVE_SIZE: Final = 65_536

_SEND_SIZE: Final = 262_144
"""Bytes that are encrypted at once: OpenSSL keeps the memory for as many until the connection ends. With half of it,
here and for what is read, frames of 300 kB cost a fifth more."""

_MOST_ANSWERS: Final = 65_536
"""Bytes of answers that may wait for the next send. One has 27, and hardly any peer ever asks for one."""


@define(eq=False)
class KeptContext:
    """Stands for a context, and keeps hold of what the one connection that is made with it consists of.

    To ``trio.SSLStream`` it is a context, of which it asks nothing else.
    """

    context: ssl.SSLContext
    object: ssl.SSLObject = field(init=False)
    incoming: ssl.MemoryBIO = field(init=False)
    outgoing: ssl.MemoryBIO = field(init=False)

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any) -> ssl.SSLObject:
        """Do as the context."""
        self.incoming, self.outgoing = incoming, outgoing
        self.object = self.context.wrap_bio(incoming, outgoing, **options)
        return self.object


@define(eq=False, repr=False, slots=False)
class TlsStream(trio.abc.Stream):
    """A connection with TLS 1.3, which it owns. One task may receive while another sends.

    Args:
      secure: what has shaken hands over the socket, and was made with ``kept``. Its server sends no session tickets.
      socket: the stream below it.
      kept: what it consists of.

    """

    sends_now: ClassVar[bool] = True
    secure: trio.SSLStream[Any]
    socket: SocketStream
    kept: KeptContext
    _object: ssl.SSLObject = field(init=False)
    _incoming: ssl.MemoryBIO = field(init=False)
    _outgoing: ssl.MemoryBIO = field(init=False)
    _rest: bytes | memoryview = field(default=b"", init=False)
    """Ciphertext that the socket has not taken."""
    _encrypted: int = field(default=0, init=False)
    """Bytes that count as written once the rest is."""
    _has_more: bool = field(default=True, init=False)
    """Whether there is something to return without reading the socket: what came together with the handshake, or the
    end, which comes again and again."""
    _failure: ssl.SSLError | None = field(default=None, init=False)
    """What OpenSSL said of the records of the peer."""
    _is_torn: bool = field(default=False, init=False)
    """Whether a send was given up when half a record may have gone."""
    _is_closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Have at hand what each call needs."""
        kept = self.kept
        self._object, self._incoming, self._outgoing = kept.object, kept.incoming, kept.outgoing

    def getpeercert(self) -> Mapping[str, Any] | None:
        """Return the certificate of the peer, as :mod:`ssl` does."""
        return self._object.getpeercert()

    @property
    def written(self) -> int:
        """Bytes that the kernel has taken so far, as ciphertext."""
        return self.socket.written

    def unsent(self) -> int | None:
        """Return how many bytes the kernel keeps for the peer to take; None where it does not tell."""
        return self.socket.unsent()

    # --- receiving

    def receive_nowait(self, max_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing when the peer has said that this was all.

        It may be more than ``max_bytes``, by one record at most, of which a part was read before.

        Raises:
          trio.WouldBlock: there is neither.
          trio.BrokenResourceError: the connection broke, or ended without a word; or what came is no TLS, or an alert.
          trio.ClosedResourceError: this end was closed.

        """
        data = self._decrypt() if self._has_more else None
        if data is None:
            data = self._take_in(self.socket.receive_nowait(_size(max_bytes)))
        if data is None:
            raise trio.WouldBlock
        return data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait until there is something, and return it as :meth:`receive_nowait` does. Cancelled, it loses nothing."""
        size = _size(max_bytes or _RECEIVE_SIZE)
        if self._has_more:
            await trio.lowlevel.checkpoint()
            if (data := self._decrypt()) is not None:
                return data
        while True:
            data = self._take_in(await self.socket.receive_some(size))
            if data is not None:
                return data

    def _take_in(self, ciphertext: bytes) -> bytes | None:
        """Return what this completes, as :meth:`_decrypt` does."""
        if ciphertext:
            self._incoming.write(ciphertext)
        else:
            self._incoming.write_eof()
        return self._decrypt()

    def _decrypt(self) -> bytes | None:
        """Return what is in the records that are complete, nothing at the end, and None if there is neither."""
        parts = self._open_records()
        if parts:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if self._failure:
            raise trio.BrokenResourceError from self._failure
        return b"" if self._has_more else None

    def _open_records(self) -> list[bytes]:
        """Return what is in each record that is complete, and note the end that is met behind them."""
        parts: list[bytes] = []
        self._has_more = False
        try:
            while part := self._object.read(_RECORD):
                parts.append(part)
                if not self._incoming.pending:
                    break
            else:
                # The peer has said that this was all.
                self._has_more = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._failure, self._has_more = error, True
        if self._outgoing.pending > _MOST_ANSWERS:
            self._failure, self._has_more = ssl.SSLError("the peer asks for new keys again and again"), True
        return parts

    # --- sending

    def send_nowait(self, buffers: Buffers) -> int:
        """Write what the socket takes of the buffers, and return how many bytes count as written.

        Until all of them do, what is given next begins with those that do not.

        Raises: as :meth:`receive_nowait`, but never ``trio.WouldBlock``.
        """
        self._encrypt(buffers)
        return self._took(self.socket.send_nowait((self._rest,)))

    async def send_some(self, buffers: Buffers) -> int:
        """Wait until some bytes of the buffers count as written, and return how many; otherwise as before.

        Cancelled, nothing can be sent any more.
        """
        self._encrypt(buffers)
        written = 0
        try:
            while not written:
                written = self._took(await self.socket.send_some((self._rest,)))
        except trio.Cancelled:
            self._is_torn = True
            raise
        return written

    def _encrypt(self, buffers: Buffers) -> None:
        """Encrypt the beginning of the buffers, unless it is being written already.

        OpenSSL refuses where it has failed before, and between two records of one message of TLS, which may not be cut
        by data. No peer that means well stops there.
        """
        if self._is_torn:
            raise self._what_is_wrong()
        if self._rest:
            return
        data = beginning(buffers, _SEND_SIZE)
        try:
            self._encrypted = self._object.write(data) if data else 0
        except ssl.SSLError as error:
            raise self._what_is_wrong() from error
        # With the answers that wait, if there are any.
        self._rest = self._outgoing.read()

    def _took(self, count: int) -> int:
        """Return how many bytes count as written, now that the socket has taken so many of the ciphertext."""
        if count < len(self._rest):
            self._rest = memoryview(self._rest)[count:]
            return 0
        self._rest = b""
        return self._encrypted

    def _what_is_wrong(self) -> trio.BrokenResourceError | trio.ClosedResourceError:
        """Return Trio's error for a stream that cannot be written to."""
        if self._is_closed:
            return trio.ClosedResourceError("the stream was closed")
        return trio.BrokenResourceError("a send was given up" if self._is_torn else "the connection broke")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it; cancelled, nothing can be sent any more."""
        await trio.lowlevel.checkpoint()
        left: Buffers = [memoryview(data)] if data else ()
        while left:
            left = drop(left, await self.send_some(left))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket has room."""
        await self.socket.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Tell the peer that this was all, and close the socket. Idempotent.

        Behind half a record nothing can be told, nor to a peer that speaks no TLS.
        """
        self._is_closed, self._has_more = True, False
        if self._rest or self._failure:
            await self.socket.aclose()
        else:
            await self.secure.aclose()


def _size(count: int) -> int:
    """Return how much ciphertext to read for so many bytes: what they are if the peer fills its records."""
    return count + _OVERHEAD * -(-count // _RECORD)
