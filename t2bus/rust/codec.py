"""Telling the wires apart, and the codecs of the crate's.

A bus tells them apart by the first byte of the first frame, so that clients of different wires share one listener: a
native frame is a CBOR array, one of the Rust crate ``t2_bus`` is a map.

The law of this module: bytes in, messages out; messages in, bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ProtocolViolation
from ..wire.codec import Codec, native_codec_for_client
from .bus_translator import BusTranslator
from .client_translator import ClientTranslator
from .frames import FRAME

if TYPE_CHECKING:
    from ..limits import Limits
    from ..wire import messages as m

__all__ = ["codec_for_client", "codec_for_rust_bus"]

_ARRAY = 4
_MAP = 5
"""The CBOR major types of an array and a map, in the top three bits of their first byte."""


def codec_for_client(first_frame: bytes, frame: int = FRAME) -> Codec[m.ClientMessage, m.ServerMessage]:
    """Return the bus's codec for the client whose first frame this is.

    A Rust client is not told how large a payload may be: ``frame`` bounds what its payloads are inflated to until the
    WELCOME says it.

    Raises:
      ProtocolViolation: the frame opens no wire that the bus speaks.

    """
    major = first_frame[0] >> 5
    if major == _ARRAY:
        return native_codec_for_client()
    if major == _MAP:
        translator = ClientTranslator(frame)
        return _translated(translator)
    raise ProtocolViolation("the first frame is not a t2bus/1 HELLO: nor of the Rust crate t2_bus")


def codec_for_rust_bus(limits: Limits) -> Codec[m.ServerMessage, m.ClientMessage]:
    """Return a client's codec for a bus of the Rust crate; ``limits`` are the client's own."""
    translator = BusTranslator(limits)
    return _translated(translator)


def _translated(translator: Any) -> Codec[Any, Any]:
    """Return the codec of another wire: its frames are small, or compressed, and not worth being left in parts."""
    encode = translator.encode_one
    return Codec(translator.decode, lambda message: (encode(message),), translator=translator)
