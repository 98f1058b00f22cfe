r"""Values: JSON or text on the command line, CBOR on the bus, CBOR's diagnostic notation on the screen.

::

    >>> encode_value('{"text": "Hello"}', text=False)
    b'\xa1dtexteHello'
    >>> show_payload(b"\xa1dtexteHello", ascii_only=False)
    '{"text": "Hello"}'
    >>> show_payload(b"\x42\x00\xff", ascii_only=False), show_payload(b"\xff", ascii_only=False)
    ("h'00ff'", "malformed h'ff'")

Diagnostic notation (RFC 8949, section 8) is JSON wherever JSON can say it, so that programs can read what is shown.
Beyond JSON it has bytes, as ``h'00ff'``, ``NaN`` and ``Infinity``, and keys that are not text.

The law of this module: what is shown is one line of printable characters, whatever has arrived.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn
from zlib import crc32

import cbor2

from ..errors import MalformedMessage
from ..protocol import decode_any
from ..protocol.payload import DEPTH
from ..text import printable, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..client.received import Received
    from ..client.request import Request


_MEANS_JSON: Final = re.compile(
    r"""\s* (?: '?[{\["] | [-+]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)\s*\Z | (?:true|false|null|none)\s*\Z )""",
    re.IGNORECASE | re.VERBOSE,
)
"""How JSON begins, numbers as people write them, and constants in the letters of other languages."""

_COLOURS: Final = (32, 33, 34, 35, 36, 92, 93, 94, 95, 96)
"""Those of a terminal but for black, white and grey, one of which is its background, and red, which means errors."""

_TOO_DEEP: Final = f"the value cannot be sent: it nests deeper than {DEPTH}"


class BadValue(ValueError):
    """A value on the command line or of standard input cannot be sent; the text says why. Exit code 2."""


def encode_value(value: str, *, text: bool) -> bytes:
    """Return the payload of what the user wrote: of the JSON that it is, or else of the text.

    Args:
      value: what was written.
      text: whether to send it as text, also if it is JSON.

    Raises:
      BadValue: it is JSON that a payload cannot hold, or text that is not Unicode.

    """
    try:
        return _encode(value if text else _from_json(value))
    except json.JSONDecodeError:  # so `hello` needs no quotes
        return _encode(value)


def encode_json(value: str, place: str) -> bytes:
    """Return the payload of what the user wrote, which has to be JSON; ``place`` says where it was written.

    Raises:
      BadValue: it is not, as ``NaN`` is not, or a payload cannot hold it, as it holds no ``1e400``.

    """

    def refuse(name: str) -> NoReturn:
        raise BadValue(f"{place} is not JSON (it has no {name})")

    try:
        return _encode(_from_json(value, refuse, partial(_finite, place)))
    except json.JSONDecodeError as error:
        raise BadValue(f"{place} is not JSON ({_where(error)})") from error


def fault_of_json(value: str) -> str | None:
    """Return what is wrong with text that looks as if JSON was meant; None for JSON, and for any other text.

    So do what begins like a text, an array or an object, numbers as people write them, and Python's constants::

        >>> fault_of_json("{text: Hello}")
        'Expecting property name enclosed in double quotes: column 2'
        >>> fault_of_json("hello"), fault_of_json("2026-11-26")
        (None, None)

    """
    if _MEANS_JSON.match(value) is None:
        return None
    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        return _where(error)
    except (RecursionError, ValueError):  # it is JSON, which cannot be sent for another reason
        pass
    return None


def _where(error: json.JSONDecodeError) -> str:
    line = "" if error.lineno == 1 else f"line {error.lineno}, "
    return f"{error.msg}: {line}column {error.colno}"


def _from_json(
    value: str, constant: Callable[[str], object] = float, fraction: Callable[[str], object] = float
) -> object:
    """Read JSON, or raise ``BadValue`` where it is too deep or has a whole number of more than 64 bits.

    ``constant`` makes numbers of ``NaN``, ``Infinity`` and ``-Infinity``, which are beyond JSON, and ``fraction`` makes
    those of what has a point or an exponent.
    """
    try:
        return json.loads(value, parse_int=_whole, parse_float=fraction, parse_constant=constant)
    except RecursionError as error:
        raise BadValue(_TOO_DEEP) from error


def _encode(value: object) -> bytes:
    """Return the payload of a value, or raise ``BadValue`` where a payload cannot hold it."""
    try:
        payload = cbor2.dumps(value)
        decode_any(payload)
    except (RecursionError, MalformedMessage) as error:
        raise BadValue(_TOO_DEEP) from error
    except (UnicodeError, cbor2.CBOREncodeError) as error:
        raise BadValue("the value cannot be sent: it is not Unicode text") from error
    return payload


