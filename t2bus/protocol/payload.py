"""Payloads: typed messages as CBOR bytes, and back.

The theory. A payload is one CBOR item of the plain kind: no tags, definite lengths, no key twice, at most ``DEPTH``
containers around each other, and nothing behind it. Its value is read in two steps. The decoder bounds the work: it
builds what the bytes that are there amount to, and stops at the first flaw. The form of the type decides what fits.

The law of this module: what ``encode_as`` returns, ``decode`` of the same type turns into an equal value; whatever else
``decode`` is given, it turns into a value of the type or raises :exc:`MalformedMessage`, and nothing else. Its text
names the class and leads to the field, ``Order.items[2].price: expected int, got str``, and does not quote payloads.
"""

from __future__ import annotations

import threading
from io import BytesIO
from typing import Any, Final, TypeVar

import cbor2

from ..errors import MalformedMessage
from ..wire.cbor import make_reader
from .adapters import Refusal, name_of, text_of
from .compiler import adapter_of

__all__ = ["DEPTH", "decode", "decode_any", "encode", "encode_as", "prepare"]

T = TypeVar("T")

DEPTH: Final = 32
"""Containers around each other in one payload. Structuring recurses, and 32 is far from the limit of Python."""

_PART: Final = 140  # characters; a text has two parts


class _PeeledTags(dict[int, Any]):
    """A table that has a decoder for every tag: one that leaves what was tagged."""

    def __missing__(self, _tag: int) -> Any:
        return lambda value, _immutable: value


class _Reader(threading.local):
    """The decoder of a thread. To make one for each payload takes 0.7 us, half as much as to decode a small one."""

    def __init__(self) -> None:
        self.decoder = make_reader(BytesIO(), DEPTH)


_reader: Final = _Reader()


def _read(decoder: cbor2.CBORDecoder, payload: bytes) -> Any:
    """Decode the one item of a payload."""
    decoder.fp = source = BytesIO(payload)
    item = decoder.decode()
    if source.tell() != len(payload):
        raise Refusal("more bytes follow the CBOR item")
    return item


def prepare(type_: Any) -> None:
    """Compile what encodes and decodes a type, as its first use would.

    Raises:
      TypeError: the type has a part that cannot travel, or is not decorated; the text says how to mend it.

    """
    adapter_of(type_)


def encode(body: object) -> bytes:
    """Return the payload of an instance of an attrs class; raises as :func:`encode_as`."""
    return encode_as(body, type(body))


def encode_as(body: object, type_: Any) -> bytes:
    """Return the payload of a value of a type.

    Raises:
      MalformedMessage: the value is not of the type, or a part of it cannot travel.
      TypeError: as :func:`prepare`.

    """
    adapter = adapter_of(type_)
    try:
        plain = adapter.to_plain(body)
        if adapter.depth > DEPTH:
            _check_depth(plain)
        return cbor2.dumps(plain)
    except Exception as error:
        raise _malformed(type_, error) from error


def decode(payload: bytes, type_: type[T]) -> T:
    """Return the value of a type that a payload holds.

    Raises:
      MalformedMessage: it holds none.
      TypeError: as :func:`prepare`.

    """
    adapter = adapter_of(type_)  # type: ignore[arg-type] # mypy looks for the hash of an instance
    try:
        value: T = adapter.from_plain(_read(_reader.decoder, payload))
    except Exception as error:
        raise _malformed(type_, error) from error
    return value


def decode_any(payload: bytes) -> object:
    """Return what a payload of unknown type holds, to be shown: plain Python values.

    Tags are peeled off and indefinite lengths are taken, for other programs write them; ``undefined`` becomes None. The
    work is bounded as in :func:`decode`.

    Raises:
      MalformedMessage: it is not one CBOR item, or one that takes too much work.

    """
    decoder = cbor2.CBORDecoder(
        BytesIO(),
        semantic_decoders=_PeeledTags(),
        max_depth=DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        return _shown(_read(decoder, payload))
    except Exception as error:
        raise _malformed("payload", error) from error


def _shown(item: Any) -> object:
    """Replace what CBOR has and Python has not."""
    if isinstance(item, dict):
        return {key: _shown(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_shown(value) for value in item]
    if isinstance(item, cbor2.CBORSimpleValue):
        return item.value
    return None if item is cbor2.undefined else item


def _check_depth(plain: object) -> None:
    """Refuse plain items that the decoder would; only those of types that nest without end can be too deep."""
    layer: list[Any] = [plain]
    for _ in range(DEPTH + 1):
        containers = [item for item in layer if type(item) in (list, dict)]
        if not containers:
            return
        layer = [item for each in containers for item in (each.values() if type(each) is dict else each)]
    raise Refusal(f"lists, dicts and classes nest deeper than {DEPTH}")


def _malformed(type_: Any, error: Exception) -> MalformedMessage:
    """Say in one short printable line what is wrong, and where."""
    path = "".join(reversed(error.path)) if isinstance(error, Refusal) else ""
    reason = error.reason if isinstance(error, Refusal) else text_of(error)
    if isinstance(error, cbor2.CBORError):
        reason = f"the bytes are no payload: {error.__cause__ or error}"
    text = f"{_cut(f'{name_of(type_)}{path}')}: {_cut(reason)}"
    return MalformedMessage("".join(character if character.isprintable() else "?" for character in text))


def _cut(text: str) -> str:
    """Shorten a part of the line; values of any length may have come into it."""
    return text if len(text) <= _PART else f"{text[: _PART - 3]}..."
