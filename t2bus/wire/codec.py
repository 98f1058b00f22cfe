"""A codec is one wire seen from one end of a connection: frames to messages, messages to bytes.

It holds what that end has to know of its peer, such as that the peer cannot inflate payloads, and puts what is encoded
together for writing: a large payload stays a part of its own, so that it need not be copied, and small frames are
joined.

The law of this module: bytes in, messages out; messages in, bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import attrs
from attrs import define, field

from ..errors import MalformedMessage
from . import messages as m
from . import native
from . import values as v
from .compression import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .framing import Frame

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=m.ClientMessage | m.ServerMessage)

_PIECE = 262_144
"""Bytes after which a piece ends. With it a bus passed on 15 % more messages of 16 kB than with 65,536."""

_PART = 256
"""Bytes of a part, on average, from which to write each as it is costs no more than to join them."""

_RUNS = frozenset((m.PublishRun, m.DeliverRun))


@define(eq=False)
class Codec(Generic[Incoming, Outgoing]):
    """Both directions of one wire for one end of one connection.

    ``inflate_limit`` is a number of bytes for a peer that cannot inflate payloads, and None for one that can. Payloads
    are inflated for such a peer if the frame keeps within the limit, without the subscription ids of a delivery.

    ``inflates_itself`` is so where ``encode_one`` does that for every peer, as the wire of the Rust crate needs it.
    """

    decode: Callable[[Sequence[Frame]], list[Incoming]]
    encode_one: Callable[[Outgoing], Sequence[bytes]]
    """Returns the frame of a message, in parts: a large payload is one of its own."""
    inflate_limit: int | None = None
    inflates_itself: bool = False
    inflated: int = field(default=0, init=False)
    """How many bytes were inflated for the peer so far."""

    @property
    def may_inflate(self) -> bool:
        """Whether encoding a compressed payload inflates it, which takes a thousand times as long as to pass it on."""
        return self.inflates_itself or self.inflate_limit is not None

    def encode_in_pieces(self, messages: Iterable[Outgoing], most: int) -> Iterator[list[bytes]]:
        """Yield what :meth:`encode` returns in pieces, each for one write, so that others run between two of them.

        A piece has at most ``most`` messages, where a run counts for its publications. It also ends with the message
        that makes it large, and with one whose payload was inflated: what waits is bounded in bytes as they travel, and
        inflated it may be a thousand times as much. Small frames are joined to one part; large ones stay in their
        parts.
        """
        may_inflate, encode = self.may_inflate, self._encoder()
        piece: list[bytes] = []
        count = size = 0
        for message in messages:
            parts = encode(message)
            piece += parts
            count += len(message.run.payloads) if type(message) in _RUNS else 1  # type: ignore[union-attr]
            size += len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
            if count >= most or size >= _PIECE or (may_inflate and is_deflated(message)):
                yield _for_one_write(piece, size)
                piece = []
                count = size = 0
        if piece:
            yield _for_one_write(piece, size)

    def encode(self, messages: Sequence[Outgoing]) -> bytes:
        """Return the messages as the bytes of their frames, in order."""
        return b"".join(self.encode_parts(messages))

    def encode_parts(self, messages: Sequence[Outgoing]) -> Sequence[bytes]:
        """Return the parts that :meth:`encode` joins, for a write that takes several buffers at once."""
        encode = self._encoder()
        if len(messages) == 1:
            return encode(messages[0])
        return [part for message in messages for part in encode(message)]

    def _encoder(self) -> Callable[[Outgoing], Sequence[bytes]]:
        """Return the function that encodes a message for this peer, as it is known now."""
        encode, limit = self.encode_one, self.inflate_limit
        return encode if limit is None else lambda message: encode(self._inflated(message, limit))

    def _inflated(self, message: Outgoing, limit: int) -> Outgoing:
        """Return the message with its payload inflated. One that cannot be inflated is left as it is: it fails in the
        receiver, alone.
        """
        try:
            match message:
                case m.Deliver(ids, m.Publication(topic, v.Deflated() as payload, headers)):
                    plain = self._plain(payload, v.room_for_payload(limit, topic, headers))
                    return cast("Outgoing", m.Deliver(ids, m.Publication(topic, plain, headers)))
                case m.Call(topic=topic, payload=v.Deflated() as payload, headers=headers):
                    plain = self._plain(payload, v.room_for_payload(limit, topic, headers))
                    return attrs.evolve(message, payload=plain)
                case m.Response(payload=v.Deflated() as payload, headers=headers):
                    plain = self._plain(payload, v.room_for_payload(limit, "", headers))
                    return attrs.evolve(message, payload=plain)
                case _:
                    return message
        except MalformedMessage:
            return message

    def _plain(self, payload: v.Deflated, limit: int) -> bytes:
        """Return a payload inflated, and count what that took: for one that cannot be, all that it may have taken."""
        self.inflated += limit
        plain = inflate(payload, limit)
        self.inflated -= limit - len(plain)
        return plain


def _for_one_write(parts: list[bytes], size: int) -> list[bytes]:
    """Join parts of so many bytes in all if they are small."""
    return parts if size >= _PART * len(parts) else [b"".join(parts)]


def codec_for_client() -> Codec[m.ClientMessage, m.ServerMessage]:
    """Return the codec of a bus for one native client; its HELLO tells whether ``inflate_limit`` is to be set."""
    return Codec(native.decode_client_messages, native.encode_parts)


def codec_for_bus() -> Codec[m.ServerMessage, m.ClientMessage]:
    """Return the codec of a native client. It has no ``inflate_limit``: a bus takes every payload as it travels."""
    return Codec(native.decode_server_messages, native.encode_parts)


def codec_for_member() -> Codec[m.ClientMessage, m.ServerMessage]:
    """Return the codec of a server for another of its bus, which the router takes for a client that says more."""
    decode = cast("Callable[[Sequence[Frame]], list[m.ClientMessage]]", native.decode_member_messages)
    return Codec(decode, native.encode_parts)


def is_deflated(message: m.ClientMessage | m.ServerMessage | m.MemberMessage) -> bool:
    """Whether a message has a compressed payload. A run has none."""
    carrier = message.publication if isinstance(message, m.Deliver | m.Publish) else message
    return isinstance(getattr(carrier, "payload", None), v.Deflated)