def _finite(place: str, digits: str) -> float:
    """Read a number with a point or an exponent, or raise ``BadValue`` if it would be sent as infinity."""
    number = float(digits)
    if math.isinf(number):
        raise BadValue(f"{place} cannot be sent: {quote(digits)} is beyond the largest float, {sys.float_info.max:g}")
    return number


def _whole(digits: str) -> int:
    """Read a whole number of JSON, or raise ``BadValue`` if CBOR has no plain int for it."""
    # A larger one would travel as a tag, which programs refuse; and int() refuses very long ones with a ValueError.
    number = int(digits) if len(digits) <= len(str(-(2**64))) else 2**64
    if not -(2**64) <= number < 2**64:
        raise BadValue("the value cannot be sent: an int has at most 64 bits; send it as a float or as text")
    return number


def show_payload(payload: bytes, *, ascii_only: bool) -> str:
    """Return a payload as one printable line: what it holds or, if it is not CBOR, ``malformed`` and its bytes.

    ``ascii_only`` is for a terminal that cannot show more: any other character is escaped as in JSON.
    """
    try:
        return diagnostic(decode_any(payload), ascii_only=ascii_only)
    except MalformedMessage:
        return f"malformed {diagnostic(payload, ascii_only=ascii_only)}"


def show_as_json(payload: bytes, *, ascii_only: bool) -> str:
    r"""Return the members of a JSON object that say what a payload holds.

    ``value`` is what it holds. What JSON cannot say stands there as a text in diagnostic notation, and ``cbor`` has all
    of it in that notation then, so that nothing is ambiguous. Of what is not CBOR there is ``malformed`` alone::

        >>> print(show_as_json(b"\xa1dtexteHello", ascii_only=False))
        "value": {"text": "Hello"}
        >>> print(show_as_json(b"\x82\x41\xff\x01", ascii_only=False))
        "value": ["h'ff'", 1], "cbor": "[h'ff', 1]"
        >>> print(show_as_json(b"\xff", ascii_only=False))
        "malformed": "h'ff'"

    """
    show = partial(diagnostic, ascii_only=ascii_only)
    try:
        value = decode_any(payload)
    except MalformedMessage:
        return f'"malformed": {show(show(payload))}'
    shown = show(value)
    try:
        json.loads(shown, parse_constant=_refuse_constant)
    except ValueError:
        return f'"value": {show(_nearest_json(value))}, "cbor": {show(shown)}'
    return f'"value": {shown}'


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _nearest_json(value: object) -> object:
    """Return a value with diagnostic notation, as text, in the place of each part that JSON cannot say."""
    match value:
        case Mapping():
            return {
                key if isinstance(key, str) else diagnostic(key, ascii_only=False): _nearest_json(each)
                for key, each in value.items()
            }
        case list() | tuple():
            return [_nearest_json(each) for each in value]
        case bytes():
            return diagnostic(value, ascii_only=False)
        case float() if not math.isfinite(value):
            return diagnostic(value, ascii_only=False)
        case _:
            return value


def show_message(
    message: Received[bytes] | Request[bytes, bytes], *, headers: bool, ascii_only: bool, coloured: bool = False
) -> str:
    """Return a message as one printable line: its topic, a tab, its payload, and with ``headers`` a tab and those.

    A tab in any of them is escaped, so a program may split the line at its tabs. A coloured topic has always the same
    colour, so that topics are told apart.
    """
    topic = printable(message.topic)
    if coloured:
        topic = f"\x1b[{_COLOURS[crc32(topic.encode()) % len(_COLOURS)]}m{topic}\x1b[0m"
    parts = [topic, show_payload(message.body, ascii_only=ascii_only)]
    if headers:
        parts.append(diagnostic(message.headers, ascii_only=ascii_only))
    return "\t".join(parts)


def diagnostic(value: object, *, ascii_only: bool) -> str:
    """Return a value in diagnostic notation, on one printable line.

    It recurses as deep as the value nests, which the decoder has bounded.
    """

    def show(item: Any) -> str:
        match item:
            case str():
                return _quoted(item, str.isascii if ascii_only else str.isprintable)
            case bytes():
                return f"h'{item.hex()}'"
            case Mapping():
                return "{" + ", ".join(f"{show(key)}: {show(each)}" for key, each in item.items()) + "}"
            case list() | tuple():
                return "[" + ", ".join(map(show, item)) + "]"
            case None | bool() | int() | float():  # JSON's NaN and Infinity are those of the notation
                return json.dumps(item)
            case _:  # a map's key of a kind that has no notation
                return show(str(item))

    return show(value)


def _quoted(text: str, plain: Callable[[str], bool]) -> str:
    """Return a text as JSON has it, with every character escaped that is not printable or not ``plain``."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable() and plain(quoted):
        return quoted
    return "".join(c if c.isprintable() and plain(c) else json.dumps(c)[1:-1] for c in quoted)
