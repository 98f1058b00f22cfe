"""A codec is one wire seen from one end: frames to messages, messages to bytes.

A bus tells the wires apart by the first byte of the first frame, so that clients of different wires share one
listener: a native frame is a CBOR array, one of the Rust crate ``t2_bus`` is a map.

The law of this module: bytes in, messages out; messages in, bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs
from attrs import define

from ..errors import MalformedMessage
from . import messages as m
from . import native
from . import values as v
from .compression import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .framing import Frame

__all__ = ["Codec", "codec_for_bus", "native_codec_for_client"]

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=m.ClientMessage | m.ServerMessage)

_PIECE = 262_144
"""Bytes after which a piece ends. Of 16 kB messages a bus passed 15 % more on than with 65,536."""

_PART = 256
"""Bytes of a part, on average, from which it costs no more to write each as it is than to copy them together."""

_RUNS = frozenset((m.PublishRun, m.DeliverRun))


@define(eq=False)
class Codec(Generic[Incoming, Outgoing]):
    """Both directions of one wire for one end of one connection.

    ``inflate_limit`` is set, to a number of bytes, for a peer that cannot read compressed payloads: they are inflated
    for it, as long as the frame keeps within that many bytes, the subscription ids of a delivery aside.

    ``translator`` is what stands between the native messages and a peer of another wire, and None between two that
    speak this one. It turns compressed payloads into what its peer reads, so nothing is inflated for it.
    """

    decode: Callable[[Sequence[Frame]], list[Incoming]]
    encode_one: Callable[[Outgoing], Sequence[bytes]]
    """Returns the frame of a message in parts, so that a large payload need not be copied."""
    inflate_limit: int | None = None
    translator: Any = None

    @property
    def may_inflate(self) -> bool:
        """Whether encoding a compressed payload means inflating it, which costs a thousand times as much."""
        return self.inflate_limit is not None or self.translator is not None

    def encode_in_pieces(self, messages: Iterable[Outgoing], most: int) -> Iterator[list[bytes]]:
        """Yield what :meth:`encode` returns in pieces of at most so many messages, none of which takes long.

        Each piece is for one write, small ones as one part, large ones in several. A message that has to be inflated
        ends a piece: what waits is bounded as it is, and may be a thousand times as much. So does one that is large.
        """
        may_inflate, encode = self.may_inflate, self._encoder()
        piece: list[bytes] = []
        count = size = 0
        for message in messages:
            parts = encode(message)
            piece += parts
            count += len(message.run.payloads) if type(message) in _RUNS else 1  # type: ignore[union-attr]
            size += len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
            if count >= most or size >= _PIECE or (may_inflate and _is_deflated(message)):
                yield _for_one_write(piece, size)
                piece = []
                count = size = 0
        if piece:
            yield _for_one_write(piece, size)

    def encode(self, messages: Sequence[Outgoing]) -> bytes:
        """Return the messages as the bytes of their frames, in order."""
        return b"".join(self.encode_parts(messages))

    def encode_parts(self, messages: Sequence[Outgoing]) -> Sequence[bytes]:
        """Return the parts that :meth:`encode` joins."""
        encode = self._encoder()
        if len(messages) == 1:
            return encode(messages[0])
        return [part for message in messages for part in encode(message)]

    def _encoder(self) -> Callable[[Outgoing], Sequence[bytes]]:
        """Return what encodes a message for this peer as it is known now."""
        encode, limit = self.encode_one, self.inflate_limit
        if limit is None or self.translator is not None:
            return encode
        return lambda message: encode(_inflated(message, limit))


def _for_one_write(parts: list[bytes], size: int) -> list[bytes]:
    """Put parts of so many bytes together if they are small."""
    return parts if size >= _PART * len(parts) else [b"".join(parts)]


def native_codec_for_client() -> Codec[m.ClientMessage, m.ServerMessage]:
    """Return a bus's codec."""
    return Codec(native.decode_client_messages, native.encode_parts)


def codec_for_bus() -> Codec[m.ServerMessage, m.ClientMessage]:
    """Return a client's codec."""
    return Codec(native.decode_server_messages, native.encode_parts)


def _is_deflated(message: m.ClientMessage | m.ServerMessage) -> bool:
    carrier = message.publication if isinstance(message, m.Deliver | m.Publish) else message
    return isinstance(getattr(carrier, "payload", None), v.Deflated)


def _inflated(message: Outgoing, limit: int) -> Outgoing:
    """Return the message with its payload inflated; one that cannot be is left to fail in the receiver, alone."""
    try:
        match message:
            case m.Deliver(ids, m.Publication(topic, v.Deflated() as payload, headers)):
                publication = m.Publication(topic, inflate(payload, _room(limit, topic, headers)), headers)
                return cast("Outgoing", m.Deliver(ids, publication))
            case m.Call(topic=topic, payload=v.Deflated() as payload, headers=headers):
                return attrs.evolve(message, payload=inflate(payload, _room(limit, topic, headers)))
            case m.Response(payload=v.Deflated() as payload, headers=headers):
                return attrs.evolve(message, payload=inflate(payload, _room(limit, "", headers)))
            case _:
                return message
    except MalformedMessage:
        return message


def _room(limit: int, topic: str, headers: v.Headers) -> int:
    """Return the bytes of a payload that leave a frame within the limit."""
    return max(0, limit - v.size_in_frame(topic, b"", headers))
