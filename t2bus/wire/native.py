"""The native wire, ``t2bus/1``: frames to messages and back. ``docs/wire.md`` specifies it.

Decoding trusts nothing. The CBOR reader is hardened (:mod:`.cbor`), the array must fill its frame exactly, and each
element is checked for its exact type and range (:mod:`.kinds`). Whatever the bytes are, the outcome is a message or
a :class:`~t2bus.errors.ProtocolViolation` that shows how the frame begins.

What one read of the network brought is decoded together, and in order. One bad frame costs its sender the connection,
so it is no loss that the messages beside it are lost.

Each row of the table is compiled to an expression, as attrs compiles a class to its ``__init__``. A GAP is decoded and
encoded by::

    lambda item: make(subscription_(item[1]), dropped_(item[2])) if 2 < len(item) <= 3 else refuse(item)
    lambda message: (23, message.subscription, message.dropped)

That takes a tenth less time than to go through the elements for each message. Rows that name functions of
:mod:`.fast_decoders` and :mod:`.fast_encoders` are decoded and encoded by these first.

The law of this module: bytes in, messages out; messages in, bytes out.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import cbor2

from ..errors import ProtocolViolation
from .cbor import CROWDED, KeptReader, flaw_in, is_crowded, violation
from .fast_decoders import UNUSUAL
from .framing import frame as _frame
from .kinds import KINDS, Rest, Row, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from . import messages as m
    from .fast_encoders import Parts
    from .framing import Frame

VERSION: Final = 1
"""The version of the wire, as HELLO and WELCOME give it."""

_kept: Final = KeptReader(depth=2)


# --- decoding


def _refuse_size(row: Row, item: list[Any]) -> NoReturn:
    """Refuse the array of a message that has too few elements or too many."""
    least, most = row.least, row.most
    wanted = f"{least} or more" if most is None else f"{least}" if most == least else f"{least} to {most}"
    raise ProtocolViolation(f"a message of kind {row.number} has {len(item) - 1} elements, not {wanted}")


def _compile_decoder(row: Row) -> Callable[[list[Any]], Any]:
    """Return the function from the array of a message, as the CBOR reader read it, to the message.

    It raises ``ProtocolViolation`` if the array is none of this kind.
    """
    names: dict[str, Any] = {"make": row.make or row.message, "refuse": partial(_refuse_size, row)}
    fields = []
    for place, (name, element) in enumerate(row.elements.items(), 1):
        names[f"{name}_"] = element.check
        fields.append(f"{name}_(item[{place}:])" if isinstance(element, Rest) else f"{name}_(item[{place}])")
    most = "" if row.most is None else f" <= {row.most + 1}"
    text = f"lambda item: make({', '.join(fields)}) if {row.least} < len(item){most} else refuse(item)"
    return eval(text, names)  # type: ignore[no-any-return] # noqa: S307 -- the text is made of our own table


def _compile_encoder(row: Row) -> Callable[[Any], Parts]:
    """Return the function from a message to its frame, which is one part.

    For example that of GAP makes ``00 00 00 04 83 17 07 02`` of ``Gap(7, 2)``.
    """
    names: dict[str, Any] = {}
    elements = [f"{row.number}"]
    for name, element in row.elements.items():
        field = f"message.{name}"
        if element.plain is not None:
            names[f"{name}_"] = element.plain
            field = f"*{name}_({field})" if isinstance(element, Rest) else f"{name}_({field})"
        elements.append(field)
    array = eval(f"lambda message: ({', '.join(elements)})", names)  # noqa: S307 -- as above

    def encode(message: Any) -> Parts:
        return (_frame(cbor2.dumps(array(message))),)

    return encode


class MessageDecoder:
    """Decodes what one end says, the client or the bus. It keeps nothing of what it has decoded.

    A frame of a kind that only the other end says is a violation: a client that sends a DELIVER loses its connection.
    """

    def __init__(self, sender: Sender) -> None:
        # A client believes its bus, which tells it how large a frame it has to take, and so do the servers of one bus.
        self._is_trusted = sender is not Sender.CLIENT
        rows = [row for row in KINDS if sender is Sender.MEMBER or row.sender in (sender, Sender.BOTH)]
        self._decoders = {row.number: _compile_decoder(row) for row in rows}
        self.fast: dict[bytes, Callable[[Any], Any]] = {
            row.opening: row.decode for row in rows if row.decode is not None
        }
        """The functions of :mod:`.fast_decoders`, by the openings of their frames."""

    def decode(self, frames: Sequence[Frame]) -> list[Any]:
        """Return the messages in these frames, in order.

        Raises:
          ProtocolViolation: a frame holds no message that this end may say. The messages in the others are lost.

        """
        fast = self.fast
        if len(frames) == 1:
            # The usual case, kept apart: a tenth faster so, and a quarter where decode_any does the work.
            (frame,) = frames
            if (decode := fast.get(frame[:2])) is not None:
                try:
                    return [decode(frame)]
                except UNUSUAL:
                    pass
            return self.decode_any([bytes(frame)])
        messages: list[Any] = []
        others: list[int] = []
        for frame in frames:
            if (decode := fast.get(frame[:2])) is not None:
                try:
                    messages.append(decode(frame))
                    continue
                except UNUSUAL:
                    pass
            others.append(len(messages))
            messages.append(None)
        if others:
            for place, message in zip(others, self.decode_any([bytes(frames[n]) for n in others]), strict=True):
                messages[place] = message
        return messages

    def decode_any(self, frames: Sequence[bytes]) -> list[Any]:
        """Do as :meth:`decode`, by the rows of the table alone.

        The frames are read as one source, so that they need one reader; an item must end where its frame does.
        """
        messages = []
        reader = _kept.reader
        reader.fp = buffer = io.BytesIO(b"".join(frames))
        end = 0
        for frame in frames:
            end += len(frame)
            if not self._is_trusted and is_crowded(frame):
                raise violation(CROWDED, frame)
            try:
                item = reader.decode()
            except cbor2.CBORError as error:
                raise violation(f"a frame is not the CBOR this wire allows: {flaw_in(error)}", frame) from error
            if buffer.tell() != end:
                raise violation("a frame holds more or less than one CBOR item", frame)
            if type(item) is not list or not item:
                raise violation("a frame is not an array that starts with its kind", frame)
            kind = item[0]
            if type(kind) is not int or (decode := self._decoders.get(kind)) is None:
                raise violation("a message is of a kind that this end does not take", frame)
            try:
                messages.append(decode(item))
            except ProtocolViolation as error:
                raise violation(str(error), frame) from error
        return messages


FROM_CLIENT: Final = MessageDecoder(Sender.CLIENT)
FROM_BUS: Final = MessageDecoder(Sender.BUS)
_FROM_MEMBER: Final = MessageDecoder(Sender.MEMBER)

decode_client_messages: Callable[[Sequence[Frame]], list[m.ClientMessage]] = FROM_CLIENT.decode
"""Return what a client says in these frames, as :meth:`MessageDecoder.decode` does."""

decode_server_messages: Callable[[Sequence[Frame]], list[m.ServerMessage]] = FROM_BUS.decode
"""Return what a bus says in these frames, as :meth:`MessageDecoder.decode` does."""

decode_member_messages: Callable[[Sequence[Frame]], list[m.MemberMessage]] = _FROM_MEMBER.decode
"""Return what another server of the bus says in these frames, as :meth:`MessageDecoder.decode` does; or what only
clients and buses say.
"""


# --- encoding

_ENCODERS: Final = {row.message: row.encode or _compile_encoder(row) for row in KINDS}


def encode_parts(message: m.ClientMessage | m.ServerMessage | m.MemberMessage) -> Parts:
    """Return the message as one frame, its length in front, in parts: a large payload is one of its own."""
    return _ENCODERS[type(message)](message)


def encode(message: m.ClientMessage | m.ServerMessage | m.MemberMessage) -> bytes:
    """Return the message as one frame, its length in front: :func:`encode_parts`, joined."""
    return b"".join(encode_parts(message))
