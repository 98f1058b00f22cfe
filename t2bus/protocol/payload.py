r"""Payloads: typed messages as CBOR bytes, and back.

::

    encode(Hello("hi"))                   b"\xa1dtextbhi"
    decode(b"\xa1dtextbhi", Hello)        Hello("hi")
    decode(b"\xa1dtext\x05", Hello)       MalformedMessage: Hello.text: expected str, got int

The theory. A payload is one plain CBOR item: it has no tags, no indefinite lengths, no key twice, at most ``DEPTH``
containers inside each other, and no bytes behind it. It is read in two steps. The decoder makes plain items of the
bytes. It allocates for data that is there, never for a declared length, and stops at the first flaw. Then the adapter
of the type makes a value of the items, or refuses them.

The law of this module: ``decode`` returns a value equal to the one that ``encode_as`` was given, for the same type. For
any other bytes it returns a value of the type, or raises :exc:`MalformedMessage` and nothing else. The text of that
leads to the flaw, ``Order.items[2].price: expected int, got str``. It quotes the keys on the way there, and what code
of the program's own classes raised, but no values.
"""

from __future__ import annotations

from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, TypeVar

import cbor2

from ..errors import MalformedMessage
from ..wire.cbor import KeptReader
from .adapters import Refusal, name_of, text_of
from .compiler import adapter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

DEPTH: Final = 32
"""Containers inside each other in one payload. Adapters recurse, and 32 levels are far from Python's limit."""

_kept: Final = KeptReader(DEPTH)

_PART: Final = 140  # characters of each of the two parts of an error's text: where, and what


class _IgnoredTags(dict[int, Any]):
    """A table of semantic decoders that returns what was tagged, whatever the tag."""

    def __missing__(self, _tag: int) -> Any:
        return lambda value, _immutable: value


def _read(decoder: cbor2.CBORDecoder, payload: bytes) -> Any:
    """Decode the only item of a payload."""
    decoder.fp = source = BytesIO(payload)
    item = decoder.decode()
    if source.tell() != len(payload):
        raise Refusal("more bytes follow the CBOR item")
    return item


def encode(body: object) -> bytes:
    """Return the payload of an instance of an attrs class. Raises as :func:`encode_as`."""
    return encode_as(body, type(body))


def encode_as(body: object, type_: Any) -> bytes:
    """Return the payload of a value of a type, such as ``list[int]``, that the value alone does not tell.

    Raises:
      MalformedMessage: the value is not of the type, or a part of it cannot travel.
      TypeError: a part of the type cannot travel, or a class is not decorated; the text says how to mend it.

    """
    adapter = adapter_of(type_)
    try:
        plain = adapter.to_plain(body)
        if adapter.depth > DEPTH:
            _check_depth(plain)
        return cbor2.dumps(plain)
    except Exception as error:
        raise _malformed(type_, error) from error


def encode_all(bodies: Iterable[object], type_: Any) -> list[bytes]:
    """Do as :func:`encode_as` for each; raises for the first that is wrong."""
    adapter = adapter_of(type_)
    if adapter.depth > DEPTH:
        return [encode_as(body, type_) for body in bodies]
    try:
        return [*map(cbor2.dumps, map(adapter.to_plain, bodies))]
    except Exception as error:
        raise _malformed(type_, error) from error


def decode(payload: bytes, type_: type[T]) -> T:
    """Return the value that a payload holds.

    Raises:
      MalformedMessage: the bytes are no payload, or do not hold a value of the type.
      TypeError: as :func:`encode_as`.

    """
    adapter = adapter_of(type_)
    try:
        plain = _read(_kept.reader, payload)
        if adapter.depth > DEPTH:
            _check_depth(plain)
        value: T = adapter.from_plain(plain)
    except Exception as error:
        raise _malformed(type_, error) from error
    return value


def decode_all(payloads: Sequence[bytes], type_: type[T]) -> list[T]:
    """Do as :func:`decode` for each; raises where one cannot be read, without saying which."""
    adapter = adapter_of(type_)
    if adapter.depth > DEPTH:
        return [decode(payload, type_) for payload in payloads]
    try:
        # All are read before the first is made a value: code of the program's own may read payloads too.
        return [*map(adapter.from_plain, _read_all(_kept.reader, payloads))]
    except Exception as error:
        raise _malformed(type_, error) from error


def _read_all(decoder: cbor2.CBORDecoder, payloads: Sequence[bytes]) -> list[Any]:
    """Decode the only item of each payload; as one source, because to change it takes a third of the time of all."""
    decoder.fp = source = BytesIO(b"".join(payloads))
    decode_item, tell = decoder.decode, source.tell
    items: list[Any] = []
    for end in accumulate(map(len, payloads)):
        items.append(decode_item())
        if tell() != end:
            raise Refusal("an item does not end with its payload")
    return items


def decode_any(payload: bytes) -> object:
    """Return what a payload of unknown type holds, to be shown: plain Python values.

    Other programs may write what :func:`decode` refuses: tags are ignored here, indefinite lengths accepted, and
    ``undefined`` becomes None. The work is bounded all the same.

    Raises:
      MalformedMessage: it is not one CBOR item, or one that takes too much work.

    """
    decoder = cbor2.CBORDecoder(
        BytesIO(),
        semantic_decoders=_IgnoredTags(),
        max_depth=DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        item = _read(decoder, payload)
        _check_depth(item)
        return _shown(item)
    except Exception as error:
        raise _malformed("payload", error) from error


def _shown(item: Any) -> object:
    """Replace the items that Python has no value for."""
    if isinstance(item, dict):
        return {key: _shown(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_shown(value) for value in item]
    if isinstance(item, cbor2.CBORSimpleValue):
        return item.value
    return None if item is cbor2.undefined else item


def _check_depth(plain: object) -> None:
    """Refuse plain items that nest too deep, at both ends: the decoder lets an empty container pass in the innermost.

    Only the values of a type that may contain itself have to be checked, layer by layer.
    """
    layer: list[Any] = [plain]
    for _ in range(DEPTH + 1):
        containers = [item for item in layer if type(item) in (list, dict)]
        if not containers:
            return
        layer = [item for each in containers for item in (each.values() if type(each) is dict else each)]
    raise Refusal(f"lists, dicts and classes nest deeper than {DEPTH}")


def _malformed(type_: Any, error: Exception) -> MalformedMessage:
    """Make the error that says in one short printable line where the flaw is, and what."""
    path = "".join(reversed(error.path)) if isinstance(error, Refusal) else ""
    reason = error.reason if isinstance(error, Refusal) else text_of(error)
    if isinstance(error, cbor2.CBORError):
        reason = f"the bytes are no payload: {error.__cause__ or error}"
    text = f"{_cut(f'{name_of(type_)}{path}')}: {_cut(reason)}"
    return MalformedMessage("".join(character if character.isprintable() else "?" for character in text))


def _cut(text: str) -> str:
    """Shorten a part of the text: names, keys and exceptions of a program's code may be of any length."""
    return text if len(text) <= _PART else f"{text[: _PART - 3]}..."
